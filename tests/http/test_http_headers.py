"""Header fields: a raw block, what is cut out of it, what is only shown, and edits."""

from __future__ import annotations

import pytest
from librt.strings import BytesWriter

from edgerouter.http.headers import CODEC_FIELDS, Headers

RAW = b"Host: h\r\nA: 1\r\na:  2 \t\r\nConnection: x\r\nContent-Length: 5\r\nB: 3\r\n"
CUTS = [0, 9, 24, 39, 39, 58]


def block() -> Headers:
    headers = Headers(RAW, list(CUTS))
    headers.shown_host = 0
    headers.shown_length = 39
    return headers


def written(headers: Headers) -> bytes:
    out = BytesWriter()
    headers.write_to(out)
    return out.getvalue()


def test_the_offsets_of_these_tests() -> None:
    assert [RAW[CUTS[i] : CUTS[i + 1]] for i in (0, 2, 4)] == [
        b"Host: h\r\n",
        b"Connection: x\r\n",
        b"Content-Length: 5\r\n",
    ]


def test_reading() -> None:
    headers = block()
    assert headers.get("A") == "1"
    assert headers.get_all("a") == ["1", "2"]
    assert headers.get("none") is None
    assert headers.get("none", "x") == "x"
    assert "b" in headers
    assert headers.items() == [("A", "1"), ("a", "2"), ("B", "3")]


def test_cut_lines_are_gone_and_shown_ones_can_be_read() -> None:
    headers = block()
    assert "Connection" not in headers
    assert headers.get("content-length") == "5"
    assert headers.get_all("HOST") == ["h"]
    assert written(headers) == b"A: 1\r\na:  2 \t\r\nB: 3\r\n"


def test_shown_lines_are_not_written_after_edits_either() -> None:
    headers = block()
    assert headers.remove("b")
    assert not headers.remove("b")
    assert written(headers) == b"A: 1\r\na:  2 \t\r\n"
    assert headers.remove("Content-Length")
    assert headers.get("Content-Length") is None
    assert written(headers) == b"A: 1\r\na:  2 \t\r\n"


def test_edits() -> None:
    headers = block()
    headers.set("a", "9")
    headers.add("C", "\xe9")
    headers.add_block(b"D: 4\r\nE: 5\r\n")
    assert headers.items() == [("B", "3"), ("a", "9"), ("C", "\xe9"), ("D", "4"), ("E", "5")]
    assert written(headers) == b"B: 3\r\na: 9\r\nC: \xe9\r\nD: 4\r\nE: 5\r\n"
    copy = headers.copy()
    copy.remove("D")
    assert headers.get("d") == "4"


@pytest.mark.parametrize("raw", [b"", b"Accept: 1\r\nX-A: Accept-Encoding: 2\r\nB:\r\n", b"Accept-Encoding2: 1\r\n"])
def test_fields_that_are_not_there(raw: bytes) -> None:
    """Known without an index; names that begin, end or hold another's are others."""
    for name in ("Accept-Encoding", "Accep", "ccept", "X", "A", "", "2", "Accept: 1\r\nX-A"):
        headers = Headers(raw)
        headers.add_block(b"Z: accept-encoding: 1\r\n")
        assert headers.get(name) is None and headers.get_all(name) == [] and name not in headers
        assert not headers.remove(name) and written(headers) == raw + b"Z: accept-encoding: 1\r\n"
    headers = Headers(raw)
    headers.set("Accept-Encoding", "br")
    assert written(headers) == raw + b"Accept-Encoding: br\r\n" and headers.get("accept-ENCODING") == "br"


def test_a_field_that_was_cut_away_is_not_there() -> None:
    headers = Headers(b"A: 1\r\nB: 2\r\n", [0, 6])
    assert headers.get("a") is None and not headers.remove("A") and headers.get("b") == "2"


def test_appending_needs_no_index() -> None:
    headers = block()
    headers.add("C", "4")
    assert written(headers) == b"A: 1\r\na:  2 \t\r\nB: 3\r\nC: 4\r\n"


@pytest.mark.parametrize("name", sorted(CODEC_FIELDS))
def test_fields_of_the_codec_are_marked(name: str) -> None:
    for edit in (Headers.set, Headers.add):
        headers = Headers()
        assert not headers.guarded
        edit(headers, name.title(), "x")
        assert headers.guarded
        assert headers.copy().guarded


@pytest.mark.parametrize(
    ("name", "value"),
    [("A", "b\r\nC: d"), ("A", "b\n"), ("A", "\0"), ("", "b"), ("A:", "b"), ("A b", "c"), ("A\r\n", "b")],
)
def test_what_would_break_a_line_is_refused(name: str, value: str) -> None:
    headers = Headers()
    for edit in (headers.set, headers.add):
        with pytest.raises(ValueError, match="not a header field"):
            edit(name, value)
    assert written(headers) == b""
