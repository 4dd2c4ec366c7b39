"""The label language: paths, cases, lists, booleans, single servers, two prefixes; one bad label spoils its object."""

from __future__ import annotations

from typing import Any

import pytest

from edgerouter.config.dynamic import Domain, Model, Router, RouterTLS
from edgerouter.config.label_types import LabelResult, ServerLabels
from edgerouter.config.labels import decode_labels


class Strip(Model, frozen=True):
    prefixes: tuple[str, ...] = ()


class Headers(Model, frozen=True):
    custom_request_headers: dict[str, str] = {}


class Compress(Model, frozen=True):
    min_response_body_bytes: int = 1024


class Cookie(Model, frozen=True):
    name: str = ""
    secure: bool = False


class Sticky(Model, frozen=True):
    cookie: Cookie | None = None


class Balancer(Model, frozen=True):
    servers: tuple[str, ...] = ()
    pass_host_header: bool = True
    sticky: Sticky | None = None


KINDS: dict[str, dict[str, Any]] = {
    "middlewares": {"stripPrefix": Strip, "compress": Compress, "headers": Headers},
    "services": {"loadBalancer": Balancer, "weighted": Strip},
}


def decode(*labels: str, prefixes: tuple[str, ...] = ("edgerouter", "traefik")) -> LabelResult:
    return decode_labels(dict(label.split("=", 1) for label in labels), KINDS, prefixes)


ROUTERS = [
    # labels below traefik.http.routers.r, the router
    (["rule=Host(`a`)"], Router(rule="Host(`a`)")),
    (['Rule=Host("a, b")'], Router(rule='Host("a, b")')),
    (["ENTRYPOINTS=web, websecure"], Router(entry_points=("web", "websecure"))),
    (["middlewares=a@file,b"], Router(middlewares=("a@file", "b"))),
    (["priority=-5"], Router(priority=-5)),
    (["tls=true"], Router(tls=RouterTLS())),
    (["tls=1"], Router(tls=RouterTLS())),
    (["tls=false"], Router()),
    (["tls=true", "tls.certresolver=le"], Router(tls=RouterTLS(cert_resolver="le"))),
    (
        ["tls.domains[0].main=a.org", "tls.domains[0].sans=b.org, c.org"],
        Router(tls=RouterTLS(domains=(Domain(main="a.org", sans=("b.org", "c.org")),))),
    ),
    (
        ["tls.domains[7].main=second", "tls.domains[2].main=first"],
        Router(tls=RouterTLS(domains=(Domain(main="first"), Domain(main="second")))),
    ),
]


@pytest.mark.parametrize("prefix", ["edgerouter", "traefik"])
@pytest.mark.parametrize(("labels", "router"), ROUTERS)
def test_routers(prefix: str, labels: list[str], router: Router) -> None:
    result = decode(*(f"{prefix}.http.routers.r.{label}" for label in labels))
    assert result.problems == ()
    assert result.configuration.http.routers == {"r": router}


@pytest.mark.parametrize("name", ["web", "a-b_c", "a@b", "a b", "日本", "x:y/z", "[0]x"])
def test_names_hold_anything_but_dots(name: str) -> None:
    result = decode(f"traefik.http.routers.{name}.rule=x")
    assert result.problems == () or name == "[0]x"
    assert list(result.configuration.http.routers) == ([name] if name != "[0]x" else [])


def test_map_keys_keep_their_case_and_merge() -> None:
    result = decode("traefik.http.routers.Web.rule=x", "traefik.http.routers.web.priority=3")
    assert result.configuration.http.routers == {"Web": Router(rule="x", priority=3)}


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (["stripprefix.prefixes=/a,/b"], Strip(("/a", "/b"))),
        (["compress=true"], Compress()),
        (["compress=true", "compress.minResponseBodyBytes=5"], Compress(min_response_body_bytes=5)),
        (["headers.customrequestheaders.X-Name=v"], Headers({"X-Name": "v"})),
        (["headers.customrequestheaders.X-Gone="], Headers({"X-Gone": ""})),
    ],
)
def test_middlewares(labels: list[str], options: object) -> None:
    result = decode(*(f"edgerouter.http.middlewares.m.{label}" for label in labels))
    assert result.problems == ()
    assert result.configuration.http.middlewares["m"].options == options


