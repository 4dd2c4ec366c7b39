"""What becomes of Ingresses: tables of objects and answers."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import trustme
from kubernetes_cluster import answer, rules, steps, told

from edgerouter.providers._ingress_claims import LAST
from edgerouter.providers._ingress_decide import Memory
from edgerouter.providers._ingress_services import Rules

SAMPLES = Path(__file__).parents[1] / "live" / "kubernetes"
WEB = """
kind: Service
metadata: {name: web}
spec: {ports: [{name: http, port: 80}, {name: admin, port: 8443}]}
"""

NOT_READY = """---
kind: Endpoints
metadata: {name: web}
subsets: [{notReadyAddresses: [{ip: 10.0.0.9}], ports: [{name: http, port: 1}]}]
"""


def ingress(
    spec: str,
    annotations: str = "{}",
    name: str = "shop",
    created: str = "2026-01-01T00:00:00Z",
    namespace: str = "default",
) -> str:
    meta = f"{{name: {name}, namespace: {namespace}, creationTimestamp: '{created}', annotations: {annotations}}}"
    return f"---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {meta}\nspec: {spec}\n"


def one(
    path: str = "/", kind: str = "Prefix", host: str = "a.test", service: str = "web", port: str = "number: 80"
) -> str:
    backend = f"{{service: {{name: {service}, port: {{{port}}}}}}}"
    at = f"{{path: {path}, pathType: {kind}, backend: {backend}}}"
    return f"{{rules: [{{host: '{host}', http: {{paths: [{at}]}}}}]}}"


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        (one(), "Host(`a.test`)"),
        (one("/x"), "Host(`a.test`) && (Path(`/x`) || PathPrefix(`/x/`))"),
        (one("/x/"), "Host(`a.test`) && (Path(`/x`) || PathPrefix(`/x/`))"),
        (one("/x", "Exact"), "Host(`a.test`) && Path(`/x`)"),
        (one("/x", "ImplementationSpecific"), "Host(`a.test`) && PathPrefix(`/x`)"),
        (one("/", "Exact"), "Host(`a.test`) && Path(`/`)"),
        (one("/x", host=""), "(Path(`/x`) || PathPrefix(`/x/`))"),
        (one("/", host=""), "PathPrefix(`/`)"),
        (one("/", host="*.a.test"), "Host(`*.a.test`)"),
        (one("'/a`b'", "Exact"), 'Host(`a.test`) && Path("/a`b")'),
    ],
)
def test_rules_of_paths(spec: str, rule: str) -> None:
    assert list(rules(answer(WEB, ingress(spec)))) == [rule]


def test_the_order_of_paths_is_the_specifications() -> None:
    cluster = [WEB]
    wanted = [
        ("a.shop.test", "/long/path", "Exact"),
        ("a.shop.test", "/long/path", "Prefix"),
        ("a.shop.test", "/long", "Prefix"),
        ("a.shop.test", "/", "Prefix"),
        ("*.shop.test", "/a/very/long/path/that/is/longer/than/any/host/may/be", "Prefix"),
        ("*.shop.test", "/", "Prefix"),
        ("", "/a/very/long/path/that/is/longer/than/any/host/may/be/and/longer/still/than/all", "Prefix"),
        ("", "/", "Prefix"),
    ]
    for number, (host, path, kind) in enumerate(reversed(wanted)):
        cluster.append(ingress(one(path, kind, f"{host}"), name=f"n{number}"))
    found = answer(*cluster).configuration.http.routers.values()
    order = sorted(found, key=lambda router: -router.priority)
    assert len({router.priority for router in order}) == len(wanted)
    assert [router.rule for router in order] == [
        rule for host, path, kind in wanted for rule in rules(answer(WEB, ingress(one(path, kind, host))))
    ]


@pytest.mark.parametrize(
    ("port", "url"),
    [
        ("number: 80", "http://10.0.0.1:8080"),
        ("name: http", "http://10.0.0.1:8080"),
        ("name: admin", "http://10.0.0.1:8443"),
    ],
)
def test_ports_by_number_and_name(port: str, url: str) -> None:
    (workload,) = answer(WEB, ingress(one(port=port))).workloads
    assert workload.verdict == "ROUTED" and workload.servers[0] == url


@pytest.mark.parametrize(
    ("objects", "spec", "code", "words"),
    [
        ("", one(), "NO_SERVICE", "there is no Service default/web"),
        (WEB, one(port="number: 81"), "NO_PORT", "has no port 81; it has: http=80, admin=8443"),
        (WEB, one(port="name: grpc"), "NO_PORT", "has no port grpc"),
        (
            WEB + NOT_READY,
            one(),
            "NO_ENDPOINTS",
            "Service default/web has no endpoint that is ready",
        ),
        (
            "kind: Service\nmetadata: {name: web}\nspec: {type: ExternalName, externalName: x.test}",
            one(),
            "EXTERNAL_NAME",
            "not allowed",
        ),
    ],
)
def test_a_backend_that_cannot_serve_puts_its_router_to_sleep(objects: str, spec: str, code: str, words: str) -> None:
    snapshot = answer(objects, ingress(spec))
    (workload,) = snapshot.workloads
    assert workload.verdict == code and words in workload.reason and workload.fix
    assert words in next(iter(snapshot.sleeping.values()))


def test_endpoints_ready_draining_and_of_the_right_port() -> None:
    pieces = """
