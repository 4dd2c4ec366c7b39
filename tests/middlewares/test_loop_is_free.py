"""Nothing that a middleware does holds a worker's loop: CPU time of the loop's longest single call, engine and all.

Servers and clients are in threads of their own, so that only the engine's work is on the loop. What is measured is
the CPU time of its thread within one callback: the machine's other work does not count.
"""

from __future__ import annotations

import asyncio
import base64
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import bcrypt
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from on_the_wire import request, running
from steps import make

from edgerouter import is_compiled
from edgerouter.contracts.plugins import Middleware

LONGEST = 0.005 if is_compiled() else 0.015  # seconds of CPU time
ATTEMPTS = 3
MB = 1 << 20
WORDS = b"".join(b"%d bottles of beer on the wall, %d bottles of beer. " % (n, n) for n in range(25_000))
NOISE = random.Random(7).randbytes(MB)
BIG = (WORDS + NOISE) * 10
PASSWORD = bcrypt.hashpw(b"p", bcrypt.gensalt(10)).decode()
KEY = ECKey.generate_key("P-384")
RETRIED = {"attempts": 2, "status": ["500"], "maxRequestBodyBytes": 64 * MB, "retryNonIdempotentMethod": True}


@contextmanager
def measured() -> Iterator[list[float]]:
    """CPU seconds of each call that the loop of this thread makes."""
    took: list[float] = []
    mine, run, now = threading.get_ident(), asyncio.events.Handle._run, time.thread_time

    def timed(handle: asyncio.Handle) -> None:
        before = now()
        run(handle)
        if threading.get_ident() == mine:
            took.append(now() - before)

    asyncio.events.Handle._run = timed  # type: ignore[method-assign]
    try:
        yield took
    finally:
        asyncio.events.Handle._run = run  # type: ignore[method-assign]


class BigServer:
    """Answers every request with ``body``, from threads."""

    def __init__(self, body: bytes, **fields: str) -> None:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        self._head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode()
        self._body = body
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with accepted, accepted.makefile("rb") as reader:
            try:
                while self._read(reader):
                    accepted.sendall(self._head + self._body)
            except OSError:
                return

    @staticmethod
    def _read(reader: Any) -> bool:
        length, chunked = 0, False
        first = line = reader.readline()
        while line not in (b"", b"\r\n"):
            length = int(line[15:]) if line.lower().startswith(b"content-length:") else length
            chunked = chunked or line.lower().startswith(b"transfer-encoding:")
            line = reader.readline()
        reader.read(length)
        while chunked:
            size = int(reader.readline(), 16)
            reader.read(size + 2)
            chunked = size > 0
        return bool(first)


def ask(port: int, raw: bytes) -> bytes:
    """The whole answer, with its head; the connection is closed then."""
    with socket.create_connection(("127.0.0.1", port), 60) as client:
        sender = threading.Thread(target=_send, args=(client, raw))
        sender.start()
        data = bytearray()
        while piece := client.recv(MB):
            data += piece
        sender.join()
        return bytes(data)


def _send(client: socket.socket, raw: bytes) -> None:
    try:
        client.sendall(raw)
    except OSError:
        return  # the answer came first


def closing(method: str = "GET", body: bytes = b"", **fields: str) -> bytes:
    return request(method, "/", body, Connection="close", **fields)


def token() -> str:
    made: str = jwt.encode({"alg": "ES384"}, {"exp": int(time.time()) + 600}, KEY, algorithms=["ES384"])
    return made


def login(password: str) -> str:
    return "Basic " + base64.b64encode(f"ann:{password}".encode()).decode()


def encodings(name: str) -> dict[str, Any]:
    return {"encodings": [name]}


# what it is, middleware, its options, requests at once, status
ROWS: list[tuple[str, str, dict[str, Any], list[bytes], int]] = [
    ("gzip", "compress", encodings("gzip"), [closing(Accept_Encoding="gzip")] * 3, 200),
    ("brotli", "compress", encodings("br"), [closing(Accept_Encoding="br")] * 3, 200),
    ("zstd", "compress", encodings("zstd"), [closing(Accept_Encoding="zstd")] * 3, 200),
    ("cache fill", "responseCache", {"maxEntryBytes": 64 * MB, "maxBytes": 128 * MB}, [closing()] * 3, 200),
    ("buffered response", "buffering", {}, [closing()] * 2, 200),
    ("buffered request", "buffering", {}, [closing("POST", BIG)] * 2, 200),
    ("body that is kept", "retry", RETRIED, [closing("POST", BIG)] * 2, 200),
    ("bcrypt, right", "basicAuth", {"users": [f"ann:{PASSWORD}"]}, [closing(Authorization=login("p"))] * 4, 200),
    ("bcrypt, wrong", "basicAuth", {"users": [f"ann:{PASSWORD}"]},
     [closing(Authorization=login(f"no{n}")) for n in range(8)], 401),
    ("apr1, wrong", "basicAuth", {"users": ["ann:$apr1$aaaaaaaa$pfLZ/dxpmMmJjXVSOqyUH/"]},
     [closing(Authorization=login(f"no{n}")) for n in range(8)], 401),
    ("new tokens", "jwt", {"publicKey": KEY.as_pem(private=False).decode(), "algorithms": ["ES384"]},
     [closing(Authorization=f"Bearer {token()}") for _ in range(8)], 200),
    ("a hostile path", "redirectRegex", {"regex": "(a+)+(b+)*$", "replacement": "/x"},
     [request("GET", "/" + "ab" * 3000, Connection="close")] * 4, 302),
]  # fmt: skip


@pytest.mark.parametrize(("why", "kind", "options", "raw", "status"), ROWS, ids=[row[0] for row in ROWS])
async def test_no_call_takes_long(why: str, kind: str, options: dict[str, Any], raw: list[bytes], status: int) -> None:
    """What a busy machine adds is not there every time; what a middleware does is."""
    found: list[float] = []
    for _ in range(ATTEMPTS):
        step = make(kind, options)
        prepare = getattr(type(step), "prepare", None)
        if prepare is not None:
            prepare()  # as workers do before they serve
        found.append(await longest(step, raw, status))
        if found[-1] < LONGEST:
            return
    raise AssertionError(f"{why}: the loop was held for {[round(took * 1000, 1) for took in found]} ms")


async def longest(step: Middleware, raw: list[bytes], status: int) -> float:
    """CPU seconds of the loop's longest call while these requests are answered."""
    server = BigServer(BIG, Content_Type="text/plain", Cache_Control="max-age=60")
    loop, clients = asyncio.get_running_loop(), ThreadPoolExecutor(len(raw))
    try:
        async with running(steps=[step]) as rig:
            rig.add_server(server.port)
            with measured() as took:
                answers = await asyncio.gather(*(loop.run_in_executor(clients, ask, rig.port, one) for one in raw))
    finally:
        server.close()
        clients.shutdown()
    assert [int(answer[9:12]) for answer in answers] == [status] * len(raw)
    return max(took)
