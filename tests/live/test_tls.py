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
from live.toolbox import PATIENCE, Router, fetch, wait_until

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = [V12, V13]
SECURE = {"address": "127.0.0.1:0"}
STATIC: dict[str, Any] = {
    "entryPoints": {"web": {"address": "127.0.0.1:0"}, "secure": SECURE},
    "api": {"insecure": True},
}
# An upstream that is there at once and knows nothing of TLS.
NOOP: dict[str, Any] = {"service": "ping@internal"}


OPTIONS: dict[str, Any] = {
    "old": {"minVersion": "VersionTLS10"},
    "new": {"minVersion": "VersionTLS13"},
    "cbc": {"maxVersion": "VersionTLS12", "cipherSuites": ["TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"]},
    "curve": {"curvePreferences": ["CurveP384"]},
    "bare": {"alpnProtocols": [], "disableSessionTickets": True},
    "asks": {"clientAuth": {"clientAuthType": "RequestClientCert"}},
    "wants": {"clientAuth": {"clientAuthType": "RequireAnyClientCert"}},
}


def dynamic(authority: Authority, certificates: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    """Routers for a.test and one label under w.test with the default options, for b.test with client certificates, and
    one host under w.test for each of the options in ``OPTIONS``."""
    named = {"mtls": {"clientAuth": {"caFiles": [str(authority.ca_file)]}}, **OPTIONS, **options}
    secure = {"entryPoints": ["secure"], **NOOP}
    others = {
        name: {"rule": f"Host(`{name}.w.test`)", "tls": {"options": name}, **secure} for name in (*OPTIONS, *options)
    }
    return {
        "http": {
            "routers": {
                "a": {"rule": "Host(`a.test`)", "tls": {}, **secure},
                "w": {"rule": "Host(`*.w.test`)", "tls": {}, **secure},
                "none": {"rule": "Host(`bare.test`)", "tls": {}, **secure},
                "b": {"rule": "Host(`b.test`)", "tls": {"options": "mtls"}, **secure},
                "plain": {"rule": "Host(`a.test`)", "middlewares": ["mark"], **secure},
                **others,
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
    ticket = visit(port, context, "a.test").session
    assert visit(port, context, "x.w.test", session=ticket).resumed  # a ticket is offered whatever the name
    tries, since = 0, len(router.lines)
    for _ in range(12):
        ticket = visit(port, context, "a.test").session
        for _ in range(2):
            tries += 1
            assert refused(port, context, "b.test", session=ticket)
            assert refused(port, context, "b.test", host="a.test", session=ticket)
    assert tries == 24
    why = "peer did not return a certificate"
    wait_until(lambda: sum(why in line.get("message", "") for line in router.lines[since:]) >= 2 * tries, why)
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

ANY = ["-cipher", "ALL:@SECLEVEL=0"]
CBC = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"]
RENEGOTIATE = b"R\n"
TOO_OLD = "!alert protocol version"  # the server's word: a client that cannot speak the version says another one

# what, flags, what is seen; "!": there is no connection, "=": there is one, and this comes after it
SCAN: list[tuple[str, list[str], str]] = [
    ("TLS 1.3", ["-tls1_3"], "New, TLSv1.3"),
    ("TLS 1.2", ["-tls1_2"], "New, TLSv1.2"),
    ("no TLS 1.1", ["-tls1_1", *ANY], TOO_OLD),
    ("no TLS 1.0", ["-tls1", *ANY], TOO_OLD),
    ("TLS 1.1 where it is asked for", ["-tls1_1", *ANY, "-servername", "old.w.test"], "Cipher is ECDHE-ECDSA-AES"),
    ("TLS 1.0 where it is asked for", ["-tls1", *ANY, "-servername", "old.w.test"], "Cipher is ECDHE-ECDSA-AES"),
    ("TLS 1.3 alone", ["-tls1_2", "-servername", "new.w.test"], TOO_OLD),
    ("TLS 1.2 alone", ["-tls1_3", "-servername", "cbc.w.test"], TOO_OLD),
    ("forward secrecy", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("no CBC", CBC, "!alert handshake failure"),
    ("CBC where it is asked for", [*CBC, "-servername", "cbc.w.test"], "Cipher is ECDHE-ECDSA-AES128-SHA"),
    ("a curve", ["-servername", "curve.w.test"], "Server Temp Key: ECDH, secp384r1, 384 bits"),
    ("not that curve", ["-servername", "curve.w.test", "-curves", "X25519"], "!alert handshake failure"),
    ("ALPN", ["-alpn", "http/1.1"], "ALPN protocol: http/1.1"),
    ("ALPN unknown", ["-alpn", "spdy/1"], "No ALPN negotiated"),
    ("ALPN off", ["-alpn", "http/1.1", "-servername", "bare.w.test"], "No ALPN negotiated"),
    ("name", ["-servername", "x.w.test", "-verify_hostname", "x.w.test"], "Verify return code: 0 (ok)"),
    ("another name", ["-servername", "x.w.test", "-verify_hostname", "a.test"], "Verify return code: 62 (hostname"),
    ("tickets", ["-tls1_2"], "TLS session ticket lifetime hint: 7200"),
    ("renegotiation", ["-tls1_2"], "=no renegotiation"),
    ("nobody is asked", ["-tls1_2"], "No client certificate CA names sent"),
    ("certificate asked for", ["-tls1_2", "-servername", "asks.w.test"], "Client Certificate Types: RSA sign"),
    ("certificate wanted", ["-tls1_2", "-servername", "wants.w.test"], "=alert handshake failure"),
    ("certificate wanted by TLS 1.3", ["-tls1_3", "-servername", "wants.w.test"], "=alert certificate required"),
    ("certificate of an authority wanted", ["-tls1_3", "-servername", "b.test"], "=alert certificate required"),
]


@pytest.mark.parametrize(("what", "flags", "expected"), SCAN, ids=[row[0] for row in SCAN])
def test_what_a_scanner_sees(router: Router, authority: Authority, what: str, flags: list[str], expected: str) -> None:
    name = [] if "-servername" in flags else ["-servername", "a.test"]
    trust = ["-CAfile", str(authority.ca_file)]
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{router.port('secure')}", *name, *trust, *flags]
    text = _scanned(command, RENEGOTIATE if what == "renegotiation" else b"", stays=expected[0] == "=")
    assert expected.lstrip("!=") in text, text
    assert ("Cipher is (NONE)" in text) == expected.startswith("!"), text
    assert "alert" not in text or expected[0] in "!=", text


def _scanned(command: list[str], said: bytes, stays: bool) -> str:
    """What it says; with ``stays`` it goes on listening until the server ends the connection."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(said)
        process.stdin.flush()
        if stays:
            process.wait(PATIENCE)
        return process.communicate(timeout=PATIENCE)[0].decode(errors="replace")
    finally:
        process.kill()
        process.wait()
