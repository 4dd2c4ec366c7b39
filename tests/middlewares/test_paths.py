"""stripPrefix and addPrefix: options and path in, path and X-Forwarded-Prefix out."""

from __future__ import annotations

import pytest
from steps import ask, make

from edgerouter.errors import BadRequest
from edgerouter.http.exchange import Exchange
from edgerouter.wire.http1 import Limits, RequestParser
from edgerouter.wire.http1_base import NONE
from edgerouter.wire.http1_encode import encode_request_head


@pytest.mark.parametrize(
    ("prefixes", "target", "path", "removed"),
    [
        (["/api"], "/api/users", "/users", ["/api"]),
        (["/api"], "/api", "/", ["/api"]),
        (["/api"], "/api/", "/", ["/api"]),
        (["/foo"], "/foobar", "/bar", ["/foo"]),
        (["/api/"], "/api", "/api", []),
        (["/api/"], "/api/x", "/x", ["/api/"]),
        (["/a", "/b"], "/b/c", "/c", ["/b"]),
        (["/a", "/a/b"], "/a/b/c", "/b/c", ["/a"]),
        (["/a/b", "/a"], "/a/b/c", "/c", ["/a/b"]),
        (["/api"], "/other", "/other", []),
        (["/api"], "/API/x", "/API/x", []),
        (["/"], "/x", "/x", ["/"]),
        ([], "/x", "/x", []),
        (["", " /api "], "/api/x", "/x", ["/api"]),
        (["api"], "/api/x", "/x", ["api"]),
        (["/a b"], "/a%20b/c", "/c", ["/a b"]),
        (["/a%20b"], "/a%20b/c", "/c", ["/a%20b"]),
        (["/é"], "/%C3%A9/c", "/c", ["/%C3%A9"]),
        (["/api"], "/api%2Fusers", "/%2Fusers", ["/api"]),
        (["/api"], "/api/..x/.y", "/..x/.y", ["/api"]),
        (["/api"], "*", "*", []),
    ],
)
def test_strip_prefix(prefixes: list[str], target: str, path: str, removed: list[str]) -> None:
    exchange = ask(target=target)
    assert make("stripPrefix", {"prefixes": prefixes}).on_request(exchange) is None
    assert exchange.request.path == path
    assert exchange.request.headers.get_all("X-Forwarded-Prefix") == removed


@pytest.mark.parametrize("target", ["/api../x", "/api/../x", "/api//x", "/api./x", "/api/x/..", "/api/."])
def test_strip_prefix_refuses_what_would_not_be_clean(target: str) -> None:
    exchange = ask(target=target)
    with pytest.raises(BadRequest, match="the path would become") as caught:
        make("stripPrefix", {"prefixes": ["/api"]}).on_request(exchange)
    assert (caught.value.status, caught.value.cause) == (400, "BAD_REQUEST_PATH")
    assert exchange.request.path == target


def test_strip_prefix_adds_to_what_a_proxy_stripped_before() -> None:
    exchange = ask(target="/b/c", headers={"X-Forwarded-Prefix": "/a"})
    make("stripPrefix", {"prefixes": ["/b"]}).on_request(exchange)
    assert exchange.request.headers.get_all("x-forwarded-prefix") == ["/a", "/b"]


@pytest.mark.parametrize(
    ("prefix", "target", "forwarded"),
    [
        ("/foo", "/bar?x=1", "/foo/bar?x=1"),
        ("foo", "/bar", "/foo/bar"),
        ("/foo", "/", "/foo/"),
        ("/foo/", "/bar", "/foo//bar"),
        ("/a b", "/c", "/a%20b/c"),
        ("/é", "/%20?", "/%C3%A9/%20?"),
        ("/foo", "*", "*"),
    ],
)
def test_add_prefix(prefix: str, target: str, forwarded: str) -> None:
    exchange = ask(target=target)
    assert make("addPrefix", {"prefix": prefix}).on_request(exchange) is None
    assert exchange.request.target_text() == forwarded


def test_add_prefix_needs_one() -> None:
    with pytest.raises(ValueError, match="prefix is empty; write"):
        make("addPrefix", {})


def there_and_back(target: str) -> Exchange:
    """A parsed request, not cleaned, whose path one step changed and another changed back."""
    head = f"GET {target} HTTP/1.1\r\nHost: acme.com\r\nX-A: 1\r\n\r\n".encode()
    request = RequestParser(Limits(sanitize_path=False)).parse(head)
    assert request is not None
    exchange = Exchange(request)
    make("addPrefix", {"prefix": "/x"}).on_request(exchange)
    assert request.path == "/x" + target.partition("?")[0]
    make("stripPrefix", {"prefixes": ["/x"]}).on_request(exchange)
    return exchange


@pytest.mark.parametrize("target", ["/", "/a/b?c=1", "/a%20b", "/a.b/c..d", "/a?"])
def test_a_path_that_came_back_is_sent_as_it_came(target: str) -> None:
    request = there_and_back(target).request
    assert request.path == target.partition("?")[0]
    assert encode_request_head(request, NONE, 0).startswith(f"GET {target} HTTP/1.1\r\nHost: acme.com\r\n".encode())


@pytest.mark.parametrize("target", ["/a//b", "//a", "/a/../b", "/./a", "/a/.", "/a/.."])
def test_a_path_that_came_back_and_is_not_clean_is_refused(target: str) -> None:
    with pytest.raises(BadRequest, match="the path would become"):
        there_and_back(target)
