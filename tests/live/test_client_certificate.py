"""Certificates of clients in the running router: servers hear of the one that a client showed (passTLSClientCert); and
the router's own, which servers are shown, is renewed without a restart."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from live.tls_peers import Authority, visit
from live.toolbox import EchoServer, Router, fetch, until

FIELD, INFO = "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info"


def dynamic(authority: Authority, url: str) -> dict[str, Any]:
    secure = {"entryPoints": ["secure"], "service": "app", "middlewares": ["cert"]}
    asks = {"clientAuth": {"caFiles": [str(authority.ca_file)], "clientAuthType": "VerifyClientCertIfGiven"}}
    return {
        "http": {
            "routers": {"m": {"rule": "Host(`m.test`)", "tls": {"options": "asks"}, **secure}},
            "middlewares": {"cert": {"passTLSClientCert": {"pem": True, "info": {"sans": True, "issuer": {}}}}},
            "services": {"app": {"loadBalancer": {"servers": [{"url": url}]}}},
        },
        "tls": {"certificates": [authority.issue("m.test")], "options": {"asks": asks}},
    }


async def test_the_server_hears_of_the_clients_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("ann.test", "ann@acme.test", file="ann")
    pem = Path(pair["certFile"]).read_text().partition("-----END")[0].partition("-----BEGIN CERTIFICATE-----")[2]
    static = {"entryPoints": {"secure": {"address": "127.0.0.1:0"}}}
    async with EchoServer() as echo, Router(tmp_path, dynamic(authority, echo.url), static) as router:
        port = router.port("secure")
        for shown in (pair, None):
            seen = await asyncio.to_thread(visit, port, authority.context(pair=shown), "m.test")
            assert seen.status == 200
            fields = dict(json.loads(seen.body)["headers"])
            if shown is None:
                assert not {FIELD, INFO} & set(fields)
            else:
                assert fields[FIELD] == pem.replace("\n", "")
                assert unquote_plus(fields[INFO]) == 'SAN="ann.test,ann@acme.test"'


# --- the router's own certificate, towards servers -------------------------------------------------------------------


async def test_a_renewed_certificate_for_servers_is_used_without_a_restart(tmp_path: Path) -> None:
    """The server believes another authority from now on, and is one of its own: both files are swapped by a link."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    authorities = [Authority(folder) for folder in folders]
    contexts = []
    for authority in authorities:
        authority.issue("router.test", file="router")
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*authority.issue("localhost").values())
        server.load_verify_locations(authority.ca_file)
        server.verify_mode = ssl.CERT_REQUIRED
        contexts.append(server)
    current = tmp_path / "current"
    current.symlink_to("one")
    pair = {"certFile": str(current / "router.crt"), "keyFile": str(current / "router.key")}
    ports = []
    servers = []
    for context in contexts:
        servers.append(await asyncio.start_server(_ok, "127.0.0.1", 0, ssl=context))
        ports.append(servers[-1].sockets[0].getsockname()[1])
    names = [f"s{number}" for number in range(2)]
    transport = {"rootCAs": [str(current / "ca.pem")], "certificates": [pair], "serverName": "localhost"}
    dynamic = {
        "http": {
            "routers": {name: {"rule": f"Host(`{name}.test`)", "service": name} for name in names},
            "services": {
                name: {"loadBalancer": {"serversTransport": "t", "servers": [{"url": f"https://127.0.0.1:{port}"}]}}
                for name, port in zip(names, ports, strict=True)
            },
            "serversTransports": {"t": transport},
        }
    }
    async with Router(tmp_path, dynamic, workers=2) as router:

        async def statuses() -> list[int]:
            return [(await fetch(router.port(), "/", host=f"{name}.test")).status for name in names]

        assert await statuses() == [200, 500]
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(current)
        seen: list[list[int]] = []
        for _ in range(600):  # both workers; each connection may meet either
            seen.append(await statuses())
            if seen[-8:] == [[500, 200]] * 8:
                break
            await asyncio.sleep(0.05)
        assert seen[-8:] == [[500, 200]] * 8, seen[-8:]
        (current / "router.key").write_text("nonsense")
        await until(lambda: router.find_log("serversTransports.t"), "the problem by name")
        assert await statuses() == [500, 200]
    for one in servers:
        one.close()


async def _ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    except (OSError, EOFError):
        writer.close()
