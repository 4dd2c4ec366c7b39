"""passTLSClientCert in the running router: the server hears of the certificate that the client showed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from live.tls_peers import Authority, visit
from live.toolbox import EchoServer, Router

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
