"""TLS on a real engine in the test's own loop: who is let in, what hellos cost, bodies both ways, PROXY before TLS."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme
from proxy_rig import Rig

from edgerouter.config import tls_words
from edgerouter.config.static import EntryPoint, ProxyProtocol
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request
from edgerouter.net import openssl
from edgerouter.net.tls_contexts import (
    NONE,
    REQUEST,
    REQUIRE_AND_VERIFY,
    REQUIRE_ANY,
    VERIFY_IF_GIVEN,
    TlsOptions,
    TlsSettings,
)
from edgerouter.net.tls_front import MOST_WAITING, Threshold, TlsFront
from edgerouter.net.tls_names import CertificateTable, HostOptions, ServedCertificate

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
KEYS = trustme.KeyType.ECDSA
CA, FOREIGN = trustme.CA(key_type=KEYS), trustme.CA(key_type=KEYS)
GET = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
BIG = 3_000_000


def served(*names: str) -> ServedCertificate:
    leaf = CA.issue_cert(*names, key_type=KEYS)
    chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
    return ServedCertificate(names[0], names, (leaf.private_key_pem.bytes() + chain).decode())


CERTIFICATES = [served("a.test"), served("127.0.0.1")]
CHALLENGE = served("ask.test")
CLIENT, STRANGER = (ca.issue_cert("client.test", key_type=KEYS) for ca in (CA, FOREIGN))


def options(**fields: Any) -> TlsOptions:
    settings = TlsSettings()
    settings.authorities = CA.cert_pem.bytes().decode()
    for name, value in fields.items():
        setattr(settings, name, value)
    return TlsOptions(settings, CertificateTable(CERTIFICATES, CERTIFICATES[0], [CHALLENGE]))


def secure(rig: Rig, *all_options: TlsOptions, hosts: tuple[tuple[str, str], ...] = ()) -> None:
    doors = rig.engine.doors
    doors.options = {option.name: option for option in all_options}
    doors.hosts = {"web": HostOptions(hosts)}
    doors.table = all_options[0].table


def client(identity: trustme.LeafCert | None = None, version: ssl.TLSVersion = V13) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    context.minimum_version = context.maximum_version = version
    if identity is not None:
        identity.configure_cert(context)
    return context


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with the body that came, or with a big one."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        length = next((int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
        body = await reader.readexactly(length) if length else b"y" * (BIG if b"/big" in head else 2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = await Rig.start(echo)
    secure(rig, options())
    yield rig
    await rig.stop()


async def status(rig: Rig, context: ssl.SSLContext, name: str | None = "a.test", data: bytes = GET) -> int:
    """What one request over TLS is answered; 0 when the client is not let in."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, ssl=context, server_hostname=name or "")
        writer.write(data)
        head = await asyncio.wait_for(reader.readline(), 20)
        writer.transport.abort()
        return int(head.split()[1]) if head else 0
    except (ssl.SSLError, ConnectionError):
        return 0


MODES = [  # mode, without a certificate, with a good one, with a stranger's
    (NONE, 200, 200, 200),
    (REQUEST, 200, 200, 200),
    (REQUIRE_ANY, 0, 200, 200),
    (VERIFY_IF_GIVEN, 200, 200, 0),
    (REQUIRE_AND_VERIFY, 0, 200, 0),
]


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize(("mode", "bare", "good", "strange"), MODES)
async def test_client_authentication(
    rig: Rig, mode: str, bare: int, good: int, strange: int, version: ssl.TLSVersion
) -> None:
    secure(rig, options(client_auth=mode))
    found = [await status(rig, client(who, version)) for who in (None, CLIENT, STRANGER)]
    assert found == [bare, good, strange]


@pytest.mark.parametrize("version", [V12, V13])
async def test_an_authority_need_not_be_a_root(rig: Rig, version: ssl.TLSVersion) -> None:
    """Clients of the named authority get in; those of the one above it and of its other children do not."""
    under, beside = (CA.create_child_ca(key_type=KEYS) for _ in range(2))
    secure(rig, options(client_auth=REQUIRE_AND_VERIFY, authorities=under.cert_pem.bytes().decode()))
    known, others = under.issue_cert("c.test", key_type=KEYS), [beside.issue_cert("c.test", key_type=KEYS), CLIENT]
    assert await status(rig, client(known, version)) == 200
    assert [await status(rig, client(other, version)) for other in others] == [0, 0]


