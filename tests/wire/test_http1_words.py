"""Values are scanned in words of eight bytes: every byte at every place of a word, heads that end anywhere, cuts."""

from __future__ import annotations

import pytest

from edgerouter.errors import EdgeError
from edgerouter.http.lines import first_flag
from edgerouter.http.message import Request
from edgerouter.wire import http1

GOOD = [9, *range(32, 127), *range(128, 256)]
BAD = [c for c in range(256) if c not in GOOD and c not in (10, 13)]


def parse(head: bytes) -> Request | None:
    return http1.RequestParser(http1.Limits()).parse(head)


def head(value: bytes, rest: bytes = b"\r\nB: 2\r\n\r\n") -> bytes:
    return b"GET / HTTP/1.1\r\nHost: h\r\nA: " + value + rest


@pytest.mark.parametrize("place", range(20))
def test_every_byte_at_every_place_of_a_word(place: int) -> None:
    for byte in GOOD:
        value = b"x" * place + bytes([byte]) + b"y" * (20 - place)
        request = parse(head(value))
        assert request is not None
        assert request.headers.get("A") == value.strip(b" \t").decode("latin-1")
        assert request.headers.get("B") == "2"
    for byte in BAD:
        with pytest.raises(EdgeError) as caught:
            parse(head(b"x" * place + bytes([byte]) + b"y" * (20 - place)))
        assert caught.value.cause == "BAD_REQUEST_HEADER_VALUE"


@pytest.mark.parametrize("place", range(20))
def test_line_ends_at_every_place_of_a_word(place: int) -> None:
    value = b"x" * place
    for end, cause in ((b"\n", "BAD_REQUEST_BARE_LF"), (b"\rz", "BAD_REQUEST_BARE_CR")):
        with pytest.raises(EdgeError) as caught:
            parse(head(value + end + b"yyyyyyyyyyyyyyyy"))
        assert caught.value.cause == cause
    request = parse(head(value))
    assert request is not None and request.headers.get("A") == value.decode()


@pytest.mark.parametrize("byte", [0x00, 0x1F, 0x7F])
def test_a_bad_byte_behind_high_bytes_and_before_others_is_named(byte: int) -> None:
    with pytest.raises(EdgeError, match=f"0x{byte:02x}"):
        parse(head(b"\xff\x80\xfe" + bytes([byte]) + b"\x01\x7f\xff\xff"))


def test_a_head_cut_anywhere_waits_for_the_rest() -> None:
    whole = head(b"some value of some length \xff\t here", b"\r\nContent-Length: 0\r\n\r\n")
    for end in range(len(whole)):
        parser = http1.RequestParser(http1.Limits())
        assert parser.parse(whole[:end]) is None
        assert parser.parse(whole) is not None


