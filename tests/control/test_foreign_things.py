"""What people bring from Traefik and is not served here, or is of Kubernetes objects only: each is refused with one
problem that says where, what and what instead, and neighbours go on. Files as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerouter.config.static import StaticConfiguration
from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.build import Build, Inputs, build
from edgerouter.control.build_names import Names
from edgerouter.control.prepare import kinds
from edgerouter.providers._file_shelf import Shelf

FILE = """http:
  routers:
    good: {rule: "Host(`good`)", service: good}
%s
  services:
    good: {loadBalancer: {servers: [{url: "http://127.0.0.1:9"}]}}
%s
%s
"""
ROUTERS, SERVICES, REST = range(3)
USES = '    bad: {rule: "Host(`b`)", service: good, middlewares: [m]}'
LEADS = '    bad: {rule: "Host(`b`)", service: bad}'


def said(folder: Path, text: str, name: str = "f.yml") -> tuple[list[Problem], Build]:
    """All problems of a file and of what it configures."""
    (folder / name).write_text(text)
    shelf = Shelf(str(folder / name), False, kinds())
    (page,) = shelf.read().values()
    snapshot = Snapshot(configuration=page.configuration)
    made = build(Inputs(static=StaticConfiguration(), snapshots={"file": snapshot}))
    return [*page.problems, *made.problems], made


def filled(place: int, text: str) -> str:
    parts = ["", "", ""]
    parts[place] = text
    if place == SERVICES:
        parts[ROUTERS] = LEADS
    if place == REST and text.startswith("  middlewares:"):
        parts[ROUTERS] = USES
    return FILE % tuple(parts)


def middleware(text: str) -> tuple[int, str]:
    return REST, f"  middlewares: {{m: {text}}}"


def router(text: str) -> tuple[int, str]:
    return ROUTERS, f"    bad: {{{text}}}"


def balancer(text: str) -> tuple[int, str]:
    return SERVICES, f"    bad: {{loadBalancer: {text}}}"


RULE = 'rule: "Host(`b`)", service: good'
GO = "files are no templates: write ${env:NAME}"
TCP = "is of TCP"
KUBERNETES = "is of Kubernetes objects"
ROWS: list[tuple[tuple[int, str], str, str, str]] = [
    # what is written, the problem's path, what it says, what instead
    (router(f"{RULE}, parentRefs: [good]"), "routers.bad.parentRefs", "routers below other", "one router"),
    (router(f"{RULE}, services: [{{name: good, port: 80}}]"), "routers.bad.services", KUBERNETES, "service: NAME"),
    (router('match: "Host(`b`)", service: good'), "routers.bad.match", KUBERNETES, "write rule"),
    (router(f"{RULE}, kind: Rule"), "routers.bad.kind", KUBERNETES, "leave it out"),
    (router('rule: "HostSNI(`*`)", service: good'), "routers.bad.rule", TCP, "Host(`example.com`)"),
    (router('rule: "ALPN(`h2`)", service: good'), "routers.bad.rule", TCP, "Host(`example.com`)"),
    (router(f"{RULE}, ruleSyntax: v4"), "routers.bad.rule", "unknown rule syntax 'v4'", "v3 or v2"),
    (router('rule: "Host:b;PathPrefix:/x", service: good'), "routers.bad.rule", "unexpected ':'", "Host("),
    (router('rule: "Host(`b`)", service: rest@internal'), "routers.bad.service", "does not exist", ""),
    (router('rule: "Host(`{{ env `DOMAIN` }}`)", service: good'), "routers.bad.rule", "Go template", GO),
    (router('rule: "Host(`${env:DOMAIN}`)", service: good'), "routers.bad.rule", "not read here", "write the value"),
    ((ROUTERS, '    bad:\n      rule: {{ env "DOMAIN" }}\n      service: good'), "routers.bad.rule", "Go template", GO),
    ((ROUTERS, '    "bad{{ $i }}": {rule: "Host(`b`)", service: good}'), 'routers.bad{{ $i }}', "Go template", GO),
    (balancer('{servers: [{url: "h2c://127.0.0.1:9"}]}'), "services.bad.servers", "h2c is not", "http://127.0.0.1:9"),
    (balancer('{servers: [{url: "ws://127.0.0.1:9"}]}'), "services.bad.servers", "no", "http://host:port"),
    (balancer('{servers: [{url: "http://{{ env `H` }}:9"}]}'), "services.bad.loadBalancer.servers[0].url",
     "Go template", GO),
    (balancer('{servers: [{address: "127.0.0.1:9"}]}'), "services.bad.loadBalancer.servers[0].address", TCP,
     "url: http"),
    (balancer("{nativeLB: true}"), "services.bad.loadBalancer.nativeLB", KUBERNETES, "url: http://host:port"),
    (balancer("{nodePortLB: true}"), "services.bad.loadBalancer.nodePortLB", KUBERNETES, "url: http://host:port"),
    (balancer("{terminationDelay: 100}"), "services.bad.loadBalancer.terminationDelay", TCP, "leave it out"),
    ((SERVICES, "    bad: {weighted: {services: [{name: good, port: 80}]}}"), "services.bad.weighted.services[0].port",
     KUBERNETES, "defined"),
    ((SERVICES, "    bad: {loadBalancer: {}, weighted: {}}"), "services.bad", "one kind", "its own name"),
    (middleware("{plugin: {demo: {a: b}}}"), "middlewares.m.plugin", "plugin is not there yet", "there is: addPrefix"),
    (middleware("{inFlightConn: {amount: 1}}"), "middlewares.m.inFlightConn", TCP, "inFlightReq"),
    (middleware("{requestHeaderModifier: {}}"), "middlewares.m.requestHeaderModifier", "Gateway API", "headers"),
    (middleware("{URLRewrite: {}}"), "middlewares.m.URLRewrite", "Gateway API", "replacePathRegex"),
    (middleware("{basicAuth: {secret: users}}"), "middlewares.m.basicAuth.secret", KUBERNETES, "usersFile"),
    (middleware("{digestAuth: {secret: users}}"), "middlewares.m.digestAuth.secret", KUBERNETES, "usersFile"),
    (middleware("{forwardAuth: {address: 'http://a', tls: {caSecret: x}}}"), "middlewares.m.forwardAuth.tls.caSecret",
     KUBERNETES, "tls.ca"),
    (middleware("{rateLimit: {average: 1, redis: {secret: x}}}"), "middlewares.m.rateLimit.redis.secret", KUBERNETES,
     "redis.password"),
    (middleware("{errors: {status: ['500'], service: {name: good, port: 80}}}"), "middlewares.m.errors.service",
     "Kubernetes objects name a service", "service: NAME"),
    (middleware("{stripPrefix: {prefixes: [/a], forceSlash: true}}"), "middlewares.m.stripPrefix.forceSlash", "removed",
     "leave it out"),
    (middleware("{respond: {body: '{{ .Name }}'}}"), "middlewares.m.respond.body", "Go template", GO),
    ((REST, "  serversTransports: {t: {spiffe: {ids: [a]}}}"), "serversTransports.t.spiffe", "SPIFFE", "rootCAs"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "path", "message", "hint"), ROWS, ids=range(len(ROWS)))
def test_each_is_refused_with_one_problem(
    written: tuple[int, str], path: str, message: str, hint: str, tmp_path: Path
) -> None:
    problems, made = said(tmp_path, filled(*written))
    follows = [p for p in problems if p.path in ("http.routers.bad.service", "http.routers.bad.middlewares")]
    own = [p for p in problems if p not in follows or p.path == f"http.{path}"]
    (problem,) = own
    assert problem.path == f"http.{path}" and problem.severity == "error"
    text = f"{problem.message} {problem.hint}"
    assert message in text and hint in text and len(text) < 600
    assert problem.source == "file" or problem.source.startswith(f"{tmp_path / 'f.yml'}:")
    assert made.routers["good@file"].status == "enabled"
    bad = made.routers.get("bad@file")
    assert bad is None or bad.status == "disabled"


WARNED = [
    (
        (REST, 'tcp:\n  routers: {t: {rule: "HostSNI(`*`)", service: t}}'),
        "tcp",
        "not served yet",
        "nothing listens for TCP",
    ),
    ((REST, "udp:\n  routers: {t: {service: t}}"), "udp", "not served yet", "nothing listens for UDP"),
    ((REST, "tls:\n  stores: {other: {}}"), "tls.stores.other", "only the store default", "store default"),
    (router(f"{RULE}, observability: {{tracing: true}}"), "http.routers.bad.observability.tracing", "tracing", "leave"),
    (middleware("{inFlightReq: {}}"), "http.middlewares.m.inFlightReq", "every request is answered 429", ""),
    (router('rule: "Path(`/x/{id}`)", service: good'), "http.routers.bad.rule", "{id} stands for itself", "ruleSyntax"),
    (router('rule: "HostRegexp(`{x:.*}.b`)", service: good'), "http.routers.bad.rule", "{x:.*} stands", "HostRegexp"),
    (middleware("{headers: {sslRedirect: true}}"), "http.middlewares.m.sslRedirect", "no effect", "redirectScheme"),
]


@pytest.mark.parametrize(("written", "path", "message", "hint"), WARNED, ids=[row[1] for row in WARNED])
def test_what_changes_nothing_is_a_warning(
    written: tuple[int, str], path: str, message: str, hint: str, tmp_path: Path
) -> None:
    (problem,), made = said(tmp_path, filled(*written))
    assert (problem.path, problem.severity) == (path, "warning")
    assert message in problem.message and hint in problem.hint
    assert made.routers["good@file"].status == "enabled"


@pytest.mark.parametrize(
    ("name", "text", "line", "message"),
    [
        ("f.yml", "http: {}\n{{ range $i, $e := until 3 }}\n{{ end }}\n", 2, "{{ range $i, $e := until 3 }}"),
        ("f.yml", 'http:\n  routers:\n{{- if env "X" }}\n    a: {}\n', 3, '{{- if env "X" }}'),
        ("f.toml", '[http.routers.a]\nrule = "Host(`a`)"\n{{ if true }}\n', 3, "{{ if true }}"),
    ],
)
def test_a_file_that_is_a_template_is_one_problem(
    name: str, text: str, line: int, message: str, tmp_path: Path
) -> None:
    (problem,), _ = said(tmp_path, text, name)
    assert problem.source == f"{tmp_path / name}:{line}"
    assert problem.message == f"this is a Go template, and nothing here fills it in: {message}"
    assert problem.hint.startswith(GO)


def test_a_manifest_is_one_problem(tmp_path: Path) -> None:
    text = "apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: {name: x}\nspec: {entryPoints: [web]}\n"
    (problem,), _ = said(tmp_path, text)
    assert problem.source == f"{tmp_path / 'f.yml'}:2"
    assert problem.message == "this is a Kubernetes object of kind IngressRoute, and no configuration"
    assert "providers.kubernetesIngress" in problem.hint


@pytest.mark.parametrize("body", ["{{name}}", "{{ name }}", "{{#each items}}", "{ {.x} }", "{{", "}}{{"])
def test_braces_of_others_are_no_templates(body: str, tmp_path: Path) -> None:
    problems, made = said(tmp_path, filled(*middleware(f"{{respond: {{body: '{body}'}}}}")))
    assert problems == [] and made.routers["bad@file"].status == "enabled"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("rest@internal", "there is: api@internal, noop@internal, ping@internal"),
        ("pong@internal", "did you mean 'ping@internal'?"),
    ],
)
def test_internal_names_are_few_and_listed(name: str, hint: str) -> None:
    names = Names("service", ["noop@internal", "ping@internal", "api@internal", "web@file"], {})
    assert names.missing(name) == (f"service {name!r} does not exist", hint)


@pytest.mark.parametrize(
    "rule",
    ["PathRegexp(`^/a{2}$`)", "PathRegexp(`^/a{2,3}/{1}`)", "HostRegexp(`^[a-z]{1,9}[.]b$`)", "Header(`X`, `{a}`)"],
)
def test_braces_of_regular_expressions_are_no_old_templates(rule: str, tmp_path: Path) -> None:
    problems, _ = said(tmp_path, filled(*router(f"rule: '{rule}', service: good")))
    assert problems == []