OLD = [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", OLD)
async def test_old_versions_are_spoken_where_they_are_asked_for_and_only_there(
    rig: Rig, version: ssl.TLSVersion
) -> None:
    context = client(version=V12)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = version, version
    assert await status(rig, context) == 0
    secure(rig, options(lowest=int(version), ciphers=tls_words.ciphers((), version)))
    assert await status(rig, context) == 200


async def test_strict_names(rig: Rig) -> None:
    secure(rig, options(sni_strict=True))
    unverified = client()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    assert await status(rig, unverified, "a.test") == 200
    assert await status(rig, unverified, "other.test") == 0
    assert rig.refusals == ["TLS_HANDSHAKE"]


async def test_no_name_means_the_address(rig: Rig) -> None:
    """A client that connects by address sends no name, and wants the address's certificate."""
    assert await status(rig, client(), "127.0.0.1") == 200


async def test_misdirected_requests(rig: Rig) -> None:
    secure(rig, options(), options(name="mtls", client_auth=REQUIRE_AND_VERIFY), hosts=(("b.test", "mtls"),))
    assert await status(rig, client(), "a.test", GET.replace(b"a.test", b"b.test")) == 421
    assert await status(rig, client(), "a.test") == 200
    assert rig.records[0].cause == "MISDIRECTED_TLS"


async def test_a_route_that_wants_other_options_than_the_connection_has(rig: Rig) -> None:
    """Its rule may be true for hosts that it does not name, whose handshakes ask for no certificate."""
    secure(rig, options(), options(name="mtls", client_auth=REQUIRE_AND_VERIFY), hosts=(("b.test", "mtls"),))
    route = rig.engine.table.match(Exchange(Request("GET", b"/", "", Headers())))
    assert route is not None
    route.tls_options = "mtls"
    assert await status(rig, client(), "a.test") == 421
    assert await status(rig, client(CLIENT), "a.test") == 421
    known = client(CLIENT)
    known.check_hostname = False  # no certificate bears this name
    assert await status(rig, known, "b.test", GET.replace(b"a.test", b"b.test")) == 200


async def test_options_that_cannot_be_used_let_nobody_in(rig: Rig) -> None:
    secure(rig, options(), hosts=(("a.test", "gone"),))
    assert await status(rig, client()) == 0


async def test_a_challenge_is_answered_and_nothing_else(rig: Rig) -> None:
    context = client()
    context.set_alpn_protocols(["acme-tls/1"])
    assert await status(rig, context, "ask.test") == 0  # the handshake succeeds, no request is read
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, ssl=context, server_hostname="ask.test")
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "acme-tls/1"
    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()
    assert await status(rig, context, "a.test") == 0


async def test_bodies_both_ways_and_a_slow_reader(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", rig.port, ssl=client(), server_hostname="a.test", limit=4096
    )
    body = bytes(range(256)) * 8000
    writer.write(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(len(body)) == body
    writer.write(GET.replace(b"/ ", b"/big "))
    await reader.readuntil(b"\r\n\r\n")
    taken = 0
    while taken < BIG:
        taken += len(await reader.read(3000))
        if taken % 7 == 0:
            await asyncio.sleep(0)
    assert taken == BIG
    writer.close()


async def test_the_proxy_header_comes_first() -> None:
    settings = EntryPoint(address=":0", proxy_protocol=ProxyProtocol(insecure=True))
    rig = await Rig.start(echo, settings=settings)
    secure(rig, options())
    reader, writer = await rig.connect()
    writer.write(b"PROXY TCP4 203.0.113.7 127.0.0.1 1234 443\r\n")
    await writer.start_tls(client(), server_hostname="a.test")
    writer.write(GET)
    assert (await asyncio.wait_for(reader.readline(), 20)).startswith(b"HTTP/1.1 200")
    assert rig.records[0].exchange.client_address == "203.0.113.7"
    writer.close()
    await rig.stop()


# --- hellos --------------------------------------------------------------------------------------------------------


def hello(name: str = "a.test") -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = client().wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


BAD = {
    "garbage": b"\x16\x03\x01\x00\x10" + b"\xff" * 16,
    "huge": b"\x16\x03\x01\x40\x00\x01\x00\xff\xff" + bytes(16000),
    "no hello": b"\x16\x03\x01\x00\x04\x0e\x00\x00\x00",
}


@pytest.mark.parametrize("what", BAD)
async def test_bad_hellos_get_an_alert(rig: Rig, what: str) -> None:
    assert await rig.ask(BAD[what]) == b"\x15\x03\x01\x00\x02\x02\x32"
    assert not rig.engine.doors.waiting and rig.records == []
    assert rig.refusals == ["BAD_CLIENT_HELLO"]


async def test_a_hello_byte_by_byte(rig: Rig) -> None:
    reader, writer = await rig.connect()
    for byte in hello():
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await asyncio.wait_for(reader.readexactly(3), 20)) == b"\x16\x03\x03"
    writer.transport.abort()


