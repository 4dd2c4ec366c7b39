"""What travels through a live upgrade arrives as it was left, and what cannot be understood is refused."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

import msgspec
import pytest

from edgerouter.config.dynamic import DynamicConfiguration, HttpConfiguration, Middleware, Router, Service
from edgerouter.config.static import Address, StaticConfiguration
from edgerouter.config.types import Secret
from edgerouter.contracts.snapshot import Snapshot, Workload
from edgerouter.control import handover, upgrade
from edgerouter.control.handover import Handover, HandoverError, PointLeft, WorkerLeft
from edgerouter.control.ledger import Ledger
from edgerouter.control.prepare import Prepared, kinds
from edgerouter.control.sockets import adopt, close_all, open_all
from edgerouter.control.takeover import Succession, open_points
from edgerouter.telemetry.memory import TRAFFIC, CounterMemory
from edgerouter.telemetry.reader import Counted, CounterReader, new_memory
from edgerouter.telemetry.records import SharedRecords, create_records


def left(**fields: Any) -> Handover:
    worker = WorkerLeft(
        slot=0, pid=7, channel=11, stderr=12, counters=13, label="0-7", part=1, started=5.0, received=b"\0\0"
    )
    given: dict[str, Any] = {
        "version": "1.0.0",
        "program": ("edgerouter", "--workers=1"),
        "points": (PointLeft(name="web", host="", port=80, fds=(8, 9)),),
        "workers": (worker,),
        "pages": {"/run/x/control.sock": 14},
        "folder": "/run/x",
        "records": 15,
        "keys": {"router": {"a@file": 1}},
        "counted": Counted(bounds=[0.1, 1.0], traffic=[((1, 2, 3, 4), (5, 6, 7, 8), [1, 2, 3])], opened={1: 9}),
        "generation": 3,
        "restarts": 1,
        "upgrades": 2,
        "started": 1.5,
    }
    return Handover(**(given | fields))


def test_what_is_left_arrives() -> None:
    fd = handover.write(left())
    assert handover.read(fd) == left()
    assert left().fds() == {8, 9, 11, 12, 13, 14, 15}
    os.close(fd)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (msgspec.msgpack.encode({"format": handover.FORMAT + 1, "left": {"anything": 1}}), "form 2"),
        (msgspec.msgpack.encode({"format": handover.FORMAT, "left": {"version": 3}}), "cannot be read"),
        (b"", "cannot be read"),
        (b"\xc1nonsense", "cannot be read"),
    ],
)
def test_what_is_not_understood_is_refused(data: bytes, why: str) -> None:
    fd = os.memfd_create("left")
    os.write(fd, data)
    with pytest.raises(HandoverError, match=why):
        handover.read(fd)
    os.close(fd)


def test_snapshots_keep_their_types_and_their_secrets_stay_secret() -> None:
    table = kinds()
    options = table["middlewares"]["circuitBreaker"](expression="NetworkErrorRatio() > 0.5")
    balancer = msgspec.convert({"servers": [{"url": "http://a"}]}, table["services"]["loadBalancer"])
    http = HttpConfiguration(
        routers={"r": Router(rule="Path(`/`)", service="s", middlewares=("m", "x"))},
        services={"s": Service("loadBalancer", balancer)},
        middlewares={"m": Middleware("circuitBreaker", options), "x": Middleware("nosuch", {}, "no such kind")},
    )
    snapshot = Snapshot(configuration=DynamicConfiguration(http=http), sleeping={"r": "stopped"})
    data = handover.pack_snapshots({"file": snapshot, "gone": snapshot})
    assert handover.unpack_snapshots(data, ["file", "new"], table) == {"file": snapshot}


def test_a_snapshot_that_this_version_does_not_understand_is_left_out() -> None:
    odd = Snapshot(configuration=DynamicConfiguration(http=HttpConfiguration(middlewares={
        "m": Middleware("stripPrefix", {"prefixes": 7}),
    })))  # fmt: skip
    data = handover.pack_snapshots({"odd": odd, "good": Snapshot()})
    assert handover.unpack_snapshots(data, ["odd", "good"], kinds()) == {"good": Snapshot()}
    assert handover.unpack_snapshots(b"\xc1", ["good"], kinds()) == {}


def test_secrets_travel_in_clear_within_the_memory() -> None:
    assert msgspec.msgpack.decode(
        handover.pack_snapshots({"p": Snapshot(configuration=DynamicConfiguration(tcp={"key": Secret("word")}))})
    )["p"]["configuration"]["tcp"] == {"key": "word"}


def test_sums_go_on() -> None:
    reader = CounterReader([0.1, 1.0])
    fd = new_memory(0)
    memory = CounterMemory(fd, [0.1, 1.0])
    for _ in range(3):
        memory.add(TRAFFIC | 200 << 24, 1, 2, 3, 10, 20, 0.05, 1)
    memory.fail(1, "NO_ROUTE")
    memory.connections(1, 1)
    reader.attach(0, fd)
    reader.detach(0)
    counted = msgspec.msgpack.decode(msgspec.msgpack.encode(reader.counted()), type=Counted)
    successor = CounterReader([0.1, 1.0])
    successor.restore(counted)
    successor.attach("0-7", fd)  # an old worker that goes on, beside the new one in its slot
    (traffic,) = successor.totals().traffic.values()
    assert (traffic.requests(), traffic.bytes_in, traffic.retries) == (6, 60, 6)
    assert successor.totals().failures == {(1, "NO_ROUTE"): 2}
    assert successor.totals().opened == {1: 2}
    other_bounds = CounterReader([0.5])
    other_bounds.restore(counted)
    assert other_bounds.totals().traffic == {} and other_bounds.totals().failures == {(1, "NO_ROUTE"): 1}
    memory.close()
    os.close(fd)


def test_sockets_go_on_and_none_is_taken_away() -> None:
    before = open_all({"web": Address("127.0.0.1", 0), "old": Address("127.0.0.1", 0)}, 2)
    web = adopt("web", "127.0.0.1", before[0].port, [os.dup(fd) for fd in before[0].fds])
    known = {"web": web, "old": before[1]}
    opened = open_all({"web": Address("127.0.0.1", 0), "new": Address("127.0.0.1", 0)}, 3, known)
    assert [entry.name for entry in opened] == ["web", "new"]
    assert opened[0].fds[:2] == web.fds and len(opened[0].fds) == 3
    assert opened[0].port == before[0].port
    close_all(before)
    with socket.create_connection(("127.0.0.1", web.port), timeout=5):
        pass
    close_all(opened)


def test_fewer_workers_are_not_had_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    before = open_all({"web": Address("127.0.0.1", 0)}, 3)
    point = PointLeft(name="web", host="127.0.0.1", port=before[0].port, fds=before[0].fds)
    state = left(points=(point,))
    wanted = Prepared(
        static=StaticConfiguration(),
        points={},
        addresses={"web": Address("127.0.0.1", 0)},
        workers=1,
        providers={},
        backends={},
    )
    prepared, opened, gone = open_points(wanted, Succession(state))
    assert (prepared.workers, opened[0].fds, gone) == (3, before[0].fds, [])
    assert "workers: 3 stay, not 1" in caplog.text
    for sock in before[0].sockets:
        sock.detach()
    close_all(opened)


def test_two_workers_of_one_slot_have_parts_of_their_own() -> None:
    fd = create_records(workers=4)
    old, new = SharedRecords(fd, 1, 1), SharedRecords(fd, 1, 3)
    for shared, times in ((old, 5), (new, 7)):
        for _ in range(times):
            shared.record("limit", 0, 1).add(0, 1)
    assert old.record("limit", 0, 1).total(0) == 12
    SharedRecords(fd).zero_gauges(1)
    assert old.worker_slot == new.worker_slot == 1
    os.close(fd)


def test_the_ledger_goes_on() -> None:
    ledger = Ledger()
    ledger.update([("docker", Workload(id="1", name="a")), ("docker", Workload(id="2", name="b"))], 10.0)
    ledger.update([("docker", Workload(id="1", name="a"))], 20.0)
    lines = ledger.lines(30.0)
    assert Ledger(before=lines).lines(30.0) == lines
    successor = Ledger(before=lines)
    successor.update([("docker", Workload(id="1", name="a"))], 40.0)
    assert [(line.name, line.first_seen, line.left) for line in successor.lines(40.0)] == [
        ("a", 10.0, 0.0),
        ("b", 10.0, 20.0),
    ]


@pytest.mark.parametrize(
    ("orig", "argv", "front", "rest"),
    [
        (
            ["python3", "-m", "edgerouter", "--a=1"],
            ["/x/__main__.py", "--a=1"],
            (sys.executable, "-m", "edgerouter"),
            1,
        ),
        (["python3", "-I", "-m", "edgerouter"], ["/x/__main__.py"], (sys.executable, "-I", "-m", "edgerouter"), 0),
        (["/venv/bin/python", "SCRIPT", "run", "-x"], ["SCRIPT", "run", "-x"], ("SCRIPT",), 2),
    ],
)
def test_the_command_line_is_found_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, orig: list[str], argv: list[str], front: tuple[str, ...], rest: int
) -> None:
    script = tmp_path / "edgerouter"
    script.write_text("#!/usr/bin/python3\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "orig_argv", [str(script) if word == "SCRIPT" else word for word in orig])
    monkeypatch.setattr(sys, "argv", argv)
    expected = tuple(str(script) if word == "SCRIPT" else word for word in front)
    assert upgrade.command_line(()) == expected
    assert upgrade.command_line() == (*expected, *argv[len(argv) - rest :])


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 3", "ended with code 3"),
        ("echo nothing to see; exit 0", "does not know how to take over: nothing to see"),
        ("exec sleep 60", "did not end within"),
    ],
)
def test_a_program_that_fails_its_check_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, script: str, why: str
) -> None:
    monkeypatch.setattr(upgrade, "WITHIN", 1.0)
    program = tmp_path / "edgerouter"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(upgrade.UpgradeRefused, match=why):
        upgrade.check((str(program),), (), left())
    with pytest.raises(upgrade.UpgradeRefused, match="cannot be started"):
        upgrade.check((str(tmp_path / "nowhere"),), (), left())


def test_a_program_that_cannot_be_executed_changes_nothing(tmp_path: Any) -> None:
    points = open_all({"web": Address("127.0.0.1", 0)}, 1)
    inherited = (PointLeft(name="web", host="", port=80, fds=points[0].fds),)
    page, records = os.memfd_create("page"), os.memfd_create("records")
    state = left(points=inherited, workers=(), pages={"x": page}, records=records)
    with pytest.raises(OSError, match="nowhere cannot be started"):
        upgrade.become((str(tmp_path / "nowhere"),), state, lambda: None)
    assert not any(os.get_inheritable(fd) for fd in state.fds())
    close_all(points)
    os.close(page)
    os.close(records)
