"""The Docker transport against a server of the tests' own: what a proxy refuses, and what is gone."""

from __future__ import annotations

from pathlib import Path

import aiodocker
import pytest
from aiohttp import web

from edgerouter.clients.docker import DockerClient


async def test_what_may_not_be_inspected_is_unknown_where_that_is_allowed_for(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/version"):
            return web.json_response({"ApiVersion": "1.41"})
        status = {"gone": 404, "secret": 403, "broken": 500}.get(request.path.split("/")[-2], 200)
        return web.json_response({"Id": "here"} if status == 200 else {"message": "no"}, status=status)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "d.sock")).start()
    client = DockerClient(f"unix://{tmp_path}/d.sock")
    try:
        assert (await client.inspect_if_allowed("here", dict) or {})["Id"] == "here"
        assert (
            await client.inspect_if_allowed("gone", dict) is None
            and await client.inspect_if_allowed("secret", dict) is None
        )
        with pytest.raises(aiodocker.DockerError, match="no"):
            await client.inspect_if_allowed("broken", dict)
        with pytest.raises(aiodocker.DockerError, match="no"):
            await client.inspect("secret", dict)
    finally:
        await client.close()
        await runner.cleanup()
