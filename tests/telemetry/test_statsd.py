"""The contract of push backends, proved by StatsD on a real UDP socket."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest

from edgerouter.config.types import decode_hook
from edgerouter.contracts.snapshot import MetricsBackend, Sample
from edgerouter.registry import load
from edgerouter.telemetry.backends.statsd import DATAGRAM, datagrams
from edgerouter.telemetry.push import push_forever
from edgerouter.telemetry.reader import CounterReader
from edgerouter.telemetry.registry import MetricsRegistry


class Server:
    """A UDP socket that collects lines."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"

    async def lines(self) -> list[str]:
        data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, 65536), 5)
        return data.decode().split("\n")


@pytest.fixture
def server():  # type: ignore[no-untyped-def]
    made = Server()
    yield made
    made.socket.close()


def backend(server: Server, **options: object) -> MetricsBackend:
    plugin = load("metrics")["statsD"]
    data = {"address": server.address, "pushInterval": "1s", **options}
    made: MetricsBackend = plugin.cls(msgspec.convert(data, plugin.options, dec_hook=decode_hook))
    return made


def requests(web: float, api: float) -> list[Sample]:
    name = "edgerouter_router_requests_total"
    return [
        Sample(name, "counter", {"router": "web@docker", "code": "200"}, web),
        Sample(name, "counter", {"router": "api,x|y@file", "code": "200"}, api),
    ]


async def test_without_tags_series_are_summed_and_counters_are_differences(server: Server) -> None:
    statsd = backend(server)
    await statsd.publish(requests(3, 4))
    assert await server.lines() == ["edgerouter.router.requests:7|c"]
    await statsd.publish([*requests(3, 6), Sample("edgerouter_open_connections", "gauge", {}, 0)])
    assert await server.lines() == ["edgerouter.router.requests:2|c", "edgerouter.open.connections:0|g"]


async def test_tags_carry_the_labels(server: Server) -> None:
    await backend(server, tags=True, prefix="edge").publish(requests(1, 2))
    assert await server.lines() == [
        "edge.router.requests:1|c|#router:web@docker,code:200",
        "edge.router.requests:2|c|#router:api_x_y@file,code:200",
    ]


async def test_a_histogram_is_a_count_and_a_sum_in_milliseconds(server: Server) -> None:
    sample = Sample("edgerouter_service_request_duration_seconds", "histogram", {}, 0.5, ((0.1, 2), (float("inf"), 3)))
    await backend(server).publish([sample])
    assert await server.lines() == [
        "edgerouter.service.request.duration.count:3|c",
        "edgerouter.service.request.duration.sum:500|c",
    ]


def test_datagrams_are_never_too_long() -> None:
    packets = list(datagrams(f"name.number.{i}:1|c" for i in range(500)))
    assert max(map(len, packets)) <= DATAGRAM and len(packets) > 1
    assert len(b"\n".join(packets).split(b"\n")) == 500


async def test_push_goes_on_after_a_failure(server: Server) -> None:
    """The first push fails; the next reaches the socket."""
    faults: list[Exception] = []
    statsd = backend(server)

    class Flaky(MetricsBackend):
        async def publish(self, samples: list[Sample]) -> None:
            if not faults:
                raise OSError("no network")
            await statsd.publish(samples)

    task = asyncio.create_task(push_forever(Flaky(None), MetricsRegistry(CounterReader()), 0.1, faults.append))
    assert any(line.startswith("edgerouter.workers:0|g") for line in await server.lines())
    assert [str(fault) for fault in faults] == ["no network"]
    task.cancel()


def test_a_wrong_address_is_named(server: Server) -> None:
    with pytest.raises(ValueError, match=r"metrics\.statsD\.address: expected host:port"):
        backend(server, address="nowhere")
