"""The whole program once, quickly: what must work compiled and uncompiled alike (`EDGEROUTER_PURE=1`)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from live.toolbox import EchoServer, Router, fetch


def dynamic(url: str) -> dict[str, Any]:
    return {
        "http": {
            "routers": {
                "shop": {
                    "rule": "Host(`shop.test`) && PathPrefix(`/shop`)",
                    "middlewares": ["bare"],
                    "service": "shop",
                    "entryPoints": ["web"],
                }
            },
            "middlewares": {"bare": {"stripPrefix": {"prefixes": ["/shop"]}}},
            "services": {"shop": {"loadBalancer": {"servers": [{"url": url}]}}},
        }
    }


async def test_a_router_from_its_start_to_its_end(tmp_path: Path) -> None:
    static = {"api": {"insecure": True}, "ping": {}, "metrics": {"prometheus": {}}}
    async with EchoServer() as echo, Router(tmp_path, dynamic(echo.url), static=static) as router:
        await requests_are_forwarded(router.port(), echo)
        await it_shows_itself(router.port("traefik"))
        version = subprocess.run(
            [*router.command[:3], "version"], cwd=tmp_path, env=router._env, capture_output=True, text=True, check=True
        )
        if os.environ.get("EDGEROUTER_PURE") == "1":
            assert "pure" in version.stdout


async def requests_are_forwarded(web: int, echo: EchoServer) -> None:
    got = await fetch(web, "/shop/items?page=2", host="shop.test", headers={"X-Own": "kept"})
    assert got.status == 200
    seen = got.json()
    headers = {name.lower(): value for name, value in seen["headers"]}
    assert (seen["method"], seen["path"]) == ("GET", "/items?page=2")
    assert headers["host"] == "shop.test"
    assert headers["x-own"] == "kept"
    assert headers["x-forwarded-prefix"] == "/shop"
    assert headers["x-forwarded-for"] == headers["x-real-ip"] == "127.0.0.1"
    sent = await fetch(web, "/shop", host="shop.test", method="POST", body=b"one book")
    assert sent.status == 200
    assert (sent.json()["method"], sent.json()["path"], sent.json()["body"]) == ("POST", "/", "one book")
    assert (await fetch(web, "/elsewhere", host="shop.test")).status == 404
    assert echo.requests == 2


async def it_shows_itself(internal: int) -> None:
    ping = await fetch(internal, "/ping")
    assert (ping.status, ping.body) == (200, b"OK")
    page = (await fetch(internal, "/metrics")).text
    line = 'edgerouter_service_requests_total{code="200",method="POST",protocol="http",service="shop@file"} 1'
    assert line in page.splitlines()
    overview = (await fetch(internal, "/api/overview")).json()
    assert overview["http"]["routers"]["errors"] == 0
    assert overview["http"]["middlewares"]["total"] >= 1
    assert overview["providers"] == ["File"]
    dashboard = await fetch(internal, "/dashboard/")
    assert dashboard.status == 200
    assert dashboard.headers["content-type"].startswith("text/html")
    assert b"<html" in dashboard.body
