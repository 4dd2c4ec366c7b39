"""Health checks of the control process: what stands in the way of asking is said as what a server answers is."""

from __future__ import annotations

import asyncio
import logging

import pytest

from edgerouter.config.decode import decode_dynamic
from edgerouter.config.static import EntryPoint, StaticConfiguration
from edgerouter.contracts.messages import ServersHealth
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.build import Inputs, build
from edgerouter.control.build_keys import Keys
from edgerouter.control.health import HealthChecks
from edgerouter.control.prepare import kinds
from edgerouter.telemetry.records import SharedRecords

URL = "https://127.0.0.1:9"
SERVICE = {"serversTransport": "t", "healthCheck": {"path": "/", "interval": "1h"}, "servers": [{"url": URL}]}


async def test_a_transport_that_cannot_be_used_is_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    http = {"services": {"s": {"loadBalancer": SERVICE}}, "serversTransports": {"t": {"rootCAs": ["/nowhere/ca.pem"]}}}
    configuration, problems = decode_dynamic({"http": http}, kinds(), "test")
    assert problems == []
    static = StaticConfiguration(entry_points={"web": EntryPoint(address=":80")})
    plan = build(Inputs(static=static, snapshots={"file": Snapshot(configuration=configuration)}), Keys()).plan
    told: asyncio.Queue[ServersHealth] = asyncio.Queue()
    health = HealthChecks(told.put_nowait, SharedRecords())
    with caplog.at_level(logging.WARNING):
        health.follow(plan)
        async with asyncio.timeout(30):
            assert (await told.get()).down == (("s@file", URL),)
        health.stop()
    (record,) = caplog.records
    why = "serversTransport 't@file' cannot be used: rootCAs[0]: /nowhere/ca.pem cannot be read: No such file"
    assert why in record.message and record.exc_info is None
