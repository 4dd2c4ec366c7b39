"""Entry points behind another proxy: its PROXY header tells the client's address, where the proxy is trusted."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from live.toolbox import EchoServer, Reply, Router, exchange, read_reply

from edgerouter.wire.proxy_protocol import encode_v1, encode_v2

CLIENT = "203.0.113.7"
CLIENT6 = "2001:db8::7"
DIRECT = "127.0.0.2"  # a neighbour on the loopback network that nobody trusts
LOCAL_V2 = encode_v2("", 0, "", 0)


def static() -> dict[str, Any]:
    """``web`` trusts 127.0.0.1, ``all`` and ``both`` everybody, ``nobody`` nobody; ``plain`` expects no header."""
    return {
        "entryPoints": {
            "web": {"proxyProtocol": {"trustedIPs": ["127.0.0.1/32", "10.0.0.0/8"]}},
            "all": {"address": "127.0.0.1:0", "proxyProtocol": {"insecure": True}},
            "nobody": {"address": "127.0.0.1:0", "proxyProtocol": {}},
            "both": {
                "address": "127.0.0.1:0",
                "proxyProtocol": {"insecure": True},
                "forwardedHeaders": {"trustedIPs": [CLIENT]},
            },
            "plain": {"address": "127.0.0.1:0"},
        }
    }


def dynamic(url: str) -> dict[str, Any]:
    """``/guarded`` is for the client's network only: rules see the same address as servers do."""
    points = ["web", "all", "nobody", "both", "plain"]
    rule = f"PathPrefix(`/guarded`) && !ClientIP(`{CLIENT}/32`)"
    routers = {
        "all": {"rule": "PathPrefix(`/`)", "service": "echo", "entryPoints": points},
        "guarded": {"rule": rule, "service": "noop@internal", "entryPoints": points, "priority": 1000},
    }
    return {
        "http": {"routers": routers, "services": {"echo": {"loadBalancer": {"servers": [{"url": url}]}}}},
    }


@dataclass
class Behind:
    """A running router, asked over connections that begin with some bytes of ours."""

    router: Router
    echo: EchoServer

    async def open(self, point: str, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.router.port(point), local_addr=(source, 0))

    async def ask(
        self, first: bytes, point: str = "web", source: str = "127.0.0.1", path: str = "/", **headers: str
    ) -> Reply:
        async with asyncio.timeout(30):
            reader, writer = await self.open(point, source)
            try:
                writer.write(first)
                return await exchange(reader, writer, path, headers=headers)
            finally:
                writer.close()


def address_of(reply: Reply) -> tuple[str, str]:
    """X-Forwarded-For and X-Real-Ip as the server saw them."""
    assert reply.status == 200, reply.text
    headers = {name.lower(): value for name, value in reply.json()["headers"]}
    return headers["x-forwarded-for"], headers["x-real-ip"]


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[Behind]:
    async with EchoServer() as echo, Router(tmp_path, dynamic(echo.url), static()) as router:
        yield Behind(router, echo)


