"""Labels and rules of Traefik 1.x in today's form, as tables; and what is said about each."""

from __future__ import annotations

from typing import Any

import pytest

from edgerouter.config.labels import decode_labels
from edgerouter.config.legacy_labels import modernize
from edgerouter.config.legacy_rules import translate
from edgerouter.registry import load
from edgerouter.rules.compile import compile_rule

RULES = [
    ("Host:a.example", "Host(`a.example`)"),
    ("Host:A.example, b.example", "Host(`a.example`) || Host(`b.example`)"),
    ("Host:a,b;PathPrefix:/x", "(Host(`a`) || Host(`b`)) && PathPrefix(`/x`)"),
    (
        "HostRegexp:{sub:[a-z]{1,2}}.example.com,b.com",
        "HostRegexp(`^(?:[a-z]{1,2})\\.example\\.com$`) || Host(`b.com`)",
    ),
    ("HostRegexp:{any}.x-y.com", "HostRegexp(`^[^.]+\\.x-y\\.com$`)"),
    ("Path:/a", "Path(`/a`)"),
    ("Path:/a/{id:[0-9]+}", "PathRegexp(`^/a/(?:[0-9]+)$`)"),
    ("PathPrefix:/a/{id}", "PathRegexp(`^/a/[^/]+`)"),
    ("Method:get,POST", "Method(`GET`) || Method(`POST`)"),
    ("Headers:X-Key,value", "Header(`X-Key`, `value`)"),
    ("HeadersRegexp:X-Key,^a", "HeaderRegexp(`X-Key`, `^a`)"),
    ("Query:a=1", "Query(`a`, `1`)"),
    ("Host:a;Headers:X,y", "Host(`a`) && Header(`X`, `y`)"),
]


@pytest.mark.parametrize(("old", "today"), RULES)
def test_rules(old: str, today: str) -> None:
    found = translate(old)
    assert (found.rule, found.faults) == (today, ())
    compile_rule(found.rule)


@pytest.mark.parametrize(
    ("old", "rule", "steps"),
    [
        ("PathPrefixStrip:/a,/b", "PathPrefix(`/a`) || PathPrefix(`/b`)", (("stripPrefix", "prefixes", "/a,/b"),)),
        ("PathStrip:/a", "Path(`/a`)", (("stripPrefix", "prefixes", "/a"),)),
        (
            "PathPrefixStripRegex:/{v:v[0-9]}",
            "PathRegexp(`^/(?:v[0-9])`)",
            (("stripPrefixRegex", "regex", "^/(?:v[0-9])"),),
        ),
        ("Host:a;AddPrefix:/x", "Host(`a`)", (("addPrefix", "prefix", "/x"),)),
        ("Host:a;ReplacePath:/x", "Host(`a`)", (("replacePath", "path", "/x"),)),
        (
            "Host:a;ReplacePathRegex: ^/a/(.*) /b/$1",
            "Host(`a`)",
            (("replacePathRegex", "regex", "^/a/(.*)"), ("replacePathRegex", "replacement", "/b/$1")),
        ),
    ],
)
def test_modifiers(old: str, rule: str, steps: tuple[tuple[str, str, str], ...]) -> None:
    found = translate(old)
    assert (found.rule, found.steps, found.faults) == (rule, steps, ())


@pytest.mark.parametrize(
    "old", ["", "nonsense", "Hots:a", "Headers:X", "ReplacePathRegex: ^/a", "Host:", "AddPrefix:/x"]
)
def test_rules_that_are_none(old: str) -> None:
    found = translate(old)
    assert found.rule == "" and found.faults


