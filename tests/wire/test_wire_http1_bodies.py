"""Bodies: the framing is taken off whatever the pieces are; what is ambiguous is refused."""

from __future__ import annotations

import pytest

from edgerouter.errors import BadRequest, BadResponse, ClientGone, EdgeError, UpstreamReset
from edgerouter.http.body import Body, BodySink
from edgerouter.http.headers import Headers
from edgerouter.wire.http1 import CHUNKED, LENGTH, NONE, UNTIL_CLOSE, BodyReader, Limits


class Sink(BodySink):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.trailers: Headers | None = None
        self.ends = 0

    def write_body(self, data: bytes) -> None:
        assert data, "never empty"
        self.chunks.append(data)

    def end_body(self, trailers: Headers | None) -> None:
        self.trailers = trailers
        self.ends += 1


def start() -> tuple[Body, Sink]:
    body, sink = Body(), Sink()
    body.attach(sink)
    return body, sink


def chunked(response: bool = False, limits: Limits | None = None) -> BodyReader:
    return BodyReader(CHUNKED, -1, response, limits or Limits())


def feed_in_pieces(reader: BodyReader, data: bytes, step: int, body: Body) -> int:
    """Feed as a connection does: what is not consumed stays. Returns how much was consumed."""
    consumed = 0
    for at in range(0, len(data), step):
        if reader.done:
            break
        taken = reader.feed(data[at : at + step], 0, body)
        consumed += taken
        if not reader.done:
            assert taken == len(data[at : at + step])
    return consumed