V1 = encode_v1(CLIENT, 5000, "192.0.2.1", 80)
V2 = encode_v2(CLIENT, 5000, "192.0.2.1", 80)
GOOD = [
    ("version 1", V1, CLIENT),
    ("version 2", V2, CLIENT),
    ("version 1, IPv6", encode_v1(CLIENT6, 5000, "2001:db8::1", 80), CLIENT6),
    ("version 2, IPv6", encode_v2(CLIENT6, 5000, "2001:db8::1", 80), CLIENT6),
    ("version 1, unknown", b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    ("version 2, local", LOCAL_V2, "127.0.0.1"),
]


async def test_a_trusted_peer_tells_the_clients_address(behind: Behind) -> None:
    for what, header, address in GOOD:
        assert address_of(await behind.ask(header)) == (address, address), what
    claimed = await behind.ask(V1, X_Forwarded_For="198.51.100.1")
    assert address_of(claimed) == (CLIENT, CLIENT)
    assert address_of(await behind.ask(V2, "all", DIRECT)) == (CLIENT, CLIENT)


async def test_rules_and_trust_go_by_the_clients_address(behind: Behind) -> None:
    assert (await behind.ask(V1, path="/guarded")).status == 200
    assert (await behind.ask(LOCAL_V2, path="/guarded")).status == 418
    chained = await behind.ask(V2, "both", **{"X-Forwarded-For": "198.51.100.1"})
    assert address_of(chained)[0] == f"198.51.100.1, {CLIENT}"
    stranger = encode_v2("203.0.113.8", 1, "192.0.2.1", 80)
    refused = await behind.ask(stranger, "both", **{"X-Forwarded-For": "198.51.100.1"})
    assert address_of(refused)[0] == "203.0.113.8"


async def test_an_untrusted_peers_header_is_taken_off_and_not_believed(behind: Behind) -> None:
    for header in (V1, V2):
        assert address_of(await behind.ask(header, "web", DIRECT)) == (DIRECT, DIRECT)
        assert address_of(await behind.ask(header, "nobody")) == ("127.0.0.1", "127.0.0.1")
    assert (await behind.ask(V1, "web", DIRECT, path="/guarded")).status == 418


async def test_a_header_in_pieces(behind: Behind) -> None:
    for header in (V1, V2):
        await in_pieces(behind, header)


async def in_pieces(behind: Behind, header: bytes) -> None:
    """Byte by byte, and the request right behind the last one."""
    reader, writer = await behind.open("web", "127.0.0.1")
    request = b"GET /pieces HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    async with asyncio.timeout(30):
        for at in range(len(header) - 1):
            writer.write(header[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(header[-1:] + request)
        assert address_of(await read_reply(reader)) == (CLIENT, CLIENT)
    writer.close()


async def test_the_address_holds_for_the_whole_connection_and_only_one_header_is_read(behind: Behind) -> None:
    async with asyncio.timeout(30):
        reader, writer = await behind.open("web", "127.0.0.1")
        writer.write(V1)
        for number in range(3):
            assert address_of(await exchange(reader, writer, f"/{number}")) == (CLIENT, CLIENT)
        writer.write(encode_v1("198.51.100.9", 1, "192.0.2.1", 80) + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await read_reply(reader)).status == 400
        writer.close()


async def test_the_clients_address_stands_in_the_access_log(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    options = {**static(), "accessLog": {"filePath": str(log)}}
    async with EchoServer() as echo, Router(tmp_path, dynamic(echo.url), options) as router:
        await Behind(router, echo).ask(V1, path="/logged")
    assert [line.split()[0] for line in log.read_text().splitlines() if "/logged" in line] == [CLIENT]


GARBAGE = [
    b"PROXY nonsense\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 5000\r\n",
    b"PROXY TCP4 203.0.113.999 192.0.2.1 5000 80\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 80\n\n",
    b"PROXY " + b"x" * 200,
    V2[:12] + b"\x31" + V2[13:],  # version 3
    V2[:12] + b"\x21\x41" + V2[14:],  # an unknown address family
    V2[:14] + b"\xff\xff" + V2[16:],  # longer than any sender needs
    V2[:14] + b"\x00\x04" + V2[16:],  # too short for its addresses
]


async def test_a_broken_header_closes_the_connection(behind: Behind) -> None:
    for garbage, source in itertools.product(GARBAGE, ("127.0.0.1", DIRECT)):
        async with asyncio.timeout(30):
            reader, writer = await behind.open("web", source)
            writer.write(garbage + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await silence(reader) == b"", garbage
            writer.close()
    assert behind.echo.requests == 0
    assert address_of(await behind.ask(V1)) == (CLIENT, CLIENT), "others are served on"


async def silence(reader: asyncio.StreamReader) -> bytes:
    """All that still comes; a reset is an end as well."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_a_peer_that_sends_only_half_a_header_is_let_go(behind: Behind) -> None:
    async with asyncio.timeout(30):
        halves = [await behind.open("web", "127.0.0.1") for _ in range(3)]
        for (_, writer), first in zip(halves, (b"", b"PROXY TCP4 203", V2[:20]), strict=True):
            writer.write(first)
        for reader, writer in halves:
            assert await silence(reader) == b""
            writer.close()


async def test_without_a_header_the_peer_speaks_for_itself(behind: Behind) -> None:
    """As in Traefik: the health check of the proxy in front, say. Methods that begin like a header are none."""
    for method, source in itertools.product(("GET", "POST", "PUT", "PROPFIND"), ("127.0.0.1", DIRECT)):
        async with asyncio.timeout(30):
            reader, writer = await behind.open("web", source)
            assert address_of(await exchange(reader, writer, "/x", method=method)) == (source, source), method
            writer.close()


async def test_bytes_that_are_neither_header_nor_request_are_refused(behind: Behind) -> None:
    alert = b"\x15\x03\x01"  # what begins as TLS is refused in TLS's own words
    for garbage, answer in (
        (b"\x16\x03\x01\x00\x04\x0e\x00\x00\x00", alert),
        (b"PROXX TCP4\r\n\r\n", b"HTTP/1.1 400 "),
        (b"\x00\r\n\r\n", b"HTTP/1.1 400 "),
    ):
        async with asyncio.timeout(30):
            reader, writer = await behind.open("web", DIRECT)
            writer.write(garbage)
            assert (await silence(reader)).startswith(answer), garbage
            writer.close()
    assert behind.echo.requests == 0


async def test_where_none_is_expected_a_header_is_a_bad_request(behind: Behind) -> None:
    assert (await behind.ask(V1, "plain")).status == 400
    assert address_of(await behind.ask(b"", "plain")) == ("127.0.0.1", "127.0.0.1")
