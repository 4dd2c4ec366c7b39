"""headers: options and message in, message out; custom fields, CORS, security."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from steps import answered, ask, make

from edgerouter.proxy.phases import ON_REQUEST, ON_RESPONSE, phases_of
from edgerouter.registry import load


def through(options: dict[str, Any], ask_: dict[str, Any] | None = None, answer: dict[str, str] | None = None) -> Any:
    """One exchange through the step in both directions."""
    step = make("headers", options)
    exchange = ask(**(ask_ or {}))
    exchange.response = step.on_request(exchange)  # type: ignore[assignment]
    if exchange.response is None:
        step.on_response(answered(exchange, headers=answer))
    return exchange


@pytest.mark.parametrize(
    ("given", "sent", "arrives"),
    [
        ({"X-A": "1"}, {}, {"X-A": "1"}),
        ({"X-A": "1"}, {"x-a": "0"}, {"X-A": "1"}),
        ({"X-A": ""}, {"x-a": "0", "X-B": "2"}, {"X-B": "2"}),
        ({"X-A": ""}, {}, {}),
        ({"X-A": "1", "X-B": "2"}, {}, {"X-A": "1", "X-B": "2"}),
        ({"Content-Length": "9", "Connection": "x", "Transfer-Encoding": "chunked", "X-A": "1"}, {}, {"X-A": "1"}),
    ],
)
@pytest.mark.parametrize("side", ["customRequestHeaders", "customResponseHeaders"])
def test_custom_fields(side: str, given: dict[str, str], sent: dict[str, str], arrives: dict[str, str]) -> None:
    if side == "customRequestHeaders":
        found = through({side: given}, {"headers": sent}).request.headers
    else:
        found = through({side: given}, answer=sent).response.headers
    ours = [(name, value) for name, value in found.items() if name not in ("Content-Type", "X-Content-Type-Options")]
    assert dict(ours) == arrives and len(ours) == len(arrives)


@pytest.mark.parametrize(
    ("options", "halves"),
    [
        ({"customRequestHeaders": {"X-A": "1"}}, ON_REQUEST),
        ({"customRequestHeaders": {"X-Forwarded-For": ""}}, ON_REQUEST),
        ({"customResponseHeaders": {"X-A": ""}}, ON_RESPONSE),
        ({"customRequestHeaders": {"X-A": "1"}, "customResponseHeaders": {"X-A": "1"}}, ON_REQUEST | ON_RESPONSE),
        ({"customRequestHeaders": {"X-A": "1"}, "addVaryHeader": True}, ON_REQUEST | ON_RESPONSE),
        ({"customRequestHeaders": {"X-A": "1"}, "allowedHosts": ["acme.com"]}, ON_REQUEST | ON_RESPONSE),
        ({"customResponseHeaders": {"X-A": "1"}, "frameDeny": True}, ON_REQUEST | ON_RESPONSE),
    ],
)
def test_a_half_with_nothing_to_do_is_not_called(options: dict[str, Any], halves: int) -> None:
    assert phases_of(make("headers", options)) & (ON_REQUEST | ON_RESPONSE) == halves


def test_host_sets_the_authority() -> None:
    request = through({"customRequestHeaders": {"host": "inner.test:81"}}).request
    assert (request.authority, request.headers.get("Host")) == ("inner.test:81", None)


def test_an_empty_forwarded_for_hides_the_client() -> None:
    exchange = through({"customRequestHeaders": {"X-Forwarded-For": ""}}, {"headers": {"X-Forwarded-For": "1.2.3.4"}})
    assert (exchange.forwarded_for, exchange.request.headers.get("X-Forwarded-For")) == (False, None)
    assert through({"customRequestHeaders": {"X-Forwarded-For": "9.9.9.9"}}).forwarded_for is True


def preflight(origin: str = "https://a.test", method: str = "PUT", asked: str = "X-B") -> dict[str, Any]:
    headers = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": asked}
    return {"method": "OPTIONS", "headers": {name: value for name, value in headers.items() if value}}


LIST = {"accessControlAllowOriginList": ["https://a.test", "https://b.test"]}
ALL = {"accessControlAllowOriginList": ["*"]}
BOTH = {"accessControlAllowHeaders": ["X-A", "X-B"], "accessControlAllowMethods": ["GET", "PUT"]}
ANY = {"accessControlAllowHeaders": ["*"], "accessControlAllowMethods": ["*"], **ALL}
CREDENTIALS = {"accessControlAllowCredentials": True}
PATTERN = {"accessControlAllowOriginListRegex": [r"^https://[a-z]+\.test$"]}


@pytest.mark.parametrize(
    ("options", "request_", "fields"),
    [
        (LIST, preflight(), {"Allow-Origin": "https://a.test", "Max-Age": "0"}),
        (LIST, preflight("https://c.test"), {"Max-Age": "0"}),
        (PATTERN, preflight("https://c.test"), {"Allow-Origin": "https://c.test", "Max-Age": "0"}),
        (PATTERN, preflight("https://c.test.evil"), {"Max-Age": "0"}),
        (ALL, preflight(), {"Allow-Origin": "*", "Max-Age": "0"}),
        (
            {**ANY, **CREDENTIALS, "accessControlMaxAge": 60},
            preflight(),
            {
                "Allow-Origin": "https://a.test",
                "Allow-Credentials": "true",
                "Allow-Headers": "X-B",
                "Allow-Methods": "PUT",
                "Max-Age": "60",
            },
        ),
        (ANY, preflight(), {"Allow-Origin": "*", "Allow-Headers": "*", "Allow-Methods": "*", "Max-Age": "0"}),
        (BOTH, preflight(), {"Allow-Headers": "X-A,X-B", "Allow-Methods": "GET,PUT", "Max-Age": "0"}),
    ],
)
def test_preflight_is_answered(options: dict[str, Any], request_: dict[str, Any], fields: dict[str, str]) -> None:
    response = through(options, request_).response
    assert (response.status, response.body, response.content_length) == (200, None, 0)
    assert {name.removeprefix("Access-Control-"): value for name, value in response.headers.items()} == fields


@pytest.mark.parametrize(
    "request_", [preflight(origin=""), preflight(method=""), {**preflight(), "method": "GET"}], ids=str
)
def test_what_is_no_preflight_goes_on(request_: dict[str, Any]) -> None:
    assert make("headers", LIST).on_request(ask(**request_)) is None


def test_without_cors_options_preflights_are_the_server_s() -> None:
    assert make("headers", {"frameDeny": True}).on_request(ask(**preflight())) is None


@pytest.mark.parametrize(
    ("options", "origin", "answer", "fields"),
    [
        (LIST, "https://b.test", {}, {"Access-Control-Allow-Origin": "https://b.test"}),
        (LIST, "https://c.test", {}, {"Access-Control-Allow-Origin": None}),
        (LIST, "", {}, {"Access-Control-Allow-Origin": None}),
        (ALL, "", {}, {"Access-Control-Allow-Origin": "*"}),
        ({**ALL, **CREDENTIALS}, "https://x", {}, {"Access-Control-Allow-Origin": "https://x"}),
        ({**ALL, **CREDENTIALS}, "https://x", {}, {"Access-Control-Allow-Credentials": "true"}),
        ({"accessControlExposeHeaders": ["X-A", "X-B"]}, "", {}, {"Access-Control-Expose-Headers": "X-A,X-B"}),
        ({"addVaryHeader": True}, "", {}, {"Vary": "Origin"}),
        ({"addVaryHeader": True}, "", {"Vary": "Accept"}, {"Vary": "Accept,Origin"}),
        ({"addVaryHeader": True}, "", {"Vary": "Origin"}, {"Vary": "Origin"}),
    ],
)
def test_actual_responses(
    options: dict[str, Any], origin: str, answer: dict[str, str], fields: dict[str, str | None]
) -> None:
    headers = through(options, {"headers": {"Origin": origin} if origin else {}}, answer).response.headers
    assert {name: headers.get(name) for name in fields} == fields


STS = {"stsSeconds": 100}
HSTS = "Strict-Transport-Security"
FORWARDED = {"headers": {"X-Forwarded-Proto": "https"}}


@pytest.mark.parametrize(
    ("options", "request_", "name", "value"),
    [
        (STS, {"scheme": "https"}, HSTS, "max-age=100"),
        (STS, {}, HSTS, None),
        ({**STS, "forceSTSHeader": True}, {}, HSTS, "max-age=100"),
        ({**STS, "sslProxyHeaders": {"X-Forwarded-Proto": "https"}}, FORWARDED, HSTS, "max-age=100"),
        ({**STS, "sslProxyHeaders": {"X-Forwarded-Proto": "https"}}, {}, HSTS, None),
        (
            {**STS, "stsIncludeSubdomains": True, "stsPreload": True},
            {"scheme": "https"},
            HSTS,
            "max-age=100; includeSubDomains; preload",
        ),
        ({**STS, "isDevelopment": True}, {"scheme": "https"}, HSTS, None),
        ({"frameDeny": True}, {}, "X-Frame-Options", "DENY"),
        ({"frameDeny": True, "customFrameOptionsValue": "SAMEORIGIN"}, {}, "X-Frame-Options", "SAMEORIGIN"),
        ({"contentTypeNosniff": True}, {}, "X-Content-Type-Options", "nosniff"),
        ({"browserXssFilter": True}, {}, "X-XSS-Protection", "1; mode=block"),
        ({"customBrowserXSSValue": "0", "browserXssFilter": True}, {}, "X-XSS-Protection", "0"),
        ({"contentSecurityPolicy": "default-src 'self'"}, {}, "Content-Security-Policy", "default-src 'self'"),
        ({"contentSecurityPolicyReportOnly": "x"}, {}, "Content-Security-Policy-Report-Only", "x"),
        ({"publicKey": "pin"}, {"scheme": "https"}, "Public-Key-Pins", "pin"),
        ({"publicKey": "pin"}, {}, "Public-Key-Pins", None),
        ({"referrerPolicy": "no-referrer"}, {}, "Referrer-Policy", "no-referrer"),
        ({"permissionsPolicy": "camera=()"}, {}, "Permissions-Policy", "camera=()"),
        ({"frameDeny": True, "customResponseHeaders": {"x-frame-options": "mine"}}, {}, "X-Frame-Options", "mine"),
    ],
)
def test_security_fields(options: dict[str, Any], request_: dict[str, Any], name: str, value: str | None) -> None:
    answer = {"X-Frame-Options": "server's"} if name == "X-Frame-Options" else {}
    assert through(options, request_, answer).response.headers.get_all(name) == ([] if value is None else [value])


@pytest.mark.parametrize(
    ("options", "request_", "status"),
    [
        ({}, {"host": "acme.com"}, 200),
        ({}, {"host": "ACME.com"}, 200),
        ({}, {"host": "acme.com:80"}, 500),
        ({}, {"host": "other.com"}, 500),
        ({"hostsProxyHeaders": ["X-Host"]}, {"host": "other.com", "headers": {"X-Host": "acme.com"}}, 200),
        ({"hostsProxyHeaders": ["X-Host"]}, {"host": "acme.com", "headers": {"X-Host": "other.com"}}, 500),
        ({"hostsProxyHeaders": ["X-Host"]}, {"host": "acme.com"}, 200),
        ({"isDevelopment": True}, {"host": "other.com"}, 200),
    ],
)
def test_allowed_hosts(options: dict[str, Any], request_: dict[str, Any], status: int) -> None:
    exchange = through({"allowedHosts": ["acme.com"], "customResponseHeaders": {"X-A": "1"}, **options}, request_)
    assert (exchange.response.status, exchange.cause) == (status, "BAD_HOST" if status == 500 else "")
    assert exchange.response.headers.get("X-A") == "1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing is set; write e.g. customRequestHeaders"),
        ({"customRequestHeaders": {"X A": "1"}}, "customRequestHeaders: 'X A': '1' is no header field"),
        ({"customResponseHeaders": {"X-A": "1\r\nX-B: 2"}}, "customResponseHeaders: 'X-A'"),
        ({"accessControlAllowOriginListRegex": ["("]}, r"accessControlAllowOriginListRegex: '\(': .*never closed"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("headers", options)


def test_options_that_are_gone_are_named() -> None:
    plugin = load("middlewares")["headers"]
    given = msgspec.convert({"sslRedirect": True, "sslHost": "x", "frameDeny": True}, plugin.options)
    assert given.not_there_yet() == ("sslRedirect", "sslHost")