WHOLE = [
    (b"0\r\n\r\n", b"", []),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello", []),
    (b"00005\r\nhello\r\n000\r\n\r\n", b"hello", []),
    (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, []),
    (b'5;a=b;c="d \\"=;e";f\r\nhello\r\n0;last\r\n\r\n', b"hello", []),
    (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", []),
    (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n", []),
    (b"1\r\na\r\n0\r\nX-Sum: 1\r\nY: \r\n\r\n", b"a", [("X-Sum", "1"), ("Y", "")]),
    (b"0\r\nHost: b\r\nX: 1\r\nConnection: close\r\n\r\n", b"", [("X", "1")]),
    (b"0\r\nX-Forwarded-For: 1\r\nAuthorization: x\r\nSet-Cookie: y\r\nTrailer: z\r\nTE: x\r\n\r\n", b"", []),
]


@pytest.mark.parametrize(("raw", "payload", "trailers"), WHOLE)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_chunked(raw: bytes, payload: bytes, trailers: list[tuple[str, str]], step: int) -> None:
    body, sink = start()
    reader = chunked()
    assert feed_in_pieces(reader, raw + b"GET / HTTP/1.1\r\n", step, body) == len(raw)
    assert reader.done
    assert b"".join(sink.chunks) == payload
    assert sink.ends == 1
    assert (sink.trailers.items() if sink.trailers is not None else []) == trailers
    assert (sink.trailers is None) == (not trailers)


def test_chunks_that_come_together_go_on_together() -> None:
    body, sink = start()
    assert chunked().feed(b"##" + b"1\r\na\r\n" * 100 + b"3\r\nbc", 2, body) == 607
    assert sink.chunks == [b"a" * 100 + b"bc"]


REFUSED = [
    ("CHUNK_SIZE", "RFC 9112 7.1: at least one digit", b"\r\n"),
    ("CHUNK_SIZE", "RFC 9112 7.1: at least one digit", b";a\r\n"),
    ("CHUNK_SIZE", "RFC 9112 7.1: hexadecimal", b"g\r\n"),
    ("CHUNK_SIZE", "int() would take it", b"0x5\r\nhello\r\n"),
    ("CHUNK_SIZE", "int() would take it", b"+5\r\nhello\r\n"),
    ("CHUNK_SIZE", "int() would take it", b"1_0\r\n"),
    ("CHUNK_SIZE", "RFC 9112 7.1: no sign", b"-5\r\n"),
    ("CHUNK_SIZE", "white space before the size", b" 5\r\nhello\r\n"),
    ("CHUNK_SIZE", "white space behind the size: parsers disagree on what follows", b"5 \r\nhello\r\n"),
    ("CHUNK_SIZE", "the same before an extension, though RFC 9112 7.1.1 has to allow it", b"5 ;a\r\nhello\r\n"),
    ("CHUNK_SIZE", "more than 16 digits", b"0" * 16 + b"5\r\nhello\r\n"),
    ("CHUNK_SIZE", "beyond 63 bits", b"8000000000000000\r\n"),
    ("CHUNK_SIZE", "a CR without LF", b"5\rhello\r\n"),
    ("CHUNK_BARE_LF", "RFC 9112 2.2", b"5\nhello\r\n"),
    ("CHUNK_BARE_LF", "the line ends for some parsers, the extension goes on for others", b"5;a\nhello\r\n"),
    ("CHUNK_EXTENSION", "RFC 9112 7.1.1: no control characters", b"5;a\x00\r\nhello\r\n"),
    ("CHUNK_EXTENSION", "more extensions than payload", b"1;" + b"a" * 20000 + b"\r\n"),
    ("CHUNK_EXTENSION", "many small ones", (b"1;" + b"a" * 600 + b"\r\nx\r\n") * 30),
    ("CHUNK_END", "longer than its size says", b"5\r\nhello!\r\n"),
    ("CHUNK_END", "LF without CR", b"5\r\nhello\n0\r\n\r\n"),
    ("CHUNK_END", "CR without LF", b"5\r\nhello\rx"),
    ("TRAILER", "RFC 9112 7.1.2: field lines", b"0\r\nnonsense\r\n\r\n"),
    ("TRAILER", "LF without CR", b"0\r\nX: 1\n\n"),
    ("TRAILER", "LF instead of the empty line", b"0\r\n\n"),
    ("TRAILER", "the next request is no trailer", b"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("TRAILER", "longer than 16 KiB", b"0\r\nX: " + b"a" * 20000),
    ("TRAILER", "more than 200 lines", b"0\r\n" + b"X: 1\r\n" * 201 + b"\r\n"),
    ("TRAILER", "RFC 9110 6.5.1: framing", b"0\r\nContent-Length: 1\r\n\r\n"),
    ("TRAILER", "RFC 9110 6.5.1: framing", b"0\r\nX: 1\r\nTransfer-encoding: chunked\r\n\r\n"),
    ("CHUNK_EXTENSION", "RFC 9112 7.1.1: white space is bad there", b"5; a=b\r\nhello\r\n"),
    ("CHUNK_EXTENSION", "RFC 9112 7.1.1: the same", b"5;a=b \r\nhello\r\n"),
    ("CHUNK_EXTENSION", "RFC 9112 7.1.1: a name", b"5;\r\nhello\r\n"),
    ("CHUNK_EXTENSION", "RFC 9112 7.1.1: a value behind =", b"5;a=\r\nhello\r\n"),
    ("CHUNK_EXTENSION", "RFC 9112 7.1.1: the quotes end", b'5;a="b\r\nhello\r\n'),
    ("CHUNK_EXTENSION", "RFC 9112 7.1.1: nothing behind the quotes", b'5;a="b"c\r\nhello\r\n'),
    ("CHUNK_EXTENSION", "RFC 9112 7.1.1: visible ASCII", b"5;\xff\r\nhello\r\n"),
]


@pytest.mark.parametrize(("why", "reason", "raw"), REFUSED)
@pytest.mark.parametrize("step", [1, 100000])
def test_refused_with_a_cause(why: str, reason: str, raw: bytes, step: int) -> None:
    for response, error in ((False, BadRequest), (True, BadResponse)):
        body, sink = start()
        with pytest.raises(error) as caught:
            feed_in_pieces(chunked(response), raw, step, body)
        name = "BAD_RESPONSE" if response else "BAD_REQUEST"
        assert isinstance(caught.value, EdgeError)
        assert caught.value.cause == f"{name}_{why}", reason
        assert sink.ends == 0


def test_extensions_in_proportion_to_payload_are_fine() -> None:
    body, sink = start()
    reader = chunked()
    for _ in range(1000):
        reader.feed(b"100;signature=" + b"0" * 64 + b"\r\n" + b"x" * 256 + b"\r\n", 0, body)
    reader.feed(b"0\r\n\r\n", 0, body)
    assert sum(map(len, sink.chunks)) == 256_000


def test_the_largest_chunk_size_is_read() -> None:
    body, sink = start()
    reader = chunked()
    reader.feed(b"7fffffffffffffff\r\nabc", 0, body)
    assert sink.chunks == [b"abc"]
    assert not reader.done


@pytest.mark.parametrize("step", [1, 3, 100])
def test_length(step: int) -> None:
    body, sink = start()
    reader = BodyReader(LENGTH, 5, False, Limits())
    assert feed_in_pieces(reader, b"helloGET", step, body) == 5
    assert (b"".join(sink.chunks), sink.ends, reader.done) == (b"hello", 1, True)
    assert reader.feed(b"GET", 1, body) == 1, "nothing more is taken"
    assert sink.ends == 1


def test_length_from_the_middle_of_the_data() -> None:
    body, sink = start()
    assert BodyReader(LENGTH, 5, False, Limits()).feed(b"head.helloGET", 5, body) == 10
    assert sink.chunks == [b"hello"]


def test_no_length_left_ends_at_once() -> None:
    body, sink = start()
    reader = BodyReader(LENGTH, 0, False, Limits())
    assert reader.feed(b"GET", 0, body) == 0
    assert (sink.ends, sink.chunks) == (1, [])


def test_none_is_done() -> None:
    body, sink = start()
    reader = BodyReader(NONE, 0, False, Limits())
    assert reader.done
    assert reader.feed(b"GET", 0, body) == 0
    reader.eof(body)
    assert (sink.ends, sink.chunks) == (0, [])


def test_until_close() -> None:
    body, sink = start()
    reader = BodyReader(UNTIL_CLOSE, -1, True, Limits())
    assert reader.feed(b"..abc", 2, body) == 5
    assert reader.feed(b"", 0, body) == 0
    assert reader.feed(b"def", 0, body) == 3
    assert (sink.ends, reader.done) == (0, False)
    reader.eof(body)
    assert (sink.chunks, sink.ends, reader.done) == ([b"abc", b"def"], 1, True)


@pytest.mark.parametrize(("framing", "length", "raw"), [(LENGTH, 5, b"hell"), (CHUNKED, -1, b"4\r\nhell\r\n0\r\n")])
def test_cut_off(framing: int, length: int, raw: bytes) -> None:
    for response, error in ((True, UpstreamReset), (False, ClientGone)):
        body, sink = start()
        reader = BodyReader(framing, length, response, Limits())
        reader.feed(raw, 0, body)
        with pytest.raises(error):
            reader.eof(body)
        assert (sink.chunks, sink.ends) == ([b"hell"], 0)


def test_eof_after_the_end_is_no_fault() -> None:
    body, sink = start()
    reader = chunked()
    reader.feed(b"0\r\n\r\n", 0, body)
    reader.eof(body)
    assert sink.ends == 1
