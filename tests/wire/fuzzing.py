"""The bounded fuzz of the HTTP/1 codec: a corpus that is kept, its mutations, and what must hold for any bytes.

``tests/wire/corpus/*.txt`` has one Python bytes literal a line: seeds, and inputs that once took a way of their own.
``python tests/wire/fuzzing.py SECONDS`` runs longer than CI does and adds what takes a new way to the corpus.
"""

from __future__ import annotations

import ast
import hashlib
import pathlib
import random
import sys
import time
from collections.abc import Callable

from edgerouter.errors import EdgeError
from edgerouter.http.body import Body
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
)

CORPUS = pathlib.Path(__file__).parent / "corpus"
LIMITS = Limits(max_head_bytes=4096, max_lines=40, max_trailer_bytes=512, max_extension_bytes=512)
SCRAPS = [
    *(bytes([c]) for c in b'\r\n \t:\x00\x0b\x7f\x80\xff,;#?%/05fF+-_@[]"\\'),
    *(
        b"..",
        b"%2e",
        b"%2F",
        b"\r\n\r\n",
        b"\n\n",
        b" HTTP/1.1",
        b"HTTP/1.0",
        b"GET ",
        b"HEAD ",
        b"\r\n x",
        b"0\r\n\r\n",
    ),
    *(b"Content-Length: 5\r\n", b"Content-Length: 05\r\n", b"Content_Length: 9\r\n", b"Content-Length : 1\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding:\tchunked\r\n", b"Transfer-Encoding: x\r\n"),
    *(b"Host: b\r\n", b"Connection: close\r\n", b"Connection: host, te, x\r\n", b"Upgrade: websocket\r\n"),
    *(
        b"Connection: Upgrade\r\n",
        b"Upgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b"TE: trailers\r\n",
        b'5;a="b"\r\n',
    ),
]


def load(name: str) -> list[bytes]:
    """One corpus: requests, responses or chunked."""
    found = [ast.literal_eval(line) for line in (CORPUS / f"{name}.txt").read_text().splitlines() if line]
    assert all(isinstance(raw, bytes) for raw in found)
    return found


