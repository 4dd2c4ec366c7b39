"""redirectScheme: options and request in, Location and status (or nothing) out."""

from __future__ import annotations

from typing import Any

import pytest
from steps import ask, make

from edgerouter.errors import BadRequest

HTTPS = {"scheme": "https"}


@pytest.mark.parametrize(
    ("options", "request_", "location"),
    [
        (HTTPS, {"target": "/a?b=c"}, "https://acme.com/a?b=c"),
        (HTTPS, {"target": "/a?"}, "https://acme.com/a?"),
        (HTTPS, {"host": "acme.com:80"}, "https://acme.com/"),
        (HTTPS, {"host": "acme.com:8000"}, "https://acme.com/"),
        (HTTPS, {"host": "[::1]:8000"}, "https://[::1]/"),
        (HTTPS, {"host": "[::1]"}, "https://[::1]/"),
        (HTTPS, {"scheme": "https"}, None),
        (HTTPS, {"scheme": "https", "host": "acme.com:443"}, None),
        (HTTPS, {"scheme": "https", "host": "acme.com:8443"}, "https://acme.com/"),
        (HTTPS, {"headers": {"X-Forwarded-Proto": "https"}}, None),
        (HTTPS, {"headers": {"X-Forwarded-Proto": "wss"}}, None),
        (HTTPS, {"scheme": "https", "headers": {"X-Forwarded-Proto": "ws"}}, "https://acme.com/"),
        ({"scheme": "https", "port": "443"}, {}, "https://acme.com/"),
        ({"scheme": "https", "port": "8443"}, {"target": "/x"}, "https://acme.com:8443/x"),
        ({"scheme": "https", "port": "8443"}, {"scheme": "https", "host": "acme.com:8443"}, None),
        ({"scheme": "https", "port": "80"}, {}, "https://acme.com:80/"),
        ({"scheme": "http", "port": "80"}, {"scheme": "https"}, "http://acme.com/"),
        ({"scheme": "http"}, {"scheme": "http", "host": "acme.com:80"}, None),
        (HTTPS, {"method": "OPTIONS", "target": "*"}, "https://acme.com"),
    ],
)
def test_location(options: dict[str, Any], request_: dict[str, Any], location: str | None) -> None:
    answer: Any = make("redirectScheme", options).on_request(ask(**request_))
    assert (answer and answer.headers.get("Location")) == location


@pytest.mark.parametrize(
    ("method", "permanent", "status", "text"),
    [
        ("GET", False, 302, b"Found"),
        ("GET", True, 301, b"Moved Permanently"),
        ("HEAD", False, 307, b"Temporary Redirect"),
        ("POST", False, 307, b"Temporary Redirect"),
        ("POST", True, 308, b"Permanent Redirect"),
    ],
)
def test_status(method: str, permanent: bool, status: int, text: bytes) -> None:
    answer: Any = make("redirectScheme", {"scheme": "https", "permanent": permanent}).on_request(ask(method))
    assert (answer.status, answer.body.take()) == (status, text)


def test_a_request_without_host_cannot_be_redirected() -> None:
    with pytest.raises(BadRequest, match="names no host"):
        make("redirectScheme", HTTPS).on_request(ask(host=""))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "scheme is empty; write scheme: https"),
        ({"scheme": "https", "port": "https"}, "'https' is no port; write a number"),
        ({"scheme": "https", "port": "70000"}, "'70000' is no port"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("redirectScheme", options)
