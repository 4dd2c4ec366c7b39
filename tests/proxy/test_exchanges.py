"""Exchanges over real sockets: what the client sends, what the server sees, what comes back, and with which cause."""

from __future__ import annotations

import asyncio
import re
import socket
import struct

import pytest
from proxy_rig import Rig, RoundRobin, answering

from edgerouter.config.static import EntryPoint, ProxyProtocol
from edgerouter.net.pool import Pool, TransportSettings

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /a HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n"


async def test_a_get_goes_through_and_is_recorded_once() -> None:
    log: list[bytes] = []
    rig = await Rig.start(answering(OK, log=log))
    data = await rig.ask(GET)
    assert data.startswith(b"HTTP/1.1 200 OK\r\n") and data.endswith(b"\r\n\r\nok")
    assert b"Connection: close" in data
    head = log[0].decode()
    assert head.startswith("GET /a HTTP/1.1\r\nHost: x.test\r\n")
    assert "X-Forwarded-For: 127.0.0.1\r\n" in head and "X-Real-Ip: 127.0.0.1\r\n" in head
    assert "X-Forwarded-Proto: http\r\n" in head and "X-Forwarded-Host: x.test\r\n" in head
    assert "connection: close" not in head.lower()
    assert [(r.status, r.cause, r.bytes_out) for r in rig.records] == [(200, "", 2)]
    await rig.stop()


async def test_each_request_of_a_connection_names_its_own_host() -> None:
    """Whether the Host field is plain or not, and for whom it comes after another one."""
    log: list[bytes] = []
    rig = await Rig.start(answering(OK, log=log))
    hosts = ["x.test", "y.test", "X.Test", "X.Test", "x.test:8443", "y.test.", "x.test"]
    gets = [f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() for host in hosts]
    await rig.ask(b"".join(gets[:-1]) + gets[-1][:-2] + b"Connection: close\r\n\r\n")
    seen = [re.findall("X-Forwarded-(?:Host|Port|Proto|Server): [^\r]*", head.decode()) for head in log]
    server = f"X-Forwarded-Server: {socket.gethostname()}"
    ports = ["80", "80", "80", "80", "8443", "80", "80"]
    assert seen == [
        [f"X-Forwarded-Host: {host}", f"X-Forwarded-Port: {port}", "X-Forwarded-Proto: http", server]
        for host, port in zip(hosts, ports, strict=True)
    ]
    assert [record.exchange.request.host for record in rig.records] == [
        "x.test", "y.test", "x.test", "x.test", "x.test", "y.test", "x.test"
    ]  # fmt: skip
    await rig.stop()


async def test_a_request_without_host_has_the_other_lines() -> None:
    log: list[bytes] = []
    rig = await Rig.start(answering(OK, log=log))
    await rig.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert b"X-Forwarded-Port: 80\r\nX-Forwarded-Proto: http\r\n" in log[0] and b"X-Forwarded-Host" not in log[0]
    await rig.stop()


async def test_a_client_of_a_socket_for_both_families_keeps_its_ipv4_address() -> None:
    """``:80`` listens so; ``::ffff:127.0.0.1`` in X-Forwarded-For is no address that servers expect."""
    log: list[bytes] = []
    rig = await Rig.start(answering(OK, log=log))
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both:
        rig.port = both.getsockname()[1]
        await rig.engine.listen("web", 1, EntryPoint(address=":0"), both)
        await rig.ask(GET)
        assert "X-Forwarded-For: 127.0.0.1\r\n" in log[0].decode() and "X-Real-Ip: 127.0.0.1\r\n" in log[0].decode()
        assert rig.records[0].exchange.client_address == "127.0.0.1"
        await rig.stop()


async def test_a_mapped_address_of_a_proxy_header_is_told_as_ipv4() -> None:
    settings = EntryPoint(address=":0", proxy_protocol=ProxyProtocol(insecure=True))
    rig = await Rig.start(answering(OK), settings=settings)
    await rig.ask(b"PROXY TCP6 ::ffff:203.0.113.7 ::1 5000 80\r\n" + GET)
    await rig.ask(b"PROXY TCP6 2001:db8::7 ::1 5000 80\r\n" + GET)
    assert [record.exchange.client_address for record in rig.records] == ["203.0.113.7", "2001:db8::7"]
    await rig.stop()