def test_host_is_shown_wherever_it_stood_and_written_once() -> None:
    for fields in (b"Host: a.b\r\nX: 1\r\n", b"X: 1\r\nHost: a.b\r\n", b"X: 1\r\nhOsT:  a.b \r\nY: 2\r\n"):
        for target in (b"/p?q", b"/a/../p?q"):
            request = parse(b"GET " + target + b" HTTP/1.1\r\n" + fields + b"\r\n")
            assert request is not None
            sent = http1.encode_request_head(request, http1.NONE, 0)
            assert request.headers.get("Host") == "a.b"
            assert "host" not in [name.lower() for name, _ in request.headers.items()]
            assert sent.startswith(b"GET /p?q HTTP/1.1\r\n")
            assert sent.lower().count(b"host:") == 1 and sent.count(b"X: 1\r\n") == 1


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        (b"A: 1\r\nKeep-Alive: 3\r\nContent-Length: 5\r\nB: 2\r\n", b"A: 1\r\nB: 2\r\n"),
        (b"Connection: keep-alive\r\nA: 1\r\nKeep-Alive: 3\r\nContent-Length: 5\r\n", b"A: 1\r\n"),
        (b"Connection: a\r\nA: 1\r\nContent-Length: 5\r\nB: 2\r\n", b"B: 2\r\n"),
        (b"A: 1\r\nKeep-Alive: 3\r\nConnection: a\r\nContent-Length: 5\r\nB: 2\r\nA: 9\r\n", b"B: 2\r\n"),
        (b"Content-Length: 5\r\n", b""),
    ],
)
def test_what_is_cut_is_neither_written_nor_listed(fields: bytes, kept: bytes) -> None:
    response = http1.ResponseParser(http1.Limits()).parse(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n", "GET")
    assert response is not None
    assert response.headers.get("Content-Length") == "5"
    assert b"".join(b"%b: %b\r\n" % (n.encode(), v.encode()) for n, v in response.headers.items()) == kept
    again = http1.ResponseParser(http1.Limits()).parse(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n", "GET")
    assert again is not None
    out = http1.encode_response_head(again, http1.LENGTH, 5, 11, b"", b"12345")
    assert out == b"HTTP/1.1 200 OK\r\n" + kept + b"Content-Length: 5\r\n\r\n12345"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (b"A: 1\r\nContent-Length: 5\r\nB: 2\r\n", b"A: 1\r\nContent-Length: 5\r\nB: 2\r\n"),
        (b"Content-Length: 5\r\nB: 2\r\n", b"Content-Length: 5\r\nB: 2\r\n"),
        (b"A: 1\r\nContent-Length: 5\r\nConnection: close\r\n", b"A: 1\r\nContent-Length: 5\r\n"),
        (b"Content-Length: 5\r\nA: 1\r\nKeep-Alive: 3\r\nB: 2\r\n", b"Content-Length: 5\r\nA: 1\r\nB: 2\r\n"),
    ],
)
def test_a_length_line_that_is_the_first_cut_stays_where_it_came(fields: bytes, told: bytes) -> None:
    response = http1.ResponseParser(http1.Limits()).parse(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n", "GET")
    assert response is not None
    for length, lines in ((5, told), (6, told.replace(b"Content-Length: 5\r\n", b"") + b"Content-Length: 6\r\n")) * 2:
        out = http1.encode_response_head(response, http1.LENGTH, length, 11, b"")
        assert out == b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n"
    response.headers.add("C", "3")
    out = http1.encode_response_head(response, http1.LENGTH, 5, 11, b"")
    assert out == b"HTTP/1.1 200 OK\r\n" + told + b"C: 3\r\n\r\n"
    response.headers.remove("B")
    response.headers.remove("A")
    response.headers.remove("C")
    out = http1.encode_response_head(response, http1.LENGTH, 5, 11, b"")
    assert out == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    response.headers.remove("Content-Length")
    assert http1.encode_response_head(response, http1.CHUNKED, 0, 11, b"").count(b"Length") == 0


@pytest.mark.parametrize(
    ("line", "length", "sent"),
    [
        (b"Content-Length: 5", 5, b"Content-Length: 5"),
        (b"content-length: 5", 5, b"content-length: 5"),
        (b"Content-Length: 5", 6, b"Content-Length: 6"),  # a middleware has changed the body
        (b"Content-Length:5", 5, b"Content-Length: 5"),
        (b"Content-Length:  5", 5, b"Content-Length: 5"),
        (b"Content-Length: 5 ", 5, b"Content-Length: 5"),
        (b"Content-Length: 05", 5, b"Content-Length: 5"),
    ],
)
def test_a_length_line_is_sent_as_it_came_only_where_it_says_just_that(line: bytes, length: int, sent: bytes) -> None:
    response = http1.ResponseParser(http1.Limits()).parse(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n", "GET")
    assert response is not None
    out = http1.encode_response_head(response, http1.LENGTH, length, 11, b"")
    assert out == b"HTTP/1.1 200 OK\r\n" + sent + b"\r\n\r\n"


TOKENS = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("place", range(1, 18))
def test_every_byte_at_every_place_of_a_name(place: int) -> None:
    for byte in range(256):
        name = b"N-n-" * 4 + b"Nn"
        line = name[:place] + bytes([byte]) + name[place:] + b": 1\r\n"
        whole = b"GET / HTTP/1.1\r\nHost: h\r\n" + line + b"B: 2\r\n\r\n"
        if byte in TOKENS:
            request = parse(whole)
            assert request is not None and len(request.headers.items()) == 2
            assert request.headers.get(line[:19].decode()) == "1"
        elif byte == 58:
            request = parse(whole)
            assert request is not None and request.headers.get(name[:place].decode()) == f"{name[place:].decode()}: 1"
        else:
            with pytest.raises(EdgeError):
                parse(whole)


@pytest.mark.parametrize("place", range(1, 18))
def test_every_byte_at_every_place_of_a_path_and_a_query(place: int) -> None:
    text = b"gZ0-.:;mQ3_~kLx5z"
    path_bytes = TOKENS.replace(b"^", b"").replace(b"`", b"").replace(b"|", b"").replace(b"#", b"") + b"(),;=:@/[]"
    for byte in range(33, 127):
        piece = text[:place] + bytes([byte]) + text[place:]
        for target, part in ((b"/" + piece, "path"), (b"/?" + piece, "query")):
            whole = b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n"
            if byte == 35 or (byte == 37 and part == "path"):
                with pytest.raises(EdgeError):  # no fragments, and an escape has two digits
                    parse(whole)
                continue
            request = parse(whole)
            assert request is not None and request.target == target
            if part == "query":
                assert (request.path, request.query) == ("/", piece.decode())
            elif byte == 63:
                assert (request.path, request.query) == ("/" + text[:place].decode(), text[place:].decode())
            elif byte not in path_bytes:
                assert request.path == "/" + text[:place].decode() + f"%{byte:02X}" + text[place:].decode()
            elif not (byte == 47 and text[place : place + 1] == b"."):  # a segment of its own
                assert request.path == target.decode()


@pytest.mark.parametrize("place", range(1, 18))
def test_bytes_that_no_target_holds_end_it_at_every_place(place: int) -> None:
    for byte in [*range(33), 127, *range(128, 256)]:
        for begin in (b"/", b"/?"):
            target = begin + b"x" * place + bytes([byte]) + b"y" * (18 - place)
            with pytest.raises(EdgeError) as caught:
                parse(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n")
            assert caught.value.cause in {
                10: ("BAD_REQUEST_BARE_LF",),
                13: ("BAD_REQUEST_VERSION",),
                32: ("BAD_REQUEST_REQUEST_LINE",),
            }.get(byte, ("BAD_REQUEST_TARGET",))


@pytest.mark.parametrize("lead", range(12))
def test_doubled_slashes_and_dot_segments_are_seen_at_every_place_of_a_word(lead: int) -> None:
    begin = b"/" + b"a" * lead
    for piece, path in ((b"//b", "/b"), (b"/./b", "/b"), (b"/.b", "/.b"), (b"/x/../b", "/b"), (b"/%62", "/b")):
        request = parse(b"GET " + begin + piece + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        assert request is not None and request.path == (begin.decode() + path).replace("//", "/")


@pytest.mark.parametrize("method", ["GET", "GETX", "GE", "get", "POST", "PROPFIND", "X"])
def test_methods_whole_and_cut_anywhere(method: str) -> None:
    whole = b"\r\n" + method.encode() + b" /p HTTP/1.1\r\nHost: h\r\n\r\n"
    for end in range(len(whole) + 1):
        parser = http1.RequestParser(http1.Limits())
        assert (parser.parse(whole[:end]) is None) == (end < len(whole))
        request = parser.parse(whole)
        assert request is not None and (request.method, request.path) == (method, "/p")


def test_the_first_flag_of_a_word() -> None:
    for first in range(8):
        for others in range(1 << (7 - first)):  # whatever stands behind it
            places = [first, *(first + 1 + i for i in range(7 - first) if others >> i & 1)]
            word = int.from_bytes(bytes(128 if i in places else 0 for i in range(8)), "little", signed=True)
            assert first_flag(word) == first
