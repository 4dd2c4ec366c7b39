"""What the JSON access log says of the server's own answer, beside what the client got."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from proxy_rig import Rig, answering

from edgerouter.config.static import AccessLog as Options
from edgerouter.config.types import decode_hook
from edgerouter.contracts.plugins import Middleware
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.telemetry.access_log import AccessLog
from edgerouter.telemetry.recorder import Recorder

GET = b"GET /a HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n"


class Changes(Middleware):
    def on_response(self, exchange: Exchange) -> None:
        assert exchange.response is not None
        exchange.response = Response.text(418, "changed")


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(0.1)
    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\nX-Powered-By: me\r\n\r\nabc")
    await asyncio.sleep(0.1)
    writer.write(b"def")


async def line(folder: Path, serve: Any, steps: list[Middleware], raw: bytes = GET, **options: Any) -> dict[str, Any]:
    path = folder / "access.log"
    data = {"filePath": str(path), "format": "json", **options}
    log = AccessLog(msgspec.convert(data, Options, dec_hook=decode_hook))
    recorder = Recorder(None, log)
    rig = await Rig.start(serve, steps=steps, recorder=recorder)
    await rig.ask(raw)
    await rig.until(lambda: rig.engine.in_flight == 0)
    await rig.stop()
    log.close()
    found: dict[str, Any] = json.loads(path.read_text())
    return found


async def test_a_changed_answer(tmp_path: Path) -> None:
    keep = {"headers": {"defaultMode": "keep"}}
    ok = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Powered-By: me\r\n\r\nok")
    record = await line(tmp_path, ok, [Changes()], fields=keep)
    assert (record["OriginStatus"], record["OriginStatusLine"], record["OriginContentSize"]) == (200, "200 OK", 2)
    assert (record["DownstreamStatus"], record["DownstreamContentSize"]) == (418, 7)
    assert record["origin_X-Powered-By"] == "me" and "downstream_X-Powered-By" not in record
    assert 0 < record["OriginDuration"] <= record["Duration"] == record["OriginDuration"] + record["Overhead"]


async def test_the_servers_time_ends_with_its_last_byte(tmp_path: Path) -> None:
    record = await line(tmp_path, slow, [])
    assert (record["OriginStatus"], record["OriginContentSize"], record["DownstreamStatus"]) == (404, 6, 404)
    assert record["OriginDuration"] >= 190_000_000
    assert not [name for name in record if name.startswith("origin_")]


@pytest.mark.parametrize("raw", [GET.replace(b"/a", b"/none"), b"nonsense\r\n\r\n"])
async def test_nothing_when_no_server_was_asked(tmp_path: Path, raw: bytes) -> None:
    record = await line(tmp_path, slow, [], raw)
    assert (record["OriginStatus"], record["OriginContentSize"], record["OriginDuration"]) == (0, 0, 0)
    assert record["Overhead"] == record["Duration"]


async def test_what_is_no_request_claims_no_method_and_no_path(tmp_path: Path) -> None:
    """It said ``GET /`` of whatever could not be read, a POST to another path too."""
    ok = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    record = await line(tmp_path, ok, [], b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n")
    assert (record["RequestMethod"], record["RequestPath"]) == ("", "")
    assert (record["DownstreamStatus"], record["DownstreamContentSize"]) == (400, len("Bad Request"))
    assert record["Cause"].startswith("BAD_REQUEST_LENGTH")
