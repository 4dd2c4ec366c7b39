"""Plain data -> dynamic configuration: values, every kind of fault with its place, neighbours that survive."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest

from edgerouter.config.decode import decode_dynamic
from edgerouter.config.documents import read_yaml
from edgerouter.config.dynamic import DynamicConfiguration, Model, Router, RouterTLS
from edgerouter.config.fit import fit
from edgerouter.config.fit_types import Plain
from edgerouter.config.types import Duration, Problem, Secret


class Strip(Model, frozen=True):
    prefixes: tuple[str, ...] = ()


class Server(Model, frozen=True):
    url: str
    weight: Annotated[int, msgspec.Meta(ge=0)] = 1


class Balancer(Model, frozen=True):
    servers: tuple[Server, ...] = ()
    pass_host_header: bool = True


KINDS: dict[str, dict[str, Any]] = {
    "middlewares": {"stripPrefix": Strip, "plain": None},
    "services": {"loadBalancer": Balancer, "noop": None},
}


def decode(text: str) -> tuple[DynamicConfiguration, list[Problem]]:
    document = read_yaml(text, "f.yml")
    assert not document.problems
    return decode_dynamic(document.data, KINDS, "f.yml", document.places)


GOOD = """\
http:
  routers:
    good: {rule: "Host(`a`)", service: good, middlewares: [strip], entryPoints: web, priority: 7}
  services:
    good:
      loadBalancer:
        servers: [{url: http://a:1}]
  middlewares:
    strip: {stripPrefix: {prefixes: [/a]}}
"""


def test_good() -> None:
    configuration, problems = decode(GOOD)
    assert problems == []
    http = configuration.http
    expected = Router(rule="Host(`a`)", service="good", middlewares=("strip",), entry_points=("web",), priority=7)
    assert http.routers == {"good": expected}
    assert http.services["good"].options == Balancer(servers=(Server(url="http://a:1"),))
    assert (http.middlewares["strip"].kind, http.middlewares["strip"].options) == ("stripPrefix", Strip(("/a",)))


@pytest.mark.parametrize("text", ["", "http:", "http: {}", "http: {routers: }", "http: {routers: {}}"])
def test_empty(text: str) -> None:
    assert decode(text) == (DynamicConfiguration(), [])


@pytest.mark.parametrize(
    ("text", "rule", "tls"),
    [
        ("{RULE: x, Tls: {}}", "x", RouterTLS()),
        ("{rule: x, tls: true}", "x", RouterTLS()),
        ("{rule: x, tls: }", "x", RouterTLS()),
        ("{rule: x, tls: false}", "x", None),
        ("{rule: x, tls: {certresolver: le}}", "x", RouterTLS(cert_resolver="le")),
        ("{rule: on}", "on", None),
        ("{rule: 1.10}", "1.10", None),
    ],
)
def test_lenient(text: str, rule: str, tls: RouterTLS | None) -> None:
    configuration, problems = decode(f"http: {{routers: {{r: {text}}}}}")
    assert problems == []
    assert configuration.http.routers["r"] == Router(rule=rule, tls=tls)


BAD = [
    # object, its text, path, part of the message, part of the hint
    ("routers", "{rul: x}", "rul", "unknown option 'rul'", "'rule'"),
    ("routers", "{tls: {certResolvr: x}}", "tls.certResolvr", "unknown option", "'certResolver'"),
    ("routers", "{priority: high}", "priority", "whole number, got 'high'", ""),
    ("routers", "{observability: {metrics: yes}}", "observability.metrics", "true or false, got 'yes'", "true or"),
    ("routers", "{rule: [a]}", "rule", "expected text, got a list", ""),
    ("routers", "{rule: a, Rule: b}", "rule", "given twice", ""),
    ("routers", "5", "", "expected options, got '5'", ""),
    ("services", "{}", "", "has none", "loadBalancer"),
    ("services", "{loadBalancer: {}, noop: {}}", "", "has 2: loadBalancer and noop", ""),
    ("services", "{loadBalancr: {}}", "loadBalancr", "unknown kind of service", "'loadBalancer'"),
    ("services", "{mirroring: {}}", "mirroring", "not there yet", ""),
    ("services", "{loadBalancer: {servers: [{}]}}", "loadBalancer.servers[0].url", "is required", ""),
    ("services", "{loadBalancer: {servers: [{url: a, weight: -1}]}}", "loadBalancer.servers[0].weight", ">= 0", ""),
    ("services", "{loadBalancer: {passHostHeader: 2}}", "loadBalancer.passHostHeader", "true or false", ""),
    ("middlewares", "{}", "", "has none", "stripPrefix"),
    ("middlewares", "{stripPrefix: {}, plain: {}}", "", "has 2: plain and stripPrefix", ""),
    ("middlewares", "{stripPrefixx: {}}", "stripPrefixx", "unknown kind of middleware", "'stripPrefix'"),
    ("middlewares", "{plugin: {}}", "plugin", "plugin is not there yet", "stripPrefix"),
    ("middlewares", "{stripPrefix: {prefix: /a}}", "stripPrefix.prefix", "unknown option", "'prefixes'"),
    ("middlewares", "{stripPrefix: {forceSlash: true}}", "stripPrefix.forceSlash", "removed", "leave it out"),
    ("middlewares", "{plain: {x: 1}}", "plain.x", "unknown option", ""),
    ("middlewares", "[a]", "", "expected the kind of a middleware", ""),
    ("serversTransports", "{serverNam: x}", "serverNam", "unknown option", "'serverName'"),
]


@pytest.mark.parametrize(("section", "text", "path", "message", "hint"), BAD)
def test_bad_object_spoils_no_other(section: str, text: str, path: str, message: str, hint: str) -> None:
    whole = GOOD + ("" if f"  {section}:" in GOOD else f"  {section}:\n")
    lines = whole.splitlines()
    at = lines.index(f"  {section}:") + 1
    lines.insert(at, f"    bad: {text}")
    configuration, problems = decode("\n".join(lines))
    assert [(p.path, p.source, p.severity) for p in problems] == [
        (".".join(filter(None, ("http", section, "bad", path))), f"f.yml:{at + 1}", "error")
    ]
    assert message in problems[0].message
    assert hint in problems[0].hint
    good = decode(GOOD)[0].http
    assert configuration.http.routers == good.routers
    assert configuration.http.services["good"] == good.services["good"]
    assert configuration.http.middlewares["strip"] == good.middlewares["strip"]
    if section in ("services", "middlewares"):
        broken = getattr(configuration.http, section)["bad"]
        assert broken.kind == ""
        assert broken.options is None
        assert message in broken.refused
    else:
        assert "bad" not in getattr(configuration.http, section.replace("sT", "s_t"), {})


@pytest.mark.parametrize(
    ("text", "path", "hint"),
    [
        ("htpp: {}", "htpp", "'http'"),
        ("entryPoints: {}", "entryPoints", "static configuration"),
        ("http: {router: {}}", "http.router", "'routers'"),
        ("http: {routers: {}, Routers: {}}", "http.Routers", ""),
        ("http: 5", "http", ""),
        ("http: {routers: [a]}", "http.routers", ""),
        ("- a", "", ""),
    ],
)
def test_bad_sections(text: str, path: str, hint: str) -> None:
    _, problems = decode(text)
    assert [p.path for p in problems] == [path]
    assert hint in problems[0].hint


def test_several_faults_of_one_object_are_all_told() -> None:
    _, problems = decode("http: {routers: {r: {rul: x, priority: y, tls: {option: z}}}}")
    assert [p.path for p in problems] == ["http.routers.r.rul", "http.routers.r.priority", "http.routers.r.tls.option"]


def test_a_service_keeps_its_own_middlewares() -> None:
    configuration, problems = decode("http: {services: {s: {middlewares: [a, b], noop: {}}}}")
    assert problems == []
    assert configuration.http.services["s"].middlewares == ("a", "b")


def test_later_sections_are_kept_and_named() -> None:
    configuration, problems = decode("tcp: {routers: {r: {rule: x, priority: 5}}}")
    assert configuration.tcp == {"routers": {"r": {"rule": "x", "priority": 5}}}
    assert [(p.path, p.severity) for p in problems] == [("tcp", "warning")]


class Many(Model, frozen=True):
    text: str = ""
    count: int = 0
    share: float = 0.0
    on: bool = False
    wait: Duration = Duration(0)
    secret: Secret = Secret("")
    mode: Literal["keep", "drop"] = "keep"
    status: int | str = 0
    names: dict[str, int] = {}
    items: tuple[int, ...] = ()


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("text", Plain("1.10"), "1.10"),
        ("text", 5, "5"),
        ("text", True, "true"),
        ("text", None, ""),
        ("count", "10", 10),
        ("count", 3.0, 3),
        ("share", "0.5", 0.5),
        ("share", 1, 1.0),
        *(("on", text, True) for text in ("1", "t", "T", "TRUE", "true", "True", True, 1)),
        *(("on", text, False) for text in ("0", "f", "F", "FALSE", "false", "False", False, 0)),
        ("wait", "1m30s", 90.0),
        ("wait", 5, 5.0),
        ("wait", "-1", -1.0),
        ("wait", "+1.5s", 1.5),
        ("wait", "1e-3", 0.001),
        ("secret", "x", Secret("x")),
        ("secret", 12, Secret("12")),
        ("mode", "DROP", "drop"),
        ("status", Plain("503"), 503),
        ("status", "503", "503"),
        ("status", "5xx", "5xx"),
        ("names", {"a": "1"}, {"a": 1}),
        ("items", "1, 2", (1, 2)),
        ("items", 7, (7,)),
        ("items", "", ()),
        ("items", None, ()),
    ],
)
def test_values(option: str, value: object, expected: object) -> None:
    made, faults = fit({option: value}, Many)
    assert faults == []
    assert getattr(made, option) == expected


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("count", "1.5"),
        ("count", True),
        ("share", "much"),
        ("on", "yes"),
        ("on", 2),
        *(("wait", text) for text in ("5x", "", "nan", "inf", "1e999", "--5s", "+-5", "1m-5s", float("nan"))),
        ("mode", "kep"),
        ("names", {"a": "b"}),
        ("names", "a"),
        ("items", "1,b"),
        ("items", {"a": 1}),
        ("secret", ["a"]),
    ],
)
def test_bad_values(option: str, value: object) -> None:
    made, faults = fit({option: value}, Many)
    assert made is None
    assert [fault.path[0] for fault in faults] == [option]


def test_a_secret_is_never_quoted() -> None:
    _, faults = fit({"secret": {"hunter2": "hunter2"}}, Many)
    assert faults and not any("hunter2" in fault.message + fault.hint for fault in faults)
