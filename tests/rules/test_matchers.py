"""Every matcher on what requests carry."""

from __future__ import annotations

import pytest

from edgerouter.contracts.plugins import Predicate
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request
from edgerouter.registry import load
from edgerouter.rules.compile import RuleError, compile_rule
from edgerouter.rules.query import parse_query


def holds(rule: str, syntax: str = "v3", **given: str) -> bool:
    fields = [
        (name, value) for name, value in (line.split("=", 1) for line in given.get("headers", "").split("|") if line)
    ]
    raw = "".join(f"{name}: {value}\r\n" for name, value in fields).encode()
    request = Request(given.get("method", "GET"), b"/", "", Headers(raw))
    request.host = given.get("host", "a.test")
    request.path = given.get("path", "/")
    request.query = given.get("query", "")
    exchange = Exchange(request)
    exchange.client_address = given.get("client", "192.0.2.1")
    return compile_rule(rule, syntax).predicate.test(exchange)


def test_the_room_has_every_matcher() -> None:
    expected = "ClientIP Header HeaderRegexp Host HostRegexp Method Path PathPrefix PathRegexp Query QueryRegexp"
    found = load("matchers")
    assert sorted(found) == expected.split()
    assert all(issubclass(plugin.cls, Predicate) for plugin in found.values())


@pytest.mark.parametrize(
    ("rule", "host", "expected"),
    [
        ("Host(`a.test`)", "a.test", True),
        ("Host(`A.TEST`)", "a.test", True),
        ("Host(`a.test.`)", "a.test", True),
        ("Host(`a.test:8080`)", "a.test", True),
        ("Host(`a.test`)", "b.a.test", False),
        ("Host(`a.test`)", "", False),
        ("Host(`[2001:DB8::1]`)", "2001:db8::1", True),
        ("Host(`2001:db8::1`)", "2001:db8::1", True),
        ("Host(`a_b`)", "a_b", True),
        ("Host(`*`)", "", True),
        ("Host(`*`)", "a.b.c", True),
        ("Host(`*.test`)", "a.test", True),
        ("Host(`*.test`)", "test", False),
        ("Host(`*.test`)", ".test", False),
        ("Host(`*.test`)", "b.a.test", False),
        ("Host(`*.a.test`)", "b.a.test", True),
        ("HostRegexp(`^[a-z]+\\.test$`)", "a.test", True),
        ("HostRegexp(`test`)", "a.test.example", True),
        ("HostRegexp(`^test`)", "a.test", False),
    ],
)
def test_hosts(rule: str, host: str, expected: bool) -> None:
    assert holds(rule, host=host) is expected


@pytest.mark.parametrize(
    ("rule", "path", "expected"),
    [
        ("Path(`/foo`)", "/foo", True),
        ("Path(`/foo`)", "/foo/", False),
        ("Path(`/foo`)", "/foobar", False),
        ("Path(`/{id}`)", "/1", False),
        ("Path(`/a b`)", "/a%20b", True),
        ("Path(`/a%20b`)", "/a%20b", True),
        ("Path(`/ä`)", "/%C3%A4", True),
        ("Path(`/%61`)", "/a", True),
        ("Path(`/a%2fb`)", "/a%2Fb", True),
        ("Path(`/a/b`)", "/a%2Fb", False),
        ("Path(`/100%`)", "/100%25", True),
        ("PathPrefix(`/foo`)", "/foo", True),
        ("PathPrefix(`/foo`)", "/foobar", True),
        ("PathPrefix(`/foo`)", "/foo/bar", True),
        ("PathPrefix(`/foo`)", "/fo", False),
        ("PathPrefix(`/foo/`)", "/foo", False),
        ("PathPrefix(`/`)", "*", False),
        ("PathRegexp(`\\.png$`)", "/x/y.png", True),
        ("PathRegexp(`^/v[0-9]+/`)", "/v12/x", True),
        ("PathRegexp(`^/v[0-9]+/`)", "/x/v12/", False),
        ("PathRegexp(`^/a b$`)", "/a%20b", True),
        ("PathRegexp(`^/ä$`)", "/%C3%A4", True),
        ("PathRegexp(`^/a/b$`)", "/a%2Fb", False),
        ("PathRegexp(`^/a%2Fb$`)", "/a%2Fb", True),
    ],
)
def test_paths(rule: str, path: str, expected: bool) -> None:
    assert holds(rule, path=path) is expected


