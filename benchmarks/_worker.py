"""What a worker serves with, in one process and without a control process: for tools that count instructions.

The same parts as in ``worker.main``: plan, assembly, engine, counters, access log; the same defaults.
``python _worker.py PORT UPSTREAM_PORT KIND ROUTERS [LOG_FILE] [six]``, or ``PORT file CONFIGURATION``.
"""

from __future__ import annotations

import asyncio
import gc
import json
import pathlib
import socket
import sys
from typing import Any

from _routes import edgerouter as routes

from edgerouter.config.decode import decode_dynamic
from edgerouter.config.static import AccessLog as AccessLogOptions
from edgerouter.config.static import EntryPoint, StaticConfiguration
from edgerouter.contracts.messages import Frames, ToWorker, frame
from edgerouter.contracts.plan import Plan
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.build import Builder, Inputs
from edgerouter.control.build_keys import Keys
from edgerouter.control.prepare import kinds
from edgerouter.control.publish_delta import deltas
from edgerouter.net.clock import Clock
from edgerouter.proxy.engine import Engine
from edgerouter.registry import Plugin
from edgerouter.telemetry.access_log import AccessLog
from edgerouter.telemetry.memory import CounterMemory
from edgerouter.telemetry.reader import new_memory
from edgerouter.telemetry.recorder import Recorder
from edgerouter.telemetry.records import SharedRecords
from edgerouter.worker.assemble import Assembly
from edgerouter.worker.loops import loop_factory

# Six synchronous steps of the kinds that people use most, on the way in and out.
SIX: dict[str, Any] = {
    "a": {"headers": {"customRequestHeaders": {"X-A": "1"}}},
    "b": {"addPrefix": {"prefix": "/x"}},
    "c": {"stripPrefix": {"prefixes": ["/x"]}},
    "d": {"headers": {"customResponseHeaders": {"X-B": "2"}}},
    "e": {"addPrefix": {"prefix": "/y"}},
    "f": {"stripPrefix": {"prefixes": ["/y"]}},
}


def plan(kind: str, count: int, upstream: int, six: bool) -> Plan:
    """As the control process makes it of a file."""
    data = routes(kind, count, upstream)
    if six:
        data["http"]["middlewares"] = SIX
        for router in data["http"]["routers"].values():
            router["middlewares"] = sorted(SIX)
    return plan_of(data)


def plan_of(data: dict[str, Any], known: dict[str, dict[str, Any]] | None = None) -> Plan:
    """Of any dynamic configuration, by these kinds or all; raises SystemExit with its first problem."""
    configuration, problems = decode_dynamic(data, kinds() if known is None else known, "benchmark")
    if problems:
        raise SystemExit(str(problems[0]))
    static = StaticConfiguration(entry_points={"web": EntryPoint(address=":80")})
    return Builder(Keys()).build(Inputs(static=static, snapshots={"file": Snapshot(configuration=configuration)})).plan


async def serve(port: int, wanted: Plan, log_file: str, middlewares: dict[str, Plugin] | None = None) -> None:
    """Serve until the process is ended or this is cancelled."""
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    clock.start()
    log = AccessLog(AccessLogOptions(file_path=log_file)) if log_file else None
    engine = Engine(loop, Recorder(CounterMemory(new_memory(0)), log), clock)
    assembly = Assembly(engine.transports, SharedRecords(), middlewares=middlewares)
    frames: Frames[Any] = Frames(ToWorker)
    for part in deltas(1, Plan({}, {}), wanted):
        for message in frames.feed(frame(part)):
            for _ in assembly.note(message):
                pass
    engine.table = await assembly.table()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(1024)
    await engine.listen("web", 1, EntryPoint(address=":0"), sock)
    gc.collect()
    gc.freeze()
    await asyncio.Event().wait()


def main(arguments: list[str]) -> None:
    port, rest = int(arguments[0]), arguments[4:]
    if arguments[1] == "file":
        wanted, log_file = plan_of(json.loads(pathlib.Path(arguments[2]).read_text())), ""
    else:
        wanted = plan(arguments[2], int(arguments[3]), int(arguments[1]), "six" in rest)
        log_file = next((word for word in rest if word != "six"), "")
    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        runner.run(serve(port, wanted, log_file))


if __name__ == "__main__":
    main(sys.argv[1:])