async def test_keep_alive_uses_one_connection_each_side() -> None:
    accepted: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(1)
        await answering(OK)(reader, writer)

    rig = await Rig.start(serve)
    reader, writer = await rig.connect()
    for _ in range(5):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
    assert len(accepted) == 1 and rig.engine.open_connections() == 1
    writer.close()
    await rig.until(lambda: rig.engine.open_connections() == 0)
    assert [r.status for r in rig.records] == [200] * 5
    await rig.stop()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))

    rig = await Rig.start(serve)
    many = b"".join(b"GET /%03d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(50))
    data = await rig.ask(many + b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
    assert re.findall(rb"\r\n\r\n/(\d{3})", data) == [b"%03d" % i for i in range(50)]
    assert data.count(b"404 page not found\n") == 1 and data.endswith(b"/a")
    await rig.stop()


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        (b"Content-Length: 5\r\n\r\nhello", b"hello"),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
        (b"Content-Length: 0\r\n\r\n", b""),
    ],
)
async def test_request_bodies(request_body: bytes, expected: bytes) -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", head)
        if length:
            seen.append(await reader.readexactly(int(length[1])))
        else:
            raw = await reader.readuntil(b"0\r\n\r\n")
            seen.append(b"".join(re.findall(rb"(?:^|\r\n)[0-9a-f]+\r\n([^\r]+)", raw)))
        writer.write(OK)

    rig = await Rig.start(serve)
    data = await rig.ask(b"POST /p HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + request_body)
    assert data.endswith(b"ok") and seen == [expected]
    assert rig.records[0].bytes_in == len(expected)
    await rig.stop()


async def test_a_slow_upload_is_streamed_not_collected() -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.put_nowait(await reader.readexactly(3))
        arrived.put_nowait(await reader.readexactly(3))
        writer.write(OK)

    rig = await Rig.start(serve)
    reader, writer = await rig.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
    assert await asyncio.wait_for(arrived.get(), 5) == b"abc"
    writer.write(b"def")
    assert await asyncio.wait_for(arrived.get(), 5) == b"def"
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
    writer.close()
    await rig.stop()


@pytest.mark.parametrize(
    ("response", "request_line", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"GET", rb"204 No Content\r\nDate: [^\r]+\r\nConnection: close\r\n\r\n$"),
        (
            b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
            b"GET",
            rb"304 Not Modified\r\n(?s:.*)ETag: x\r\n(?s:.*)\r\n$",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"HEAD", rb"(?s)Content-Length: 9\r\n.*\r\n\r\n$"),
        (
            b"HTTP/1.0 200 OK\r\n\r\nuntil close",
            b"GET",
            rb"(?s)Transfer-Encoding: chunked.*\r\n\r\nb\r\nuntil close\r\n0\r\n\r\n$",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
            b"GET",
            rb"(?s)chunked.*\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n$",
        ),
    ],
    ids=["204", "304", "HEAD", "until-close", "trailers"],
)
async def test_response_framing(response: bytes, request_line: bytes, expected: bytes) -> None:
    rig = await Rig.start(answering(response, close_after=1))
    data = await rig.ask(GET.replace(b"GET", request_line))
    assert re.search(expected, data), data
    await rig.stop()


async def test_http_1_0_clients_get_no_chunks_and_a_closed_connection() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    rig = await Rig.start(answering(chunked))
    data = await rig.ask(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
    assert b"chunked" not in data and data.endswith(b"\r\n\r\nok")
    await rig.stop()


async def test_interim_responses_pass() -> None:
    rig = await Rig.start(answering(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK))
    data = await rig.ask(GET)
    assert data.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK")
    await rig.stop()


async def test_expect_100_continue_is_answered_when_the_body_is_wanted() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        writer.write(OK)

    rig = await Rig.start(serve)
    reader, writer = await rig.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"hi")
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
    writer.write(b"POST /none HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 404")
    writer.close()
    await rig.stop()


async def test_upgrade_makes_a_tunnel_both_ways() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"upgrade: websocket" in head.lower()
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
        while data := await reader.read(100):
            writer.write(data.upper())

    rig = await Rig.start(serve)
    reader, writer = await rig.connect()
    writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    assert await reader.readexactly(5) == b"first"
    writer.write(b"hello")
    assert await asyncio.wait_for(reader.readexactly(5), 5) == b"HELLO"
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await rig.until(lambda: len(rig.records) == 1)
    assert (rig.records[0].status, rig.records[0].cause) == (101, "")
    await rig.stop()


async def test_what_a_client_sends_before_the_101_is_not_lost() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        writer.write((await reader.readexactly(5)).upper())

    rig = await Rig.start(serve)
    reader, writer = await rig.connect()
    writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhasty")
    await reader.readuntil(b"\r\n\r\n")
    assert await asyncio.wait_for(reader.readexactly(5), 5) == b"HASTY"
    writer.close()
    await rig.stop()


