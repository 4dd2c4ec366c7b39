"""stripPrefixRegex and encodedCharacters: options and path in, path or refusal out."""

from __future__ import annotations

from typing import Any

import pytest
from steps import ask, make

from edgerouter.errors import BadRequest


@pytest.mark.parametrize(
    ("patterns", "target", "path", "removed"),
    [
        (["/a/api/"], "/a/test", "/a/test", []),
        (["/a/api/"], "/a/api/test", "/test", ["/a/api/"]),
        (["/b/([a-z0-9]+)/"], "/b/api/", "/", ["/b/api/"]),
        (["/b/([a-z0-9]+)/"], "/b/api/test1/x", "/test1/x", ["/b/api/"]),
        (["/c/[a-z0-9]+/[0-9]+/"], "/c/api/123/test3", "/test3", ["/c/api/123/"]),
        (["/c/[a-z0-9]+/[0-9]+/"], "/c/api/abc/test3", "/c/api/abc/test3", []),
        (["/x", "/[a-z]+"], "/abc/def", "/def", ["/abc"]),
        (["/[a-z]+", "/abc"], "/abc/def", "/def", ["/abc"]),
        (["api"], "/api/x", "/api/x", []),
        ([".*"], "/api/x", "/", ["/api/x"]),
        (["x*"], "/api", "/api", []),
        (["/a b/"], "/a%20b/c", "/c", ["/a b/"]),
        (["/é"], "/%C3%A9/c", "/c", ["/%C3%A9"]),
        (["/."], "/%C3%A9/c", "/c", ["/%C3%A9"]),
        (["/."], "/%E9/c", "/c", ["/%E9"]),
        (["/.."], "/%E9%C3%A9/c", "/c", ["/%E9%C3%A9"]),
        (["/a/b/"], "/a%2Fb%2Fc", "/c", ["/a/b/"]),
        (["/a."], "/a%0Ac", "/a%0Ac", []),
        (["(?s)/a."], "/a%0A/c", "/c", ["/a%0A"]),
        (["", " /a "], "/a/b", "/b", ["/a"]),
        ([], "/x", "/x", []),
        (["/api"], "*", "*", []),
    ],
)
def test_strip_prefix_regex(patterns: list[str], target: str, path: str, removed: list[str]) -> None:
    exchange = ask(target=target)
    assert make("stripPrefixRegex", {"regex": patterns}).on_request(exchange) is None
    assert exchange.request.path == path
    assert exchange.request.headers.get_all("X-Forwarded-Prefix") == removed


@pytest.mark.parametrize("target", ["/api../x", "/api//x", "/api/x/..", "/api/."])
def test_what_would_not_be_clean_is_refused(target: str) -> None:
    exchange = ask(target=target)
    with pytest.raises(BadRequest, match="stripPrefixRegex: the path would become") as caught:
        make("stripPrefixRegex", {"regex": ["/ap[i]"]}).on_request(exchange)
    assert (caught.value.status, caught.value.cause) == (400, "BAD_REQUEST_PATH")


def test_a_pattern_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"stripPrefixRegex: regex: '\(': not a Go regular expression"):
        make("stripPrefixRegex", {"regex": ["("]})


ESCAPES = {
    "allowEncodedSlash": "%2F",
    "allowEncodedBackSlash": "%5C",
    "allowEncodedNullCharacter": "%00",
    "allowEncodedSemicolon": "%3B",
    "allowEncodedPercent": "%25",
    "allowEncodedQuestionMark": "%3F",
    "allowEncodedHash": "%23",
}


@pytest.mark.parametrize("option", ESCAPES)
@pytest.mark.parametrize("escape", ESCAPES.values())
def test_encoded_characters(option: str, escape: str) -> None:
    exchange = ask(target=f"/a{escape}b?q=%2F")
    answer: Any = make("encodedCharacters", {option: True}).on_request(exchange)
    if ESCAPES[option] == escape:
        assert answer is None
    else:
        assert (answer.status, answer.body) == (400, None)
        assert exchange.cause == "BAD_REQUEST_ENCODED_CHARACTER"
        assert exchange.detail == f"encodedCharacters: the path holds {escape}"


@pytest.mark.parametrize("target", ["/", "/a/b?x=%2F", "/%20", "/%C3%A9", "*"])
def test_other_paths_pass(target: str) -> None:
    assert make("encodedCharacters", {}).on_request(ask(target=target)) is None