R, S, M = "http.routers.web.", "http.services.web.loadbalancer.", "http.middlewares.web-"
LABELS: list[tuple[dict[str, str], dict[str, str]]] = [
    (
        {"frontend.rule": "Host:a", "frontend.entryPoints": "http,https", "frontend.priority": "7"},
        {R + "rule": "Host(`a`)", R + "entrypoints": "http,https", R + "priority": "7", R + "service": "web"},
    ),
    ({"protocol": "https", "weight": "3"}, {S + "server.scheme": "https", S + "server.weight": "3"}),
    ({"frontend.passHostHeader": "false"}, {S + "passhostheader": "false"}),
    (
        {"backend.loadbalancer.stickiness": "true", "backend.loadbalancer.stickiness.cookieName": "c"},
        {S + "sticky.cookie": "true", S + "sticky.cookie.name": "c"},
    ),
    ({"backend.loadbalancer.method": "drr"}, {S + "strategy": "p2c"}),
    ({"backend.loadbalancer.swarm": "true"}, {"swarm.lbswarm": "true"}),
    (
        {"backend.healthcheck.path": "/h", "backend.healthcheck.headers": "A:b||C:d"},
        {S + "healthcheck.path": "/h", S + "healthcheck.headers.a": "b", S + "healthcheck.headers.c": "d"},
    ),
    (
        {"backend.circuitbreaker.expression": "NetworkErrorRatio() > 0.5"},
        {M + "breaker.circuitbreaker.expression": "NetworkErrorRatio() > 0.5", R + "middlewares": "web-breaker"},
    ),
    (
        {"backend.maxconn.amount": "5", "backend.maxconn.extractorfunc": "request.host"},
        {
            M + "maxconn.inflightreq.amount": "5",
            M + "maxconn.inflightreq.sourcecriterion.requesthost": "true",
            R + "middlewares": "web-maxconn",
        },
    ),
    (
        {"frontend.auth.basic.users": "a:b", "frontend.whiteList.sourceRange": "10.0.0.0/8"},
        {
            M + "auth.basicauth.users": "a:b",
            M + "whitelist.ipallowlist.sourcerange": "10.0.0.0/8",
            R + "middlewares": "web-whitelist,web-auth",
        },
    ),
    (
        {
            "frontend.redirect.regex": "^http://(.*)",
            "frontend.redirect.replacement": "https://$1",
            "frontend.redirect.permanent": "true",
        },
        {
            M + "redirect.redirectregex.regex": "^http://(.*)",
            M + "redirect.redirectregex.replacement": "https://$1",
            M + "redirect.redirectregex.permanent": "true",
            R + "middlewares": "web-redirect",
        },
    ),
    (
        {
            "frontend.errors.net.status": "500-599",
            "frontend.errors.net.backend": "oops",
            "frontend.errors.net.query": "/{status}",
        },
        {
            M + "errors-net.errors.status": "500-599",
            M + "errors-net.errors.service": "oops",
            M + "errors-net.errors.query": "/{status}",
            R + "middlewares": "web-errors-net",
        },
    ),
    (
        {
            "frontend.rateLimit.extractorFunc": "client.ip",
            "frontend.rateLimit.rateSet.a.average": "5",
            "frontend.rateLimit.rateSet.a.period": "10s",
        },
        {
            M + "rate-a.ratelimit.average": "5",
            M + "rate-a.ratelimit.period": "10s",
            M + "rate-a.ratelimit.sourcecriterion.ipstrategy.depth": "0",
            R + "middlewares": "web-rate-a",
        },
    ),
    (
        {
            "frontend.headers.customRequestHeaders": "X-A:b",
            "frontend.headers.STSSeconds": "5",
            "frontend.headers.SSLRedirect": "true",
        },
        {
            M + "headers.headers.customrequestheaders.x-a": "b",
            M + "headers.headers.stsseconds": "5",
            M + "redirect.redirectscheme.scheme": "https",
            M + "redirect.redirectscheme.permanent": "true",
            R + "middlewares": "web-redirect,web-headers",
        },
    ),
    (
        {"frontend.rule": "PathPrefixStrip:/a"},
        {
            R + "rule": "PathPrefix(`/a`)",
            M + "path-stripprefix.stripprefix.prefixes": "/a",
            R + "middlewares": "web-path-stripprefix",
            R + "service": "web",
        },
    ),
]


