"""replacePath, replacePathRegex, redirectRegex and chain: options and request in, path or Location out."""

from __future__ import annotations

from typing import Any

import pytest
from steps import ask, make

from edgerouter.errors import BadRequest


@pytest.mark.parametrize(
    ("path", "target", "forwarded"),
    [
        ("/x", "/a/b?c=d", "/x?c=d"),
        ("x", "/a", "/x"),
        ("/a b?c", "/%C3%A9", "/a%20b%3Fc"),
    ],
)
def test_replace_path(path: str, target: str, forwarded: str) -> None:
    exchange = ask(target=target, headers={"X-Replaced-Path": "/forged"})
    make("replacePath", {"path": path}).on_request(exchange)
    assert exchange.request.target_text() == forwarded
    assert exchange.request.headers.get_all("X-Replaced-Path") == [target.split("?")[0]]


@pytest.mark.parametrize(
    ("regex", "replacement", "target", "forwarded"),
    [
        ("^/foo/(.*)", "/bar/$1", "/foo/x?q=/foo/", "/bar/x?q=/foo/"),
        ("^/foo/(?P<rest>.*)", "/${rest}/bar", "/foo/x", "/x/bar"),
        ("/old", "/new", "/old/old", "/new/new"),
        ("^/(.*)$", "/$1?x", "/a", "/a%3Fx"),
        ("^/(.*)$", "$1", "/a", "/a"),
        ("^/a b$", "/c", "/a%20b", None),
        ("^/a%20b$", "/é", "/a%20b", "/%C3%A9"),
        ("^/foo", "/bar", "/other", None),
    ],
)
def test_replace_path_regex(regex: str, replacement: str, target: str, forwarded: str | None) -> None:
    exchange = ask(target=target)
    make("replacePathRegex", {"regex": regex, "replacement": replacement}).on_request(exchange)
    assert exchange.request.target_text() == (target if forwarded is None else forwarded)
    replaced = exchange.request.headers.get("X-Replaced-Path")
    assert replaced == (None if forwarded is None else target.split("?")[0])


@pytest.mark.parametrize("replacement", ["/$1/../x", "//x", "/x%2", "/x%zz", "/."])
def test_replace_path_regex_refuses_what_is_no_clean_path(replacement: str) -> None:
    with pytest.raises(BadRequest, match="the path would become"):
        make("replacePathRegex", {"regex": "^/(a)", "replacement": replacement}).on_request(ask(target="/a"))


@pytest.mark.parametrize(
    ("regex", "replacement", "request_", "location"),
    [
        (r"^https?://www\.(.*)", "https://${1}", {"host": "www.acme.com", "target": "/a?b"}, "https://acme.com/a?b"),
        (
            r"^http://acme.com:81/(.*)",
            "http://acme.com/$1",
            {"host": "acme.com:81", "target": "/x"},
            "http://acme.com/x",
        ),
        (r"^http://(.*)", "https://$1", {}, "https://acme.com/"),
        (r"^http://(.*)", "https://$1", {"scheme": "https"}, None),
        (r"acme", "acme", {}, None),
        (r"/old$", "/a b", {"target": "/old"}, "http://acme.com/a%20b"),
    ],
)
def test_redirect_regex(regex: str, replacement: str, request_: dict[str, Any], location: str | None) -> None:
    answer: Any = make("redirectRegex", {"regex": regex, "replacement": replacement}).on_request(ask(**request_))
    assert (answer and answer.headers.get("Location")) == location


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("replacePath", {}, "path is empty; write"),
        ("replacePathRegex", {}, "regex is empty; write"),
        ("replacePathRegex", {"regex": "(", "replacement": "x"}, r"replacePathRegex: regex: '\(': .*never closed"),
        ("redirectRegex", {"regex": "x"}, "write both regex and replacement"),
        ("redirectRegex", {"regex": "(?<!a)", "replacement": "x"}, "redirectRegex: regex"),
        ("chain", {"middlewares": ["a", "b"]}, "was not replaced by its members a, b"),
        ("retry", {}, "write 2 or more"),
        ("retry", {"attempts": 2, "disableRetryOnNetworkError": True}, "nothing would be tried again"),
        ("retry", {"attempts": 2, "status": ["5xx"]}, "'5xx' is no status; write 503 or 500-599"),
        ("retry", {"attempts": 2, "status": ["599-500"]}, "no range of statuses"),
    ],
)
def test_bad_options(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(kind, options)
