"""TLS towards servers on real sockets: what fails has a cause of its own, and says in its detail what to do."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from typing import Any

import pytest
import trustme
from proxy_rig import Rig

from edgerouter.config.dynamic import CertificatePair, PeerSAN, ServersTransport
from edgerouter.config.types import Secret
from edgerouter.net.pool import TransportSettings
from edgerouter.worker.upstream_tls import peer_names, tls_context

KEYS = trustme.KeyType.ECDSA
CA = trustme.CA(key_type=KEYS)
GET = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
PAST = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


def text(*blobs: trustme.Blob) -> str:
    return "".join(blob.bytes().decode() for blob in blobs)


TRUST = (text(CA.cert_pem),)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server without TLS that waits for nobody."""
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


def server_context(
    leaf: trustme.LeafCert, demanding: bool = False, highest: Any = None, suites: str = ""
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    if demanding:
        CA.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    if highest is not None:
        context.minimum_version, context.maximum_version = min(highest, context.minimum_version), highest
        context.set_ciphers("ALL:@SECLEVEL=0")
    if suites:
        context.set_ciphers(suites)
    return context


async def ask(context: ssl.SSLContext | None, options: ServersTransport, made: bool = True) -> tuple[int, str, str]:
    """Status, cause and detail of one request to a server with this context."""
    server = await asyncio.start_server(answer if context else greet, "127.0.0.1", 0, ssl=context)
    settings = TransportSettings(
        tls=tls_context(options) if made else None, server_name=options.server_name, peer_names=peer_names(options)
    )
    rig = await Rig.start(transport=settings)
    entry = rig.add_server(server.sockets[0].getsockname()[1])
    entry.scheme, entry.host = "https", "localhost"
    head = await rig.ask(GET)
    await rig.until(lambda: bool(rig.records))
    exchange = rig.records[0].exchange
    await rig.stop()
    server.close()
    return int(head.split()[1]), exchange.cause, exchange.detail


GOOD = CA.issue_cert("localhost", key_type=KEYS)
ROUTER = CA.issue_cert("router", key_type=KEYS)
SHOWN = (
    CertificatePair(cert_file=Secret(text(*ROUTER.cert_chain_pems)), key_file=Secret(text(ROUTER.private_key_pem))),
)
OLD = CA.issue_cert("localhost", key_type=KEYS, not_after=PAST)
URI = "spiffe://a/b"
UNDER = CA.create_child_ca(key_type=KEYS)
BELOW = UNDER.issue_cert("localhost", key_type=KEYS)
FOREIGN = trustme.CA(key_type=KEYS).issue_cert("router", key_type=KEYS)
STRANGE = (
    CertificatePair(cert_file=Secret(text(*FOREIGN.cert_chain_pems)), key_file=Secret(text(FOREIGN.private_key_pem))),
)
REFUSED, NEWER = "UPSTREAM_TLS_REFUSED", {"max_version": "VersionTLS12"}
OF_OLD = server_context(GOOD, highest=ssl.TLSVersion.TLSv1)


def nameless(leaf: trustme.LeafCert) -> ssl.SSLContext:
    """A server that is strict about names and knows none."""
    context = server_context(leaf)
    context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    return context


@pytest.mark.parametrize(
    ("context", "options", "cause", "says"),
    [
        (server_context(GOOD), {"root_cas": TRUST}, "", ""),
        (server_context(GOOD), {"insecure_skip_verify": True}, "", ""),
        (server_context(GOOD), {}, "UPSTREAM_CERT_UNTRUSTED", "rootCAs"),
        (server_context(OLD), {"root_cas": TRUST}, "UPSTREAM_CERT_EXPIRED", "renew"),
        (server_context(GOOD), {"root_cas": TRUST, "server_name": "b.test"}, "UPSTREAM_CERT_NAME", "serverName"),
        (server_context(GOOD), {"root_cas": TRUST, "peer_cert_uri": URI}, "UPSTREAM_CERT_NAME", URI),
        (
            server_context(GOOD),
            {"root_cas": TRUST, "peer_cert_sans": (PeerSAN(value="x"), PeerSAN(value="localhost"))},
            "",
            "",
        ),
        (None, {"root_cas": TRUST}, "UPSTREAM_NOT_TLS", "http://"),
        (
            server_context(GOOD, True),
            {"root_cas": TRUST, "max_version": "VersionTLS12"},
            "UPSTREAM_TLS_REFUSED",
            "certificate",
        ),
        (server_context(GOOD, True), {"root_cas": TRUST, "certificates": SHOWN}, "", ""),
        (
            server_context(GOOD, highest=ssl.TLSVersion.TLSv1_2),
            {"root_cas": TRUST, "min_version": "VersionTLS13"},
            "UPSTREAM_TLS_REFUSED",
            "minVersion",
        ),
        (server_context(GOOD, highest=ssl.TLSVersion.TLSv1), {"root_cas": TRUST}, "UPSTREAM_TLS_REFUSED", "minVersion"),
        (
            server_context(GOOD, highest=ssl.TLSVersion.TLSv1),
            {"root_cas": TRUST, "min_version": "VersionTLS10"},
            "",
            "",
        ),
    ],
)
async def test_what_becomes_of_a_request(
    context: ssl.SSLContext | None, options: dict[str, Any], cause: str, says: str
) -> None:
    status, found, detail = await ask(context, ServersTransport(**options))
    assert (status, found) == (500 if cause else 200, cause) and says in detail


async def test_without_settings() -> None:
    assert (await ask(server_context(GOOD), ServersTransport(), made=False))[1] == "UPSTREAM_TLS"


BAD = [
    ({"root_cas": ("-----BEGIN X",)}, "rootCAs[0] holds no certificate"),
    ({"root_cas": ("/nowhere",)}, "No such file"),
    ({"min_version": "TLS12"}, "VersionTLS12"),
    ({"min_version": "VersionTLS13", "max_version": "VersionTLS12"}, "below minVersion"),
    ({"cipher_suites": ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA25",)}, "did you mean"),
    ({"certificates": (CertificatePair(cert_file=Secret("-----BEGIN"), key_file=Secret("-----BEGIN")),)}, "[0] cannot"),
    ({"insecure_skip_verify": True, "peer_cert_uri": URI}, "insecureSkipVerify"),
]


@pytest.mark.parametrize(("options", "says"), BAD)
def test_settings_that_cannot_be_used_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises((ValueError, OSError)) as caught:
        tls_context(ServersTransport(**options))
    assert says in str(caught.value)


PASTED = text(ROUTER.private_key_pem).splitlines()[1]


@pytest.mark.parametrize(
    "options",
    [
        {"root_cas": (PASTED,)},
        {"certificates": (CertificatePair(cert_file=Secret(PASTED), key_file=SHOWN[0].key_file),)},
        {"certificates": (CertificatePair(cert_file=SHOWN[0].cert_file, key_file=Secret(f"/{PASTED}")),)},
    ],
)
def test_a_pasted_key_is_never_quoted(options: dict[str, Any]) -> None:
    """Somebody left the first and last line out, so that it is no PEM text, and no file's name either."""
    with pytest.raises(ValueError, match="the file cannot be read: No such file") as caught:
        tls_context(ServersTransport(**options))
    assert PASTED not in str(caught.value)


async def test_a_handshake_after_plain_requests() -> None:
    rig = await Rig.start(answer)
    reader, writer = await rig.connect()
    writer.write(GET.replace(b"Connection: close\r\n", b""))
    await reader.readuntil(b"ok")
    writer.write(b"\x16\x03\x01\x00\x05hello\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 400")
    assert [record.cause for record in rig.records] == ["", "BAD_REQUEST_TLS"]
    writer.close()
    await rig.stop()