kind: EndpointSlice
addressType: IPv4
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
ports: [{name: http, port: 8001}, {name: admin, port: 9001}]
endpoints:
- {addresses: [10.1.0.1], conditions: {ready: true}}
- {addresses: [10.1.0.2], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.1.0.3], conditions: {ready: false, serving: false}}
---
kind: EndpointSlice
addressType: IPv6
metadata: {name: web-2, labels: {kubernetes.io/service-name: web}}
ports: [{name: http, port: 8001}]
endpoints: [{addresses: ['fd00::1']}]
"""
    snapshot = answer(WEB + "---" + pieces, ingress(one()))
    servers = {
        server.url: server.fenced for server in snapshot.configuration.http.services["default-web-80"].options.servers
    }
    assert servers == {"http://10.1.0.1:8001": False, "http://10.1.0.2:8001": True, "http://[fd00::1]:8001": False}


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "127.0.0.1", "x.localhost", "127.1", "2130706433", "169.254.169.254", "::1", "0.0.0.0"],
)
def test_an_external_name_never_leads_to_the_routers_own_machine(host: str) -> None:
    spec = f"{{type: ExternalName, externalName: '{host}', ports: [{{port: 80}}]}}"
    service = f"kind: Service\nmetadata: {{name: web}}\nspec: {spec}"
    (workload,) = answer(service, ingress(one()), rules=Rules(allow_external_names=True)).workloads
    assert workload.verdict == "EXTERNAL_NAME" and not workload.servers


def test_an_external_name_that_is_allowed() -> None:
    service = (
        "kind: Service\nmetadata: {name: web}\nspec: {type: ExternalName, externalName: x.test, ports: [{port: 443}]}"
    )
    (workload,) = answer(service, ingress(one(port="number: 443")), rules=Rules(allow_external_names=True)).workloads
    assert (workload.verdict, workload.servers) == ("ROUTED", ("https://x.test:443",))


@pytest.mark.parametrize(
    ("annotations", "wanted", "verdict"),
    [
        ("{}", "", "ROUTED"),
        ("{kubernetes.io/ingress.class: traefik}", "", "ROUTED"),
        ("{kubernetes.io/ingress.class: edgerouter}", "", "ROUTED"),
        ("{kubernetes.io/ingress.class: nginx}", "", "OTHER_CLASS"),
        ("{kubernetes.io/ingress.class: inner}", "inner", "ROUTED"),
        ("{kubernetes.io/ingress.class: traefik}", "inner", "OTHER_CLASS"),
        ("{}", "inner", "OTHER_CLASS"),
    ],
)
def test_classes_by_annotation(annotations: str, wanted: str, verdict: str) -> None:
    (workload,) = answer(WEB, ingress(one(), annotations), ingress_class=wanted).workloads
    assert workload.verdict == verdict


@pytest.mark.parametrize(
    ("name", "controller", "wanted", "verdict"),
    [
        ("c", "edgerouter/ingress-controller", "", "ROUTED"),
        ("c", "traefik.io/ingress-controller", "", "ROUTED"),
        ("c", "k8s.io/ingress-nginx", "", "OTHER_CLASS"),
        ("other", "edgerouter/ingress-controller", "", "OTHER_CLASS"),
        ("c", "edgerouter/ingress-controller", "c", "ROUTED"),
        ("c", "edgerouter/ingress-controller", "d", "OTHER_CLASS"),
    ],
)
def test_classes_by_name_and_controller(name: str, controller: str, wanted: str, verdict: str) -> None:
    known = f"kind: IngressClass\nmetadata: {{name: {name}}}\nspec: {{controller: {controller}}}"
    spec = one()[:-1] + ", ingressClassName: c}"
    (workload,) = answer(known, WEB, ingress(spec), ingress_class=wanted).workloads
    assert workload.verdict == verdict


def test_the_default_class_takes_what_names_none() -> None:
    meta = "{name: c, annotations: {ingressclass.kubernetes.io/is-default-class: 'true'}}"
    known = f"kind: IngressClass\nmetadata: {meta}\nspec: {{controller: edgerouter/ingress-controller}}"
    (workload,) = answer(known, WEB, ingress(one()), ingress_class="c").workloads
    assert workload.verdict == "ROUTED"


A = "traefik.ingress.kubernetes.io/"
OURS = "edgerouter.ingress.kubernetes.io/"


@pytest.mark.parametrize("prefix", [A, OURS])
def test_todays_annotations_of_a_router(prefix: str) -> None:
    given = {
        "router.entrypoints": "web,inner",
        "router.middlewares": "auth@file",
        "router.priority": "42",
        "router.tls": "true",
        "router.tls.options": "strict@file",
        "router.tls.domains.0.main": "a.test",
        "router.tls.domains.0.sans": "b.test,c.test",
        "router.observability.accesslogs": "false",
        "router.pathmatcher": "PathRegexp",
    }
    annotations = "{" + ", ".join(f"{prefix}{key}: '{value}'" for key, value in given.items()) + "}"
    snapshot = answer(WEB, ingress(one("/x.*", "ImplementationSpecific"), annotations))
    (router,) = snapshot.configuration.http.routers.values()
    assert told(snapshot) == []
    assert (router.entry_points, router.middlewares, router.priority) == (("web", "inner"), ("auth@file",), 42)
    assert router.rule == "Host(`a.test`) && PathRegexp(`/x.*`)"
    assert router.tls is not None and router.tls.options == "strict@file"
    assert (router.tls.domains[0].main, router.tls.domains[0].sans) == ("a.test", ("b.test", "c.test"))
    assert router.observability is not None and router.observability.access_logs is False


def test_todays_annotations_of_a_service() -> None:
    annotations = {
        "service.serversscheme": "https",
        "service.serverstransport": "inner@file",
        "service.passhostheader": "false",
        "service.sticky.cookie": "true",
        "service.sticky.cookie.name": "at",
        "service.middlewares": "limit@file",
    }
    written = "{" + ", ".join(f"{A}{key}: '{value}'" for key, value in annotations.items()) + "}"
    service = WEB.replace("{name: web}", f"{{name: web, annotations: {written}}}")
    snapshot = answer(service, ingress(one()))
    made = snapshot.configuration.http.services["default-web-80"]
    assert made.options.servers[0].url == "https://10.0.0.1:8080"
    assert (made.options.servers_transport, made.options.pass_host_header) == ("inner@file", False)
    assert made.options.sticky.cookie.name == "at" and made.middlewares == ("limit@file",)


@pytest.mark.parametrize(
    ("annotation", "value", "kind", "options"),
    [
        ("rule-type", "PathPrefixStrip", "stripPrefix", {"prefixes": ("/x",)}),
        ("request-modifier", "'AddPrefix: /y'", "addPrefix", {"prefix": "/y"}),
        ("request-modifier", "'ReplacePath: /y'", "replacePath", {"path": "/y"}),
        ("rewrite-target", "/y", "replacePathRegex", {"regex": "^/x(/.*)?$", "replacement": "/y${1}"}),
        ("redirect-entry-point", "https", "redirectScheme", {"scheme": "https"}),
        ("ssl-redirect", "'true'", "redirectScheme", {"scheme": "https", "permanent": True}),
        ("frame-deny", "'true'", "headers", {"frameDeny": True}),
        ("custom-response-headers", "'X-A: b||X-C: d'", "headers", {"customResponseHeaders": {"X-A": "b", "X-C": "d"}}),
    ],
)
def test_annotations_of_before_become_middlewares(
    annotation: str, value: str, kind: str, options: dict[str, Any]
) -> None:
    for prefix in (A, "ingress.kubernetes.io/"):
        snapshot = answer(WEB, ingress(one("/x", "ImplementationSpecific"), f"{{{prefix}{annotation}: {value}}}"))
        ((found, given),) = steps(snapshot, "default-shop-a-test-x")
        assert found == kind and {key: given[key] for key in options} == options
        assert told(snapshot) == []


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (f"{A}router.priorty", "'1'", "unknown option 'priorty'"),
        (f"{A}router.priority", "high", "expected a whole number"),
        (f"{A}router.rule", "Host(`b.test`)", "says this by its spec"),
        (f"{A}router.service", "other@file", "says this by its spec"),
        (f"{A}service.passhostheader", "'true'", "belongs on the Service"),
        (f"{A}rule-typ", "Path", "unknown annotation"),
        (f"{A}rule-type", "Regex", "unknown rule type 'Regex'"),
        (f"{A}service-weights", "'web: 50%: x'", "this is no YAML"),
        (f"{A}service-weights", "'web: a lot'", "expected a percentage"),
        (f"{A}auth-secret", "users", "auth-secret without auth-type"),
        (f"{A}request-modifier", "'Add: /x'", "cannot read"),
        ("traefik.frontend.rul.type", "Path", "unknown annotation"),
    ],
)
def test_a_bad_annotation_is_a_problem_of_its_ingress_only(annotation: str, value: str, words: str) -> None:
    good = ingress(one(host="good.test"), name="good")
    snapshot = answer(WEB, good, ingress(one("/x"), f"{{{annotation}: {value}}}"))
    assert [line for line in told(snapshot) if words in line and "ingress default/shop" in line and annotation in line]
    verdicts = {workload.name: workload.verdict for workload in snapshot.workloads}
    assert verdicts["default/good"] == "ROUTED"


def test_auth_that_cannot_be_made_refuses_its_router() -> None:
    snapshot = answer(WEB, ingress(one("/x"), f"{{{A}auth-type: basic, {A}auth-secret: users}}"))
    assert steps(snapshot, "default-shop-a-test-x")[0][0].startswith("refused: there is no secret 'users'")


def test_a_breaker_stands_before_its_service() -> None:
    snapshot = answer((SAMPLES / "animals.yml").read_text())
    http = snapshot.configuration.http
    (name,) = http.services["default-hare-http"].middlewares
    assert http.middlewares[name].kind == "circuitBreaker"
    assert http.middlewares[name].options.expression == "NetworkErrorRatio() > 0.5"
    assert http.services["default-bear-http"].middlewares == ()
    assert list(rules(snapshot)) == ["Host(`moose.minikube`)", "Host(`hare.minikube`)", "Host(`bear.minikube`)"]


def weights(text: str, *services: str) -> tuple[list[tuple[str, int]], list[str]]:
    paths = ", ".join(f"{{path: /, backend: {{serviceName: {name}, servicePort: 80}}}}" for name in services)
    objects = "\n---\n".join(
        f"kind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]}}" for name in services
    )
    old = (
        "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata:\n  name: app\n  annotations:\n"
        f"    {A}service-weights: |\n"
        + "".join(f"      {line}\n" for line in text.split("; "))
        + f"spec: {{rules: [{{http: {{paths: [{paths}]}}}}]}}"
    )
    snapshot = answer(objects, old)
    made = snapshot.configuration.http.services["default-app"]
    return [(child.name, child.weight) for child in made.options.services], told(snapshot)


@pytest.mark.parametrize(
    ("text", "shares", "words"),
    [
        ("a: 99%; b: 1%", [99000, 1000], ""),
        ("a: 99.875%; b: 0.125%", [99875, 125], ""),
        ("a: 100%; b: 0%", [100000, 0], ""),
        ("a: 60%", [60000, 40000], ""),
        ("a: 60%; b: 60%", [60000, 60000], "a 60% + b 60% is 120 %, not 100 %"),
        ("a: 60%; b: 30%", [60000, 30000], "is 90 %, not 100 %"),
        ("a: 99%; b: 1%; c: 5%", [99000, 1000], "service 'c' has a weight, but no path"),
    ],
)
def test_weights_of_one_paths_services(text: str, shares: list[int], words: str) -> None:
    found, problems = weights(text, "a", "b")
    assert found == [("default-a-80", shares[0]), ("default-b-80", shares[1])]
    assert [words in problem for problem in problems] == ([True] if words else [])


def test_a_default_backend_without_rules_is_the_clusters_last() -> None:
    snapshot = answer(
        WEB, ingress("{defaultBackend: {service: {name: web, port: {number: 80}}}}"), ingress(one(), name="b")
    )
    last = snapshot.configuration.http.routers["default-router"]
    assert (last.rule, last.priority) == ("PathPrefix(`/`)", LAST)
    later = ingress(
        "{defaultBackend: {service: {name: web, port: {number: 80}}}}", name="c", created="2026-02-01T00:00:00Z"
    )
    second = answer(WEB, ingress("{defaultBackend: {service: {name: web, port: {number: 80}}}}"), later)
    assert [(one.name, one.verdict) for one in second.workloads] == [
        ("default/c", "SHADOWED"),
        ("default/shop", "ROUTED"),
    ]


def test_a_default_backend_beside_rules_takes_the_rest_of_their_hosts() -> None:
    spec = one("/x")[:-1] + ", defaultBackend: {service: {name: web, port: {name: admin}}}}"
    assert rules(answer(WEB, ingress(spec))) == {
        "Host(`a.test`) && (Path(`/x`) || PathPrefix(`/x/`))": "default-web-80",
        "Host(`a.test`)": "default-web-admin",
    }


def test_a_path_that_two_want_is_the_olders() -> None:
    theirs = WEB.replace("{name: web}", "{name: web, namespace: evil}")
    newer = ingress(one("/x"), name="thief", created="2026-03-01T00:00:00Z", namespace="evil")
    snapshot = answer(WEB, theirs, newer, ingress(one("/x")))
    assert list(rules(snapshot).values()) == ["default-web-80"]
    verdicts = {workload.name: (workload.verdict, workload.reason) for workload in snapshot.workloads}
    assert verdicts["evil/thief"] == ("SHADOWED", "Prefix a.test/x belongs to the Ingress default/shop, which is older")
    assert verdicts["default/shop"][0] == "ROUTED"


def pair(name: str) -> tuple[str, str]:
    """A certificate and its key, in base64."""
    made = trustme.CA().issue_cert(name)
    parts = (made.cert_chain_pems[0].bytes(), made.private_key_pem.bytes())
    return base64.b64encode(parts[0]).decode(), base64.b64encode(parts[1]).decode()


def secret(certificate: str, key: str, name: str = "a-tls") -> str:
    data = f"{{tls.crt: '{certificate}', tls.key: '{key}'}}"
    return f"---\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{name: {name}}}\ndata: {data}\n"


TLS_SPEC = one("/x")[:-1] + ", tls: [{hosts: [a.test], secretName: a-tls}]}"


def test_a_tls_section_is_served_over_tls_too() -> None:
    certificate, key = pair("a.test")
    snapshot = answer(WEB, secret(certificate, key), ingress(TLS_SPEC), ingress(one("/y"), name="plain"))
    routers = snapshot.configuration.http.routers
    assert {name: router.tls is not None for name, router in routers.items()} == {
        "default-shop-a-test-x": False,
        "default-shop-a-test-x-tls": True,
        "default-plain-a-test-y": False,
    }
    assert len({routers[f"default-shop-a-test-x{end}"].priority for end in ("", "-tls")}) == 1
    (given,) = snapshot.configuration.tls.certificates
    assert base64.b64decode(certificate).decode() == given.cert_file.reveal()
    assert base64.b64decode(key).decode().split()[4] not in repr(snapshot)


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("", "", "it has no tls.crt and no tls.key"),
        ("eA==", "eA==", "tls.crt holds no certificate"),
        ("good", "eA==", "tls.key holds no private key"),
        ("good", "other", "is not the key of the certificate"),
    ],
)
def test_a_secret_that_is_no_certificate_is_its_ingresses_problem(certificate: str, key: str, words: str) -> None:
    good, other = pair("a.test"), pair("a.test")
    texts = {"good": good[0], "other": other[1]}
    broken = secret(texts.get(certificate, certificate), texts.get(key, key))
    snapshot = answer(WEB, broken, ingress(TLS_SPEC), ingress(one("/y"), name="plain"))
    assert [line for line in told(snapshot) if words in line and "ingress default/shop" in line]
    assert snapshot.configuration.tls.certificates == ()
    assert {one.name: one.verdict for one in snapshot.workloads} == {
        "default/plain": "ROUTED",
        "default/shop": "BAD_INGRESS",
    }


def test_an_annotation_of_a_megabyte_is_left_unread() -> None:
    snapshot = answer(WEB, ingress(one(), f"{{{A}router.middlewares: '{'x' * 1_000_000}'}}"))
    assert [line for line in told(snapshot) if "longer than 64 KiB" in line]
    assert all(len(line) < 500 for line in told(snapshot))


def test_what_did_not_change_is_not_read_again() -> None:
    memory = Memory()
    first = answer(WEB, ingress(one()), memory=memory)
    kept = memory.known["default/shop"].made
    again = answer(WEB, ingress(one()), memory=memory)
    assert memory.known["default/shop"].made is kept and again == first
    changed = answer(WEB.replace("port: 80", "port: 81"), ingress(one()), memory=memory)
    assert memory.known["default/shop"].made is not kept and changed != first


def test_a_status_that_was_written_is_no_reason_to_decide_anew() -> None:
    memory = Memory()
    first = answer(WEB, ingress(one()), memory=memory)
    kept = memory.known["default/shop"].made
    told = ingress(one()) + "status: {loadBalancer: {ingress: [{ip: 192.0.2.7}]}}\n"
    assert answer(WEB, told, memory=memory) == first and memory.known["default/shop"].made is kept


def test_of_many_ingresses_only_what_changed_is_made_again() -> None:
    memory = Memory()
    others = [ingress(one(host=f"h{number}.test"), name=f"n{number}") for number in range(20)]
    before = answer(WEB, *others, ingress(one(service="x")), memory=memory)
    made = {key: known.made for key, known in memory.known.items()}
    after = answer(WEB, WEB.replace("web", "x"), *others, ingress(one(service="x")), memory=memory)
    again = {key for key, known in memory.known.items() if known.made is not made[key]}
    assert again == {"default/shop"}
    routers, kept = after.configuration.http.routers, before.configuration.http.routers
    assert {name for name, router in routers.items() if router is not kept[name]} == {"default-shop-a-test"}


def test_names_that_read_alike_lead_to_their_own_services() -> None:
    """``team`` + ``a-shop`` and ``team-a`` + ``shop`` are one name when they are joined by hyphens."""
    victim = WEB.replace("{name: web}", "{name: shop, namespace: team-a}")
    thief = WEB.replace("{name: web}", "{name: a-shop, namespace: team}")
    older = ingress(one(host="a.test", service="shop"), name="i", namespace="team-a")
    late = "2026-02-01T00:00:00Z"
    newer = ingress(one(host="b.test", service="a-shop"), name="i", namespace="team", created=late)
    memory = Memory()
    for _ in range(2):
        snapshot = answer(victim, thief, older, newer, memory=memory)
        http = snapshot.configuration.http
        leads = rules(snapshot)
        assert leads["Host(`a.test`)"] == "team-a-shop-80" and leads["Host(`b.test`)"].startswith("team-a-shop-80~")
        servers = [http.services[name].options.servers[0].url for name in (leads[f"Host(`{x}.test`)"] for x in "ab")]
        assert servers == ["http://10.0.0.1:8080", "http://10.0.1.1:8080"]
        assert {one.verdict for one in snapshot.workloads} == {"ROUTED"} and told(snapshot) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("team-a", "shop", "x.test"), ("team", "a-shop", "x.test/")),
        (("team", "shop", "a-b.test"), ("team", "shop-a", "b.test")),
        (("default", "router", ""), ("z", "z", "z.test")),
    ],
)
def test_routers_whose_names_read_alike_are_all_there(
    first: tuple[str, str, str], second: tuple[str, str, str]
) -> None:
    texts = [WEB.replace("{name: web}", f"{{name: web, namespace: {one_}}}") for one_ in {first[0], second[0]}]
    last = "{defaultBackend: {service: {name: web, port: {number: 80}}}}"
    for namespace, name, host in (first, second):
        host, _, path = host.partition("/")
        texts.append(ingress(one(f"/{path}", host=host), name=name, namespace=namespace))
    texts.append(ingress(last, name="last", namespace=first[0]))
    snapshot = answer(*texts)
    assert len(snapshot.configuration.http.routers) + len(told(snapshot)) == 3
    assert snapshot.configuration.http.routers["default-router"].priority == LAST


def test_a_path_named_tls_is_not_the_router_for_tls() -> None:
    paths = ", ".join(
        f"{{path: {path}, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}"
        for path in ("/tls", "/")
    )
    spec = f"{{rules: [{{host: a.test, http: {{paths: [{paths}]}}}}], tls: [{{hosts: [a.test]}}]}}"
    found = answer(WEB, ingress(spec)).configuration.http.routers.values()
    assert sorted((router.rule, router.tls is not None) for router in found) == [
        ("Host(`a.test`)", False),
        ("Host(`a.test`)", True),
        ("Host(`a.test`) && (Path(`/tls`) || PathPrefix(`/tls/`))", False),
        ("Host(`a.test`) && (Path(`/tls`) || PathPrefix(`/tls/`))", True),
    ]


def test_hosts_of_servers_are_their_own_where_the_provider_says_so() -> None:
    options = answer(WEB, ingress(one()), rules=Rules(pass_host=False)).configuration.http.services
    assert options["default-web-80"].options.pass_host_header is False
    kept = WEB.replace("{name: web}", f"{{name: web, annotations: {{{A}service.passhostheader: 'true'}}}}")
    options = answer(kept, ingress(one()), rules=Rules(pass_host=False)).configuration.http.services
    assert options["default-web-80"].options.pass_host_header is True


def test_two_services_of_one_ingress_whose_names_read_alike() -> None:
    services = """