@pytest.mark.parametrize(
    ("rule", "headers", "expected"),
    [
        ("Header(`X-A`, `1`)", "X-A=1", True),
        ("Header(`x-a`, `1`)", "X-A=1", True),
        ("Header(`X-A`, `1`)", "x-a=2|x-A=1", True),
        ("Header(`X-A`, `1`)", "X-A=1, 2", False),
        ("Header(`X-A`, `1`)", "", False),
        ("Header(`X-A`, `v`)", "X-A=V", False),
        ("Header(`X-A`, `é`)", "X-A=é", True),
        ("HeaderRegexp(`X-A`, `^b+$`)", "X-A=a|X-A=bb", True),
        ("HeaderRegexp(`X-A`, `b`)", "X-A=abc", True),
        ("HeaderRegexp(`X-A`, `^é$`)", "X-A=é", True),
        ("HeaderRegexp(`X-A`, `^.$`)", "X-A=é", True),
        ("HeaderRegexp(`X-A`, ``)", "X-A=1", None),
        ("HeaderRegexp(`X-A`, `.*`)", "X-B=1", False),
    ],
)
def test_headers(rule: str, headers: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(RuleError):
            compile_rule(rule)
    else:
        assert holds(rule, headers=headers) is expected


@pytest.mark.parametrize(
    ("rule", "query", "expected"),
    [
        ("Query(`a`)", "a", True),
        ("Query(`a`)", "a=", True),
        ("Query(`a`)", "a=1", False),
        ("Query(`a`)", "a=1&a", True),
        ("Query(`a`)", "", False),
        ("Query(`a`, `1`)", "b=2&a=1", True),
        ("Query(`a`, `1`)", "a=2&a=1", True),
        ("Query(`a`, `1`)", "A=1", False),
        ("Query(`a b`, `c d`)", "a+b=c%20d", True),
        ("Query(`ä`, `ö`)", "%C3%A4=%c3%b6", True),
        ("Query(`a`, `b=c`)", "a=b=c", True),
        ("Query(`a`, `1`)", "a=1;b=2", False),
        ("Query(`b`, `2`)", "a=1;x&b=2", True),
        ("Query(`a`, `%zz`)", "a=%zz", False),
        ("QueryRegexp(`a`, `^[0-9]+$`)", "a=x&a=12", True),
        ("QueryRegexp(`a`, `^[0-9]+$`)", "a=x", False),
        ("QueryRegexp(`a`)", "a=", True),
        ("QueryRegexp(`a`)", "a=1", False),
    ],
)
def test_queries(rule: str, query: str, expected: bool) -> None:
    assert holds(rule, query=query) is expected


def test_query_parameters_are_read_as_go_reads_them() -> None:
    assert parse_query("a=1&a=2&&b&=c&d=%2&e=x+y&f=1;2") == {"a": ["1", "2"], "b": [""], "": ["c"], "e": ["x y"]}


@pytest.mark.parametrize(
    ("rule", "client", "expected"),
    [
        ("ClientIP(`192.0.2.1`)", "192.0.2.1", True),
        ("ClientIP(`192.0.2.1`)", "192.0.2.10", False),
        ("ClientIP(`192.0.2.0/24`)", "192.0.2.200", True),
        ("ClientIP(`192.0.2.77/24`)", "192.0.2.200", True),
        ("ClientIP(`192.0.2.0/24`)", "192.0.3.1", False),
        ("ClientIP(`192.0.2.1`)", "::ffff:192.0.2.1", True),
        ("ClientIP(`::ffff:192.0.2.0/120`)", "192.0.2.9", True),
        ("ClientIP(`0.0.0.0/0`)", "2001:db8::1", False),
        ("ClientIP(`2001:db8::/32`)", "2001:db8:5::1", True),
        ("ClientIP(`2001:db8::1`)", "2001:DB8:0:0::1", True),
        ("ClientIP(`fe80::1`)", "fe80::1%eth0", True),
        ("ClientIP(`192.0.2.1`)", "", False),
        ("ClientIP(`192.0.2.1`)", "@unix", False),
    ],
)
def test_client_addresses(rule: str, client: str, expected: bool) -> None:
    assert holds(rule, client=client, headers="X-Forwarded-For=192.0.2.1") is expected


@pytest.mark.parametrize(("method", "expected"), [("POST", True), ("GET", False), ("post", False)])
def test_methods(method: str, expected: bool) -> None:
    assert holds("Method(`post`)", method=method) is expected


@pytest.mark.parametrize(
    ("rule", "given", "expected"),
    [
        ("Host(`b.test`, `a.test`)", {}, True),
        ("HostHeader(`b.test`)", {}, False),
        ("hostheader(`a.test`)", {}, True),
        ("HostRegexp(`{sub:[a-z]+}.test`)", {}, True),
        ("HostRegexp(`{sub}.test`)", {"host": "b.a.test"}, False),
        ("HostRegexp(`x.test`, `A.{tld}`)", {}, True),
        ("HostRegexp(`a.test`)", {"host": "aXtest"}, False),
        ("Path(`/a`, `/b`)", {"path": "/b"}, True),
        ("Path(`/a/{id}`)", {"path": "/a/7"}, True),
        ("Path(`/a/{id}`)", {"path": "/a/7/8"}, False),
        ("Path(`/a/{id:[0-9]{2}}`)", {"path": "/a/78"}, True),
        ("Path(`/a/{id:[0-9]{2}}`)", {"path": "/a/789"}, False),
        ("PathPrefix(`/a`)", {"path": "/abc"}, True),
        ("PathPrefix(`/a/{id:[0-9]+}/`)", {"path": "/a/7/x"}, True),
        ("PathPrefix(`/a/{id:x|y}/`)", {"path": "/y/"}, False),
        ("Method(`POST`, `GET`)", {}, True),
        ("Headers(`X-A`, `1`)", {"headers": "X-A=1"}, True),
        ("HeadersRegexp(`X-A`, `[0-9]`)", {"headers": "X-A=1"}, True),
        ("Query(`a=1`, `b=2`)", {"query": "b=2"}, True),
        ("Query(`a=1`)", {"query": "a=2"}, False),
        ("ClientIP(`10.0.0.0/8`, `192.0.2.1`)", {}, True),
        ("!Host(`a.test`, `b.test`)", {}, False),
    ],
)
def test_syntax_v2(rule: str, given: dict[str, str], expected: bool) -> None:
    assert holds(rule, "v2", **given) is expected


@pytest.mark.parametrize(
    ("rule", "position", "says"),
    [
        ("Header(`a`, `b`)", 0, "Headers"),
        ("PathRegexp(`a`)", 0, "unknown matcher"),
        ("Path(`/a`, `b`)", 11, "/b"),
        ("Path(`/{a`)", 5, "without a }"),
        ("Path(`/a}`)", 5, "without a {"),
        ("Path(`/{:x}`)", 5, "{name:pattern}"),
        ("Path(`/a`, `/{a:(}`)", 11, "Go regular expression"),
        ("Query(`a`)", 6, "name=value"),
        ("Host()", 0, "at least 1"),
    ],
)
def test_faults_of_syntax_v2(rule: str, position: int, says: str) -> None:
    with pytest.raises(RuleError) as caught:
        compile_rule(rule, "v2")
    assert (caught.value.position, says in str(caught.value)) == (position, True)