@pytest.mark.parametrize(
    ("labels", "server"),
    [
        (["server.port=80"], ServerLabels(port=80)),
        (["SERVER.Port=80", "server.Scheme=https"], ServerLabels(port=80, scheme="https")),
        (["server.url=http://x:1"], ServerLabels(url="http://x:1")),
        (["server.weight=0", "server.preservepath=T"], ServerLabels(weight=0, preserve_path=True)),
    ],
)
def test_single_server(labels: list[str], server: ServerLabels) -> None:
    result = decode(*(f"traefik.http.services.s.loadbalancer.{label}" for label in labels))
    assert result.problems == ()
    assert result.servers == {"s": server}
    assert result.configuration.http.services["s"].options == Balancer()


def test_service_without_server_label() -> None:
    result = decode("traefik.http.services.s.loadbalancer.sticky.cookie=true")
    assert result.servers == {}
    assert result.configuration.http.services["s"].options == Balancer(sticky=Sticky(cookie=Cookie()))


def test_workload_wide_labels() -> None:
    result = decode(
        "traefik.enable=true",
        "traefik.port=3000",
        "edgerouter.priority=-10",
        "traefik.docker.network=edge",
        "traefik.docker.allowNonRunning=true",
        "traefik.swarm.lbswarm=true",
        "com.example=x",
        "traefik=x",
        "traefik.consulcatalog.connect=true",
    )
    assert (result.enable, result.port, result.priority) == (True, 3000, -10)
    assert result.docker == {"network": "edge", "allownonrunning": "true"}
    assert result.swarm == {"lbswarm": "true"}
    assert result.problems == ()


def test_absent_labels() -> None:
    assert decode() == LabelResult()


@pytest.mark.parametrize(
    ("label", "field", "value", "path"),
    [
        ("traefik.enable=no", "enable", False, "enable"),
        ("traefik.enable=", "enable", False, "enable"),
        ("traefik.port=http", "port", None, "port"),
        ("traefik.port=0", "port", None, "port"),
        ("traefik.port=70000", "port", None, "port"),
        ("traefik.priority=high", "priority", None, "priority"),
    ],
)
def test_bad_workload_wide_labels(label: str, field: str, value: object, path: str) -> None:
    result = decode(label)
    assert getattr(result, field) is value
    assert [(p.path, p.source) for p in result.problems] == [(path, "label " + label.split("=")[0])]


def test_first_prefix_wins_and_says_so() -> None:
    result = decode("traefik.http.routers.r.rule=old", "edgerouter.http.routers.r.Rule=new", "traefik.enable=false")
    assert result.configuration.http.routers["r"].rule == "new"
    assert [(p.severity, p.source) for p in result.problems] == [("warning", "label traefik.http.routers.r.rule")]
    same = decode("traefik.enable=true", "edgerouter.enable=true")
    assert same.problems == ()


def test_alias_can_be_switched_off() -> None:
    result = decode("traefik.enable=true", "traefik.http.routers.r.rule=x", prefixes=("edgerouter",))
    assert result == LabelResult()


BAD = [
    # label below traefik., path of the problem, part of message, part of hint
    ("http.routers.bad.rul=x", "http.routers.bad.rul", "unknown option", "'rule'"),
    ("http.routers.bad.tls.x=y", "http.routers.bad.tls.x", "unknown option", "options"),
    ("http.routers.bad..rule=y", "http.routers.bad.", "unknown option ''", ""),
    ("http.routers.bad.rule.x=y", "http.routers.bad.rule", "expected text", ""),
    ("http.routers.bad.priority=y", "http.routers.bad.priority", "whole number", ""),
    ("http.routers..rule=y", "http.routers..rule", "not possible", "name between the dots"),
    ("http.routes.bad.rule=y", "http.routes", "unknown section", "'routers'"),
    ("http.services.bad.loadbalancer.server.port=y", "http.services.bad.loadBalancer.server.port", "whole number", ""),
    ("http.services.bad.loadbalancer.server.port=99999", "http.services.bad.loadBalancer.server.port", "65535", ""),
    ("http.services.bad.loadbalancer.server.prt=1", "http.services.bad.loadBalancer.server.prt", "unknown", "'port'"),
    ("http.services.bad.loadbalancer.servers[0].url=x", "http.services.bad.loadBalancer.servers", "one server", ".url"),
    ("http.services.bad.loadbalancer.x=1", "http.services.bad.loadBalancer.x", "unknown option", ""),
    ("http.services.bad.weighted.prefixes=1", "http.services.bad.weighted", "cannot be made with labels", "file"),
    ("http.services.bad.loadbalancer=no", "http.services.bad.loadBalancer", "expected options", ""),
    ("http.middlewares.bad.strip.x=1", "http.middlewares.bad.strip", "unknown kind", "'stripPrefix'"),
    ("http.middlewares.bad.plugin.x=1", "http.middlewares.bad.plugin", "not there yet", ""),
    ("http.serverstransports.bad.servername=x", "http.serverstransports.bad.servername", "not possible", "file"),
    ("tls.options.bad.minversion=x", "tls.options.bad.minversion", "not possible", "tls.stores.default"),
    ("htp.routers.bad.rule=x", "htp.routers.bad.rule", "unknown label", "'http'"),
]


