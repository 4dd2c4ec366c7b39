"""Internal services are apart: a router to one of them, however broad its rule, reaches no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live.toolbox import Router, fetch

PATHS = ("/api/rawdata", "/api/present", "/api/version", "/dashboard/", "/metrics", "/ping")
REACHED = {
    "api": {"/api/rawdata", "/api/present", "/api/version", "/dashboard/"},
    "dashboard": {"/dashboard/"},
    "prometheus": {"/metrics"},
    "ping": set(PATHS),  # it answers OK to whatever is asked
}


def broad() -> dict[str, Any]:
    """A router for each service that takes everything with its Host."""
    return {
        "http": {
            "routers": {
                name: {"rule": f"Host(`{name}.test`)", "service": f"{name}@internal", "entryPoints": ["web"]}
                for name in REACHED
            }
        }
    }


@pytest.mark.parametrize("base", ["", "/under/here"])
async def test_a_broad_rule_to_one_internal_service_reaches_no_other(tmp_path: Path, base: str) -> None:
    static = {"api": {"basePath": base or "/"}, "ping": {}}
    async with Router(tmp_path, dynamic=broad(), static=static) as router:
        for name, reached in REACHED.items():
            for path in PATHS:
                place = f"{base}{path}" if path.startswith(("/api", "/dashboard")) else path
                reply = await fetch(router.port("web"), place, host=f"{name}.test")
                expected = 200 if path in reached else 404
                assert reply.status == expected, f"{name}@internal, {place}"
                assert name == "ping" or reply.text != "OK"


async def test_every_internal_service_has_a_socket_of_its_own_and_health_is_asked_on_another(tmp_path: Path) -> None:
    async with Router(tmp_path, static={"api": {"insecure": True}}, env={"TMPDIR": str(tmp_path)}) as router:
        port = router.port("traefik")
        services = (await fetch(port, "/api/http/services?per_page=100")).json()
        urls = {
            service["name"]: service["loadBalancer"]["servers"][0]["url"]
            for service in services
            if service.get("loadBalancer", {}).get("servers")
        }
        assert set(urls) == {"api@internal", "dashboard@internal", "prometheus@internal"}
        assert len(set(urls.values())) == len(urls)
        (folder,) = {Path(url.removeprefix("unix:")).parent for url in urls.values()}
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.name for path in folder.iterdir()} == {
            "api.sock",
            "control.sock",
            "dashboard.sock",
            "prometheus.sock",
        }
    assert not folder.exists()