kind: Service
metadata: {name: web}
spec: {ports: [{name: http-a, port: 80}]}
---
kind: Service
metadata: {name: web-http}
spec: {ports: [{name: a, port: 81}]}
"""
    paths = ", ".join(
        f"{{path: {path}, pathType: Exact, backend: {{service: {{name: {name}, port: {{name: {port}}}}}}}}}"
        for path, name, port in (("/1", "web", "http-a"), ("/2", "web-http", "a"))
    )
    snapshot = answer(services, ingress(f"{{rules: [{{host: a.test, http: {{paths: [{paths}]}}}}]}}"))
    http = snapshot.configuration.http
    leads = {rule[-4:]: http.services[name].options.servers[0].url for rule, name in rules(snapshot).items()}
    assert leads == {"/1`)": "http://10.0.0.1:8080", "/2`)": "http://10.0.1.1:8081"}


@pytest.mark.parametrize(
    ("on_ingress", "on_service"),
    [
        (f"{{{A}router.middlewares: auth@file}}", "{}"),
        (f"{{{A}router.tls.options: strict@file}}", "{}"),
        ("{}", f"{{{A}service.middlewares: limit@file}}"),
        ("{}", f"{{{A}service.serverstransport: inner@file}}"),
    ],
)
def test_only_some_namespaces_may_use_what_others_define(on_ingress: str, on_service: str) -> None:
    service = WEB.replace("{name: web}", f"{{name: web, annotations: {on_service}}}")
    allowed = answer(service, ingress(one(), on_ingress), cross_provider_namespaces=("default",))
    assert told(allowed) == [] and [one.verdict for one in allowed.workloads] == ["ROUTED"]
    barred = answer(service, ingress(one(), on_ingress), cross_provider_namespaces=("other",))
    assert "this namespace may not use" in told(barred)[0]
    http = barred.configuration.http
    assert not http.routers or http.services["default-web-80"].refused


def test_what_is_not_served_says_what_it_would_match() -> None:
    other = ingress(one("/x", "Exact"), "{kubernetes.io/ingress.class: nginx}", name="other")
    later = ingress(one(), name="later", created="2026-03-01T00:00:00Z")
    found = {one.name: one.rules for one in answer(WEB, ingress(one()), other, later).workloads}
    assert list(found["default/other"].values()) == ["Host(`a.test`) && Path(`/x`)"]
    assert list(found["default/later"].values()) == ["Host(`a.test`)"] and found["default/shop"] == {}