@pytest.mark.parametrize(("label", "path", "message", "hint"), BAD)
def test_bad_label_spoils_its_own_object_only(label: str, path: str, message: str, hint: str) -> None:
    good = (
        "traefik.http.routers.good.rule=x",
        "traefik.http.services.good.loadbalancer.server.port=80",
        "traefik.http.middlewares.good.stripprefix.prefixes=/a",
    )
    result = decode(*good, f"traefik.{label}")
    assert [(p.path, p.source) for p in result.problems] == [(path, f"label traefik.{label.split('=')[0]}")]
    assert message in result.problems[0].message
    assert hint in result.problems[0].hint
    expected = decode(*good)
    http = result.configuration.http
    assert http.routers == expected.configuration.http.routers
    assert result.servers == expected.servers
    assert http.services["good"] == expected.configuration.http.services["good"]
    assert http.middlewares["good"] == expected.configuration.http.middlewares["good"]
    for broken in (http.services.get("bad"), http.middlewares.get("bad")):
        assert broken is None or message in broken.refused


def test_url_stands_alone() -> None:
    at = "traefik.http.services.s.loadbalancer.server"
    result = decode(f"{at}.url=http://x", f"{at}.port=80")
    assert [p.path for p in result.problems] == ["http.services.s.loadBalancer.server.url"]
    assert result.configuration.http.services["s"].refused
    assert result.servers == {}


def test_depth_and_length_are_bounded() -> None:
    deep = "traefik.tcp" + ".a" * 5000
    result = decode(f"{deep}=x", "traefik.http.routers.good.rule=x", f"traefik.priority={'9' * 5000}")
    assert list(result.configuration.http.routers) == ["good"]
    assert sorted(p.path[:8] for p in result.problems) == ["priority", "tcp.a.a."]
    assert decode(f"traefik.http.routers.r.priority={'9' * 5000}").configuration.http.routers == {}


def test_value_beside_options() -> None:
    result = decode("traefik.http.routers.r.tls=false", "traefik.http.routers.r.tls.options=x")
    assert result.configuration.http.routers == {}
    assert [p.path for p in result.problems] == ["http.routers.r.tls"]


def test_tcp_and_udp_are_kept() -> None:
    result = decode("traefik.tcp.routers.t.rule=HostSNI(`*`)", "traefik.udp.services.u.loadbalancer.server.port=53")
    assert result.configuration.tcp == {"routers": {"t": {"rule": "HostSNI(`*`)"}}}
    assert result.configuration.udp == {"services": {"u": {"loadbalancer": {"server": {"port": 53}}}}}
    assert [(p.path, p.severity) for p in result.problems] == [("tcp", "warning"), ("udp", "warning")]


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("traefik.http.routers.r.rule=Host(`a`)", True),
        ("Edgerouter.HTTP.Routers.r.nonsense=x", True),
        ("traefik.frontend.rule=Host:a", True),
        ("traefik.api.frontend.rule=Host:a", False),
        ("traefik.http.routers=x", False),
        ("traefik.http.services.s.loadbalancer.server.port=80", False),
        ("other.http.routers.r.rule=Host(`a`)", False),
    ],
)
def test_whether_labels_name_a_router(label: str, names: bool) -> None:
    """Where they do none is invented, were it one that cannot be used."""
    assert decode(label).names_routers is names
