"""The Docker transport against a server of the tests' own: what is asked and read, what is refused, what is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiodocker
import msgspec
import pytest
from aiohttp import web

from edgerouter.clients.docker import DockerClient


@asynccontextmanager
async def daemon(folder: Path, answer: Callable[[str], web.Response]) -> AsyncIterator[tuple[DockerClient, list[str]]]:
    """A client of a server that answers by path, and the paths that were asked for."""
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.json_response({"ApiVersion": "1.41"}) if request.path == "/version" else answer(request.path)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(folder / "d.sock")).start()
    client = DockerClient(f"unix://{folder}/d.sock")
    try:
        yield client, asked
    finally:
        await client.close()
        await runner.cleanup()


async def test_what_may_not_be_inspected_is_unknown_where_that_is_allowed_for(tmp_path: Path) -> None:
    def answer(path: str) -> web.Response:
        if path.split("/")[-2] == "shut":
            return web.Response(text="<h1>no</h1>", status=403)  # a proxy's own words
        status = {"gone": 404, "secret": 403, "broken": 500}.get(path.split("/")[-2], 200)
        return web.json_response({"Id": "here"} if status == 200 else {"message": "no"}, status=status)

    async with daemon(tmp_path, answer) as (client, _):
        assert (await client.inspect_if_allowed("here", dict) or {})["Id"] == "here"
        for name in ("gone", "secret", "shut"):
            assert await client.inspect_if_allowed(name, dict) is None
        with pytest.raises(aiodocker.DockerError, match="no"):
            await client.inspect_if_allowed("broken", dict)
        with pytest.raises(aiodocker.DockerError, match="no"):
            await client.inspect("secret", dict)
        with pytest.raises(aiodocker.DockerError, match="<h1>no</h1>"):
            await client.inspect("shut", dict)


class Id(msgspec.Struct, rename="pascal"):
    id: str


async def test_the_version_is_agreed_on_and_of_an_answer_only_what_is_wanted_is_read(tmp_path: Path) -> None:
    def answer(path: str) -> web.Response:
        entry = {"Id": "a", "Labels": {"x": "y"}}
        return web.json_response([entry, entry] if path.endswith("/containers/json") else entry)

    async with daemon(tmp_path, answer) as (client, asked):
        assert await client.containers(Id) == [Id("a"), Id("a")]
        assert await client.inspect("a", Id) == Id("a")
    assert asked[-2:] == ["/v1.41/containers/json?all=true", "/v1.41/containers/a/json"]
