"""HTTPS as clients meet it: certificates by name, options by host, sessions across workers and rotations, redirects."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from live.tls_peers import Authority, visit
from live.toolbox import Router, fetch, wait_until

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = [V12, V13]
SECURE = {"address": "127.0.0.1:0"}
STATIC: dict[str, Any] = {
    "entryPoints": {"web": {"address": "127.0.0.1:0"}, "secure": SECURE},
    "api": {"insecure": True},
}
# An upstream that is there at once and knows nothing of TLS.
NOOP: dict[str, Any] = {"service": "ping@internal"}


def dynamic(authority: Authority, certificates: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    """Routers for a.test and one label under w.test with the default options, for b.test with client certificates."""
    named = {"mtls": {"clientAuth": {"caFiles": [str(authority.ca_file)]}}, **options}
    secure = {"entryPoints": ["secure"], **NOOP}
    return {
        "http": {
            "routers": {
                "a": {"rule": "Host(`a.test`)", "tls": {}, **secure},
                "w": {"rule": "Host(`*.w.test`)", "tls": {}, **secure},
                "none": {"rule": "Host(`bare.test`)", "tls": {}, **secure},
                "b": {"rule": "Host(`b.test`)", "tls": {"options": "mtls"}, **secure},
                "plain": {"rule": "Host(`a.test`)", "middlewares": ["mark"], **secure},
            },
            "middlewares": {"mark": {"headers": {"customResponseHeaders": {"X-Plain": "yes"}}}},
        },
        "tls": {"certificates": certificates, "options": named},
    }


def refused(port: int, context: ssl.SSLContext, name: str, **more: Any) -> bool:
    """True when the handshake fails, or ends with the connection, without an answer."""
    try:
        return visit(port, context, name, **more).status == 0
    except (ssl.SSLError, ConnectionError):
        return True


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def router(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """Four workers."""
    folder = tmp_path_factory.mktemp("router")
    pairs = [authority.issue(name) for name in ("a.test", "*.w.test", "b.test")]
    with Router(folder, dynamic(authority, pairs), STATIC, workers=4) as running:
        yield running


@pytest.mark.parametrize("version", VERSIONS)
def test_certificates_by_name(router: Router, authority: Authority, version: ssl.TLSVersion) -> None:
    context, port = authority.context(version), router.port("secure")
    for name, borne in (("a.test", "a.test"), ("A.test", "a.test"), ("x.w.test", "*.w.test")):
        seen = visit(port, context, name)
        assert (seen.status, seen.names, seen.version) == (200, [borne], version.name.replace("_", "."))
    for name in ("w.test", "x.y.w.test", "bare.test"):
        with pytest.raises(ssl.SSLCertVerificationError):
            visit(port, context, name)


def test_the_default_certificate_and_404_for_unknown_names(router: Router) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for point in ("secure", "web"):  # web has no TLS router at all
        assert visit(router.port(point), context, "unknown.test").status == 404
    assert visit(router.port("secure"), context, "bare.test").status == 200


async def test_plain_and_tls_on_one_port(router: Router, authority: Authority) -> None:
    plain = await fetch(router.port("secure"), "/", host="a.test")
    assert (plain.status, plain.headers.get("x-plain")) == (200, "yes")
    assert (await fetch(router.port("secure"), "/", host="b.test")).status == 404
    assert (await asyncio.to_thread(visit, router.port("secure"), authority.context(), "a.test")).status == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_options_of_host_and_name_must_be_one(router: Router, authority: Authority, version: ssl.TLSVersion) -> None:
    port, client = router.port("secure"), authority.issue("client", file="client")
    with_certificate, without = authority.context(version, client), authority.context(version)
    assert visit(port, with_certificate, "b.test").status == 200
    assert refused(port, without, "b.test")
    assert refused(port, Authority(router.folder).context(version, client), "a.test")  # it believes another authority
    for name, host in (("a.test", "b.test"), ("a.test", "b.test:443"), ("a.test", "B.TEST.")):
        assert visit(port, without, name, host).status == 421
    assert visit(port, with_certificate, "b.test", "a.test").status == 421
    assert visit(port, without, "a.test", "x.w.test").status == 200  # other name, same options


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_of_one_host_opens_no_other(router: Router, authority: Authority, version: ssl.TLSVersion) -> None:
    """Every try may meet the worker that gave the ticket, or another one."""
    port, context = router.port("secure"), authority.context(version)
    tries = 0
    for _ in range(12):
        ticket = visit(port, context, "a.test").session
        for _ in range(2):
            tries += 1
            assert refused(port, context, "b.test", session=ticket)
            assert refused(port, context, "b.test", host="a.test", session=ticket)
    assert tries == 24
    client = authority.context(version, authority.issue("client", file="client"))
    first = visit(port, client, "b.test")
    assert visit(port, client, "b.test", session=first.session).resumed
    assert not visit(port, client, "a.test", session=first.session).resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_resume_in_every_worker_and_over_a_rotation(
    router: Router, authority: Authority, version: ssl.TLSVersion
) -> None:
    port, context = router.port("secure"), authority.context(version)
    first = visit(port, context, "a.test")
    assert not first.resumed
    session, serial = first.session, _serial(port, context)
    resumed = 0
    for turn in range(100):
        if turn == 50:
            authority.issue("a.test")
            wait_until(lambda: _serial(port, context) != serial, "the new certificate")
        seen = visit(port, context, "a.test", session=session)
        resumed += bool(seen.resumed and seen.status == 200)
        session = seen.session or session
    assert resumed == 100


def _serial(port: int, context: ssl.SSLContext) -> str:
    raw = socket.create_connection(("127.0.0.1", port), 20)
    with raw, context.wrap_socket(raw, server_hostname="a.test") as connection:
        return str(connection.getpeercert()["serialNumber"])  # type: ignore[index]


# --- a scanner's view ----------------------------------------------------------------------------------------------

SCAN: list[tuple[str, list[str], str]] = [
    ("TLS 1.3", ["-tls1_3"], "Protocol  : TLSv1.3|New, TLSv1.3"),
    ("TLS 1.2", ["-tls1_2"], "TLSv1.2"),
    ("no TLS 1.1", ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "!alert|no protocols|unsupported|version"),
    ("no TLS 1.0", ["-tls1", "-cipher", "ALL:@SECLEVEL=0"], "!alert|no protocols|unsupported|version"),
    ("forward secrecy", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("no CBC", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"], "!alert handshake failure"),
    ("ALPN", ["-alpn", "http/1.1"], "ALPN protocol: http/1.1"),
    ("ALPN unknown", ["-alpn", "spdy/1"], "No ALPN negotiated"),
    ("name", ["-servername", "x.w.test"], "subject="),
    ("no renegotiation", ["-tls1_2"], "Secure Renegotiation IS supported"),
]


@pytest.mark.parametrize(("what", "flags", "expected"), SCAN, ids=[row[0] for row in SCAN])
def test_what_a_scanner_sees(router: Router, what: str, flags: list[str], expected: str) -> None:
    name = [] if "-servername" in flags else ["-servername", "a.test"]
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{router.port('secure')}", *name, *flags]
    run = subprocess.run(command, input=b"", capture_output=True, timeout=30, check=False)
    text = (run.stdout + run.stderr).decode(errors="replace")
    assert any(word in text for word in expected.lstrip("!").split("|")), text
    assert ("Cipher is (NONE)" in text or "NONE" in text.partition("Cipher is")[2][:9]) == expected.startswith("!"), (
        text
    )