def mutate(rng: random.Random, raw: bytes, others: list[bytes]) -> bytes:
    """A few changes: bytes, scraps, pieces of other inputs."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0 and data:
            del data[at : at + rng.choice((1, 1, 2, 8))]
        elif kind == 1:
            data[at:at] = rng.choice(SCRAPS)
        elif kind == 2 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 3:
            data[at : at + 1] = rng.choice(SCRAPS)
        elif kind == 4:
            other = rng.choice(others)
            cut = rng.randrange(len(other) + 1)
            data[at:] = other[cut:]
        else:
            data[at:at] = data[max(0, at - rng.randrange(40)) : at]
    return bytes(data[:8192])


def cuts(rng: random.Random, size: int) -> list[int]:
    return [*sorted(rng.randrange(size + 1) for _ in range(rng.choice((1, 2, 5)))), size] if size else [0]


Outcome = tuple[object, ...]


def _body(framing: int, length: int, response: bool, raw: bytes, at: int, ends: list[int]) -> Outcome:
    """Read a body whose bytes come in pieces; what was read, whether it is whole, where it ends."""
    reader, body = BodyReader(framing, length, response, LIMITS), Body(length)
    for end in ends:
        if end > at and not reader.done:
            at = reader.feed(raw[:end], at, body)
    trailers = body.trailers.items() if body.trailers is not None else None
    return (body.take(), reader.done, at if reader.done else -1, trailers)


def request(raw: bytes, ends: list[int]) -> Outcome:
    """What becomes of a request whose bytes come in pieces."""
    parser = RequestParser(LIMITS)
    for end in ends:
        try:
            made = parser.parse(raw[:end])
            if made is None:
                continue
            read = _body(parser.framing, parser.length, False, raw, parser.consumed, [*ends])
        except EdgeError as error:
            assert error.status in (400, 431, 501, 505), error.cause
            return (error.cause,)
        facts = (made.method, made.path, made.query, made.has_query, made.host, made.authority, made.upgrade)
        written = encode_request_head(made, parser.framing, parser.length)
        return ("", facts, made.headers.items(), parser.framing, parser.keep_alive, read, written)
    return ("waits",)


def response(raw: bytes, ends: list[int]) -> Outcome:
    """What becomes of a response."""
    parser = ResponseParser(LIMITS)
    for end in ends:
        try:
            made = parser.parse(raw[:end], "GET")
            if made is None:
                continue
            read = _body(parser.framing, parser.length, True, raw, parser.consumed, [*ends])
        except EdgeError as error:
            assert error.status == 502, error.cause
            return (error.cause,)
        return ("", made.status, made.reason, made.headers.items(), parser.framing, parser.keep_alive, read)
    return ("waits",)


def chunked(raw: bytes, ends: list[int]) -> Outcome:
    """What becomes of a chunked body."""
    try:
        return ("", *_body(CHUNKED, -1, False, raw, 0, ends))
    except EdgeError as error:
        assert error.status == 400, error.cause
        return (error.cause,)


KINDS: dict[str, Callable[[bytes, list[int]], Outcome]] = {
    "requests": request,
    "responses": response,
    "chunked": chunked,
}


def forwarded(outcome: Outcome) -> bytes:
    """What a server is sent for an accepted request whose body is whole; b"" for others."""
    if outcome[0] != "":
        return b""
    framing, read, head = outcome[3], outcome[5], outcome[6]
    assert isinstance(read, tuple) and isinstance(head, bytes)
    if not read[1]:
        return b""
    if framing == CHUNKED:
        return head + encode_chunk(read[0]) + encode_last_chunk(None)
    assert framing in (LENGTH, NONE)
    return head + bytes(read[0])


def waits(kind: str, outcome: Outcome) -> bool:
    """True when more bytes are needed to tell."""
    if outcome[0] != "":
        return outcome[0] == "waits"
    read = outcome[1:] if kind == "chunked" else outcome[5 if kind == "requests" else 6]
    assert isinstance(read, tuple)
    return not read[1]


def judge(kind: str, raw: bytes, rng: random.Random) -> Outcome:
    """Fails where something does not hold for these bytes; the outcome otherwise."""
    read = KINDS[kind]
    whole = read(raw, [len(raw)])
    pieces = read(raw, cuts(rng, len(raw)))
    # Of two faults in one message the one that came first is told when it comes in pieces; and a head is begun before
    # its body is seen to be wrong. What is accepted is always the same.
    # A line that is not complete may be judged later in pieces than at once.
    if not (waits(kind, whole) or waits(kind, pieces)):
        assert (whole[0] == "") == (pieces[0] == ""), (raw, whole, pieces)
        assert whole[0] != "" or whole == pieces, (raw, whole, pieces)
    if kind == "requests":
        sent = forwarded(whole)
        if sent:
            again = request(sent, [len(sent)])
            assert again[0] == "" and again[1] == whole[1], (raw, sent, again)
            body, other = whole[5], again[5]
            assert isinstance(body, tuple) and isinstance(other, tuple)
            assert (other[0], other[1], other[2]) == (body[0], True, len(sent)), (raw, sent)
    return whole


def way(kind: str, outcome: Outcome) -> tuple[object, ...]:
    """What tells one way through the codec from another."""
    if outcome[0] != "":
        return (kind, outcome[0])
    if kind == "requests":
        facts, fields, read = outcome[1], outcome[2], outcome[5]
        assert isinstance(facts, tuple) and isinstance(fields, list) and isinstance(read, tuple)
        return (kind, facts[3], facts[6], outcome[3], outcome[4], min(len(fields), 4), read[1], bool(read[3]))
    if kind == "chunked":
        payload = outcome[1]
        assert isinstance(payload, bytes)
        return (kind, outcome[2], outcome[4] is None, min(len(payload), 3))
    return (kind, *(part for part in outcome if isinstance(part, int)))


def run(seconds: float, seed: int, keep: bool = False) -> int:
    """Fuzz for so long; how many inputs were judged. With ``keep`` inputs that take a new way join the corpus."""
    rng = random.Random(seed)
    corpora = {kind: load(kind) for kind in KINDS}
    ways = {way(kind, judge(kind, raw, rng)) for kind, inputs in corpora.items() for raw in inputs}
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for kind, inputs in corpora.items():
            raw = mutate(rng, rng.choice(inputs), inputs)
            taken = way(kind, judge(kind, raw, rng))
            count += 1
            if keep and taken not in ways and len(raw) < 600:
                ways.add(taken)
                inputs.append(raw)
    if keep:
        for kind, inputs in corpora.items():
            ordered = sorted(set(inputs), key=lambda raw: hashlib.sha256(raw).hexdigest())
            (CORPUS / f"{kind}.txt").write_text("".join(f"{raw!r}\n" for raw in ordered))
    return count


if __name__ == "__main__":
    print(run(float(sys.argv[1]), int(time.time()), keep=True), "inputs judged")