async def test_a_server_that_resets_a_tunnel_ends_it_for_the_client() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await reader.readexactly(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    rig = await Rig.start(serve)
    reader, writer = await rig.connect()
    writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nx")
    await reader.readuntil(b"\r\n\r\n")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    await rig.until(lambda: rig.engine.open_connections() == 0)
    assert [(r.status, r.cause) for r in rig.records] == [(101, "UPSTREAM_RESET")]
    writer.close()
    await rig.stop()


async def test_a_101_that_nobody_asked_for_is_502() -> None:
    rig = await Rig.start(answering(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"))
    assert (await rig.ask(GET)).startswith(b"HTTP/1.1 502")
    assert rig.records[0].cause.startswith("BAD_RESPONSE")
    await rig.stop()


async def closed_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def test_refused_is_502_with_a_cause() -> None:
    rig = await Rig.start()
    rig.add_server(await closed_port())
    data = await rig.ask(GET)
    assert data.startswith(b"HTTP/1.1 502 Bad Gateway") and data.endswith(b"\r\n\r\nBad Gateway")
    assert [(r.status, r.cause) for r in rig.records] == [(502, "CONNECT_REFUSED")]
    await rig.stop()


async def test_refused_goes_to_another_server_whatever_the_method() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nbody")
        writer.write(OK)

    rig = await Rig.start(serve)
    rig.add_server(await closed_port())
    for _ in range(4):
        data = await rig.ask(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody")
        assert data.startswith(b"HTTP/1.1 200")
    assert 1 <= sum(r.retries for r in rig.records) <= 4 and {r.retries for r in rig.records} <= {0, 1}
    await rig.stop()


async def test_no_server_is_503() -> None:
    rig = await Rig.start()
    data = await rig.ask(GET)
    assert data.startswith(b"HTTP/1.1 503") and data.endswith(b"no available server\n")
    assert rig.records[0].cause == "NO_SERVER"
    await rig.stop()


async def test_json_clients_are_told_the_cause() -> None:
    rig = await Rig.start()
    data = await rig.ask(GET.replace(b"Connection", b"Accept: application/json\r\nConnection"))
    assert data.endswith(b'{"status":503,"cause":"NO_SERVER"}\n') and b"127.0.0.1:" not in data
    await rig.stop()


async def test_a_get_on_a_stale_pooled_connection_is_sent_again() -> None:
    """The server closes its idle connection without an answer when the second request comes."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        if len(heads) == 1:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.close()

    rig = await Rig.start(serve)
    reader, writer = await rig.connect()
    for _ in range(2):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
    assert len(heads) == 3 and [r.retries for r in rig.records] == [0, 1]
    writer.close()
    await rig.stop()


async def test_a_post_is_never_sent_twice() -> None:
    posts: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            posts.append(await reader.readuntil(b"\r\n\r\n"))
            if len(posts) == 2:
                return
            writer.write(OK)

    rig = await Rig.start(serve)
    reader, writer = await rig.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    await reader.readuntil(b"ok")
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 502")
    assert len(posts) == 2 and rig.records[1].cause == "UPSTREAM_RESET"
    writer.close()
    await rig.stop()


async def test_a_response_that_breaks_off_breaks_the_client_too() -> None:
    rig = await Rig.start(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", close_after=1))
    reader, writer = await rig.connect()
    writer.write(GET)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(100)
    writer.close()
    await rig.until(lambda: bool(rig.records))
    assert [(r.status, r.cause) for r in rig.records] == [(200, "UPSTREAM_RESET")]
    await rig.stop()


@pytest.mark.parametrize(
    "response",
    [
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ],
)
async def test_bad_responses_are_502(response: bytes) -> None:
    rig = await Rig.start(answering(response))
    data = await rig.ask(GET)
    assert data.startswith(b"HTTP/1.1 502") and rig.records[0].cause.startswith("BAD_RESPONSE")
    await rig.stop()


async def test_response_timeout_is_504() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    rig = await Rig.start(serve, transport=TransportSettings(response_header_timeout=0.2))
    data = await rig.ask(GET)
    assert data.startswith(b"HTTP/1.1 504 Gateway Timeout") and rig.records[0].cause == "RESPONSE_TIMEOUT"
    await rig.stop()


async def test_a_client_that_leaves_is_499_and_frees_the_server() -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        left.set()

    rig = await Rig.start(serve)
    _, writer = await rig.connect()
    writer.write(GET)
    await asyncio.wait_for(asked.wait(), 5)
    assert rig.servers[0].in_flight == 1
    writer.close()
    await asyncio.wait_for(left.wait(), 5)
    await rig.until(lambda: bool(rig.records))
    assert [(r.status, r.cause) for r in rig.records] == [(499, "CLIENT_GONE")]
    assert rig.servers[0].in_flight == 0 and rig.engine.in_flight == 0
    await rig.stop()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", b"501"),
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_closed(raw: bytes, status: bytes) -> None:
    rig = await Rig.start(answering(OK))
    data = await rig.ask(raw + GET)
    assert data.startswith(b"HTTP/1.1 " + status) and data.count(b"HTTP/1.1") == 1
    assert b"Connection: close" in data and len(rig.records) == 1 and rig.records[0].cause
    await rig.stop()


async def test_a_head_that_never_ends_is_408() -> None:
    rig = await Rig.start(answering(OK), read_timeout=0.2)
    data = await rig.ask(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    assert data.startswith(b"HTTP/1.1 408") and rig.records[0].cause == "REQUEST_TIMEOUT"
    await rig.stop()


async def test_a_body_that_never_ends_is_408() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    rig = await Rig.start(serve, read_timeout=0.2)
    data = await rig.ask(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    assert data.startswith(b"HTTP/1.1 408") and rig.records[0].cause == "REQUEST_TIMEOUT"
    await rig.stop()


async def test_untrusted_forwarded_headers_are_dropped() -> None:
    log: list[bytes] = []
    rig = await Rig.start(answering(OK, log=log))
    await rig.ask(GET.replace(b"Connection", b"X-Forwarded-For: 6.6.6.6\r\nx_forwarded_proto: https\r\nConnection"))
    head = log[0].decode()
    assert "6.6.6.6" not in head and "x_forwarded_proto" not in head and "X-Forwarded-For: 127.0.0.1\r\n" in head
    await rig.stop()


async def test_a_slow_client_pauses_the_server() -> None:
    """32 MB to a client that does not read: the router holds little, and the server is stopped."""
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (32 << 20))
        block = bytes(65536)
        for _ in range(512):
            writer.write(block)
            await writer.drain()
            sent += len(block)

    rig = await Rig.start(serve)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.setblocking(False)
    await rig.loop.sock_connect(client, ("127.0.0.1", rig.port))
    await rig.loop.sock_sendall(client, GET)
    previous = -1
    while previous != sent or sent == 0:
        previous = sent
        await asyncio.sleep(0.3)
    assert sent < 24 << 20
    received = 0
    async with asyncio.timeout(30):
        while chunk := await rig.loop.sock_recv(client, 1 << 20):
            received += len(chunk)
    assert received > 32 << 20 and rig.records[0].bytes_out == 32 << 20
    client.close()
    await rig.stop()


async def test_drain_lets_the_exchange_end_and_closes_idle_connections() -> None:
    go = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            await go.wait()
            writer.write(OK)

    rig = await Rig.start(serve)
    idle_reader, idle_writer = await rig.connect()
    reader, writer = await rig.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await rig.until(lambda: rig.engine.in_flight == 1)
    rig.engine.stop_accepting()
    drained = asyncio.Event()
    rig.engine.connections.leave("web", 0.0, lambda name: drained.set())
    assert await asyncio.wait_for(idle_reader.read(), 5) == b""
    go.set()
    data = await asyncio.wait_for(reader.read(), 5)
    assert data.endswith(b"ok") and b"Connection: close" in data
    await asyncio.wait_for(drained.wait(), 5)
    idle_writer.close()
    writer.close()
    await rig.stop()


async def test_early_response_ends_the_upload() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await writer.drain()
        await reader.read()

    rig = await Rig.start(serve)
    reader, writer = await rig.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc")
    data = await asyncio.wait_for(reader.read(), 5)
    assert data.startswith(b"HTTP/1.1 413") and data.endswith(b"big")
    assert [(r.status, r.cause) for r in rig.records] == [(413, "")]
    writer.close()
    await rig.stop()


async def test_a_dial_to_a_server_that_was_removed_goes_to_the_servers_of_now() -> None:
    """The old server answers no SYN; the configuration drops it for a new one while the request waits."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        rig = await Rig.start()
        old = rig.add_server(full.getsockname()[1])
        asked = asyncio.ensure_future(
            rig.ask(GET.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nhi"))
        )
        await rig.until(lambda: old.in_flight == 1)
        renewed = RoundRobin("app@test", [])
        rig.services["app@test"] = renewed
        rig.servers = renewed.servers
        await rig.add_upstream(answering(OK))
        assert isinstance(old.pool, Pool)
        old.pool.close()
        assert (await asked).startswith(b"HTTP/1.1 200")
        assert [(r.status, r.retries) for r in rig.records] == [(200, 1)]
        for filler in fillers:
            filler.close()
        await rig.stop()
