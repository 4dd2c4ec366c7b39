"""HTTPS on a developer's machine: a router names the built-in authority, a client that trusts its root is content."""

from __future__ import annotations

import asyncio
import socket
import ssl
import stat
from pathlib import Path

from live.acme_rig import command
from live.toolbox import Router


def verified(port: int, name: str, root: str) -> bool:
    context = ssl.create_default_context(cadata=root)
    try:
        with socket.create_connection(("127.0.0.1", port), 30) as raw, context.wrap_socket(raw, server_hostname=name):
            return True
    except ssl.SSLCertVerificationError:
        return False


async def test_a_private_name_is_served_with_a_certificate_that_the_root_vouches_for(tmp_path: Path) -> None:
    names = ("app.localhost", "localhost")
    routers = {
        name: {"rule": f"Host(`{name}`)", "service": "noop@internal", "tls": {"certResolver": "dev"}} for name in names
    }
    static = {"certificatesResolvers": {"dev": {"local": {"storage": str(tmp_path / "ca.json")}}}}
    async with Router(tmp_path, {"http": {"routers": routers}}, static) as router:
        code, root = await command(router, "trust", "--print", f"--configfile={router.static_file}")
        assert code == 0 and root.startswith("-----BEGIN CERTIFICATE-----") and "PRIVATE" not in root
        end = asyncio.get_running_loop().time() + 60
        for name in names:
            while not await asyncio.to_thread(verified, router.port(), name, root):
                assert asyncio.get_running_loop().time() < end, router.log_text()[-2000:]
                await asyncio.sleep(0.05)
        assert not await asyncio.to_thread(verified, router.port(), "other.localhost", root)
        assert stat.S_IMODE((tmp_path / "ca.json").stat().st_mode) == 0o600
        assert "PRIVATE KEY" not in router.log_text()
