"""What holds for every message: pieces do not matter, and what is written is read again as the same."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerouter.errors import EdgeError
from edgerouter.http.body import Body
from edgerouter.http.headers import CODEC_FIELDS, Headers
from edgerouter.http.message import Request
from edgerouter.wire.http1 import (
    CHUNKED,
    LENGTH,
    NONE,
    BodyReader,
    Limits,
    RequestParser,
    ResponseParser,
    encode_chunk,
    encode_last_chunk,
    encode_request_head,
    encode_response_head,
)
from edgerouter.wire.http1_target import host_of, is_plain_host, normalize_path

LIMITS = Limits()
RUNS = settings(max_examples=60, deadline=None)

TOKENS = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=20)
SPECIAL = CODEC_FIELDS | {"expect", "proxy-authorization", "trailer"}
NAMES = TOKENS.filter(lambda name: name.lower() not in SPECIAL)
TEXT = "".join(chr(c) for c in range(33, 256) if c != 127)
VALUES = st.builds(lambda words: " ".join(words), st.lists(st.text(TEXT, min_size=1, max_size=12), max_size=4))
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=12)
PATHS = st.lists(st.text(string.ascii_letters + string.digits + "-_~.!$&'()*+,;=:@", max_size=8), max_size=5).map(
    lambda segments: "/" + "/".join(segments)
)
QUERIES = st.none() | st.text("".join(chr(c) for c in range(33, 127) if chr(c) != "#"), max_size=20)
HOSTS = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,8}\.?){0,3}(:[0-9]{1,4})?", fullmatch=True)


def head(method: str, path: str, query: str | None, host: str, fields: list[tuple[str, str]], extra: str = "") -> bytes:
    target = path if query is None else f"{path}?{query}"
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}{extra}\r\n".encode("latin-1")


def facts(request: Request) -> tuple[object, ...]:
    """All that the router goes by."""
    body = None if request.body is None else request.body.length
    return (request.method, request.path, request.query, request.has_query, request.host, request.authority,
            request.headers.items(), request.upgrade, request.managed, request.te_trailers, body)  # fmt: skip


def read(data: bytes) -> Request:
    request = RequestParser(LIMITS).parse(data)
    assert request is not None
    return request


@RUNS
@given(TOKENS, PATHS, QUERIES, HOSTS, FIELDS, st.data())
def test_a_request_in_pieces_is_the_request_at_once(
    method: str, path: str, query: str | None, host: str, fields: list[tuple[str, str]], data: st.DataObject
) -> None:
    raw = head("M" + method, path, query, host, fields)
    whole = facts(read(raw))
    parser = RequestParser(LIMITS)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(raw) - 1), max_size=20)))
    for cut in cuts:
        assert parser.parse(raw[:cut]) is None
    request = parser.parse(raw + b"GET / HTTP")
    assert request is not None
    assert facts(request) == whole
    assert parser.consumed == len(raw)


@RUNS
@given(st.binary(max_size=80), st.integers(1, 7))
def test_garbage_gives_an_error_or_a_wait_and_nothing_else(raw: bytes, step: int) -> None:
    for prefix in (b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST / HTTP/1.1\r\nHost: "):
        for parser in (RequestParser(LIMITS), RequestParser(LIMITS)):
            try:
                for end in range(step, len(prefix + raw) + 1, step):
                    if parser.parse((prefix + raw)[:end]) is not None:
                        break
            except EdgeError as error:
                assert error.status in (400, 431, 501, 505)
    try:
        ResponseParser(LIMITS).parse(raw, "GET")
        ResponseParser(LIMITS).parse(b"HTTP/1.1 200 OK\r\n" + raw, "GET")
    except EdgeError as error:
        assert error.status == 502


@RUNS
@given(
    TOKENS,
    PATHS,
    QUERIES,
    HOSTS,
    FIELDS,
    st.sampled_from(["", "Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n"]),
)
def test_a_request_that_is_written_is_read_as_the_same(
    method: str, path: str, query: str | None, host: str, fields: list[tuple[str, str]], framing: str
) -> None:
    parser = RequestParser(LIMITS)
    first = parser.parse(head("M" + method, path, query, host, fields, framing))
    assert first is not None
    written = encode_request_head(first, parser.framing, parser.length)
    second = read(written)
    assert facts(second) == facts(first)
    assert encode_request_head(second, parser.framing, parser.length) == written, "and stays as it is"


@RUNS
@given(st.integers(200, 999), FIELDS, st.sampled_from([(LENGTH, 7), (CHUNKED, -1), (NONE, 0)]))
def test_a_response_that_is_written_is_read_as_the_same(
    status: int, fields: list[tuple[str, str]], framing: tuple[int, int]
) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    extra = {LENGTH: "Content-Length: 7\r\n", CHUNKED: "Transfer-Encoding: chunked\r\n", NONE: "Content-Length: 0\r\n"}
    raw = f"HTTP/1.1 {status} Why Not\r\n{lines}{extra[framing[0]]}\r\n".encode("latin-1")
    parser = ResponseParser(LIMITS)
    first = parser.parse(raw, "GET")
    assert first is not None
    assert (status in (204, 304)) or (parser.framing, parser.length) == framing
    framed = (parser.framing, parser.length)
    second = parser.parse(encode_response_head(first, *framed, 11, b""), "GET")
    assert second is not None
    assert (second.status, second.reason, second.headers.items()) == (status, b"Why Not", first.headers.items())
    assert (parser.framing, parser.length) == framed


@RUNS
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), FIELDS, st.lists(st.integers(1, 30), min_size=1))
def test_chunks_in_pieces_are_the_payload(
    payload: list[bytes], fields: list[tuple[str, str]], steps: list[int]
) -> None:

    raw = b"".join(encode_chunk(data) for data in payload) + encode_last_chunk(Headers.of(fields) if fields else None)
    following = b"GET / HTTP/1.1\r\n"
    data = raw + following
    whole, pieces = Body(), Body()
    assert BodyReader(CHUNKED, -1, False, LIMITS).feed(data, 0, whole) == len(raw)
    reader = BodyReader(CHUNKED, -1, False, LIMITS)
    at, i = 0, 0
    while not reader.done:
        step = steps[i % len(steps)]
        at += reader.feed(data[at : at + step], 0, pieces)
        i += 1
    assert at == len(raw)
    assert whole.take() == pieces.take() == b"".join(payload)
    for body in (whole, pieces):
        assert body.ended
    both = [body.trailers.items() if body.trailers is not None else [] for body in (whole, pieces)]
    assert both[0] == both[1]


@RUNS
@given(st.text("/.%2eEfF57aA~-b\\|", max_size=25))
def test_a_normal_path_stays_as_it_is(text: str) -> None:
    try:
        once = normalize_path(b"/" + text.encode(), True)
    except ValueError:
        return
    assert once.startswith("/")
    assert normalize_path(once.encode(), True) == once
    assert not {"", ".", ".."} & set(once.split("/")[1:-1])
    assert once.split("/")[-1] not in (".", "..")


@RUNS
@given(HOSTS.map(lambda text: text.encode()) | st.text("ab-.:[]1A_*~ ", max_size=30).map(lambda text: text.encode()))
def test_a_plain_host_is_what_would_be_made_of_it(raw: bytes) -> None:
    """Short cuts by ``is_plain_host`` let nothing in that ``host_of`` refuses, and change nothing else."""
    if is_plain_host(raw):
        assert host_of(raw) == raw.decode()


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 21])
def test_every_byte_at_every_place_is_plain_or_not(size: int) -> None:
    plain = set(b"abcdefghijklmnopqrstuvwxyz0123456789-.")
    for place in range(size):
        for byte in range(256):
            raw = b"x" * place + bytes([byte]) + b"x" * (size - 1 - place)
            assert is_plain_host(raw) == (byte in plain and raw[-1:] != b"."), raw
    assert not is_plain_host(b"")