async def test_a_hello_over_many_records(rig: Rig) -> None:
    message = hello()[5:]
    pieces = [message[i : i + 50] for i in range(0, len(message), 50)]
    reader, writer = await rig.connect()
    writer.write(b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces))
    assert (await asyncio.wait_for(reader.readexactly(3), 20)) == b"\x16\x03\x03"
    writer.transport.abort()


async def test_a_thousand_bad_hellos_keep_no_innocent_out(rig: Rig) -> None:
    half = hello()[:100]
    crowd = []
    for number in range(MOST_WAITING + 50):
        _, writer = await rig.connect()
        writer.write((half, b"\x16", b"", *BAD.values())[number % 6])
        crowd.append(writer)
    waiting = rig.engine.doors.waiting
    await rig.until(lambda: len(waiting) + len(rig.refusals) >= len(crowd), 30)  # each was seen, some are gone by now
    assert len(waiting) <= MOST_WAITING
    times = []
    for _ in range(5):
        began = time.perf_counter()
        assert await status(rig, client()) == 200
        times.append(time.perf_counter() - began)
    assert min(times) < 0.2, times
    for writer in crowd:
        writer.transport.abort()
    await rig.until(lambda: not waiting, 30)


async def test_who_waited_longest_is_sent_away_first(rig: Rig) -> None:
    """The one too many is a real connection; the others are only counted, for a thousand take too long to open."""
    engine, refusals = rig.engine, []

    class Silent(Threshold):
        def refused(self, front: TlsFront, cause: str, why: str) -> None:
            refusals.append((front, cause, why))

    crowd = [TlsFront(engine.loop, engine.clock, engine.doors, Silent(), "web") for _ in range(MOST_WAITING)]
    for front in crowd:
        engine.doors.wait(front)
    assert await status(rig, client()) == 200
    assert refusals == [(crowd[0], "NO_CLIENT_HELLO", "too many connections wait for a ClientHello")]
    assert list(engine.doors.waiting) == crowd[1:]


# --- sessions ------------------------------------------------------------------------------------------------------


def handshake(server: ssl.SSLContext, context: ssl.SSLContext, session: Any = None) -> Any:
    """Both sides in memory; the client's side."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(up, down, server_side=True)
    ours = context.wrap_bio(down, up, server_hostname="a.test", session=session)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    theirs.write(b"x")
    ours.read(1)
    return ours


@pytest.mark.parametrize("version", [V12, V13])
def test_tickets_pass_between_workers_and_over_key_rotation_but_not_between_options(version: ssl.TLSVersion) -> None:
    assert openssl.available(), openssl.REASON
    old, new, other = b"o" * 80, b"n" * 80, b"x" * 80
    context = client(version=version)
    first, second = (options(ticket_keys=[old], session_name=b"s") for _ in range(2))
    ours = handshake(first.lasting([]), context)
    assert not ours.session_reused
    assert handshake(second.lasting([]), context, ours.session).session_reused
    second.set_ticket_keys([new, old])
    assert handshake(second.lasting([old[:16]]), context, ours.session).session_reused
    assert not handshake(second.lasting([]), context, ours.session).session_reused
    strangers = options(ticket_keys=[other], session_name=b"t")
    assert not handshake(strangers.lasting([old[:16]]), context, ours.session).session_reused
    same_key = options(ticket_keys=[old], session_name=b"t")  # even with the key the session belongs elsewhere
    assert not handshake(same_key.lasting([]), context, ours.session).session_reused