@pytest.mark.parametrize(("old", "today"), LABELS, ids=[next(iter(old)) for old, _ in LABELS])
def test_labels(old: dict[str, str], today: dict[str, str]) -> None:
    found = modernize(old, "web")
    made = {path: value for path, value in found.labels.items() if path != S + "passhostheader" or path in today}
    assert made == today
    assert {one.label for one in found.said} == set(old), "one line each"
    assert not [one for one in found.said if one.fault]


def test_segments_are_services_of_their_own_and_plain_labels_their_defaults() -> None:
    old = {
        "api.frontend.rule": "Host:api",
        "api.port": "81",
        "admin.frontend.rule": "Host:admin",
        "admin.port": "82",
        "admin.protocol": "https",
        "frontend.entryPoints": "web",
        "port": "80",
        "enable": "true",
    }
    found = modernize(old, "shop").labels
    assert {path: value for path, value in found.items() if path.endswith((".rule", ".port", "scheme", "points"))} == {
        "http.routers.shop-api.rule": "Host(`api`)",
        "http.routers.shop-api.entrypoints": "web",
        "http.services.shop-api.loadbalancer.server.port": "81",
        "http.routers.shop-admin.rule": "Host(`admin`)",
        "http.routers.shop-admin.entrypoints": "web",
        "http.services.shop-admin.loadbalancer.server.port": "82",
        "http.services.shop-admin.loadbalancer.server.scheme": "https",
    }


def test_workloads_that_name_one_backend_share_a_service() -> None:
    found = modernize({"backend": "shared", "frontend.rule": "Host:a"}, "web").labels
    assert found["http.routers.web.service"] == "shared"
    assert "http.services.shared.loadbalancer.passhostheader" in found


@pytest.mark.parametrize("label", ["frontend.passTLSCert", "frontend.nonsense", "backend.x.y", "seg.frontend.nothing"])
def test_what_has_no_counterpart_is_told(label: str) -> None:
    (said,) = modernize({label: "true"}, "web").said
    assert said.label == label and said.fault and not said.today


@pytest.mark.parametrize("label", ["enable", "port", "docker.network", "http.routers.a.rule", "tags", "swarm.network"])
def test_todays_labels_are_left_alone(label: str) -> None:
    assert modernize({label: "x"}, "web").labels == {}


def kinds() -> dict[str, dict[str, Any]]:
    rooms = ("services", "middlewares")
    return {room: {name: plugin.options for name, plugin in load(room).items()} for room in rooms}


def test_decoded_as_todays_labels_are() -> None:
    labels = {
        "traefik.frontend.rule": "Host:a;PathPrefixStrip:/x",
        "traefik.frontend.auth.basic.users": "u:$apr1$secret",
        "traefik.backend.circuitbreaker.expression": "NetworkErrorRatio() > 0.5",
        "traefik.protocol": "https",
    }
    found = decode_labels(labels, kinds(), name="web")
    http = found.configuration.http
    assert http.routers["web"].rule == "Host(`a`) && PathPrefix(`/x`)"
    assert http.routers["web"].middlewares == ("web-auth", "web-breaker", "web-path-stripprefix")
    assert {one.kind for one in http.middlewares.values()} == {"basicAuth", "circuitBreaker", "stripPrefix"}
    assert found.servers["web"].scheme == "https"
    assert len(found.problems) == len(labels) and {problem.severity for problem in found.problems} == {"warning"}
    hints = [problem.hint for problem in found.problems]
    assert "write traefik.http.routers.web.rule=Host(`a`) && PathPrefix(`/x`)" in hints
    assert not any("secret" in hint for hint in hints)


def test_todays_labels_win_beside_old_ones() -> None:
    labels = {"traefik.frontend.rule": "Host:old", "traefik.http.routers.web.rule": "Host(`new`)"}
    assert decode_labels(labels, kinds(), name="web").configuration.http.routers["web"].rule == "Host(`new`)"


def test_a_bad_old_rule_spoils_its_router_only() -> None:
    found = decode_labels({"traefik.frontend.rule": "Hots:a", "traefik.weight": "3"}, kinds(), name="web")
    assert found.servers["web"].weight == 3 and not found.configuration.http.routers
    assert [problem.severity for problem in found.problems if problem.path == "frontend.rule"] == ["error"]
