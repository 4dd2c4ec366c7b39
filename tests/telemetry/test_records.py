"""Records shared by real processes: sums are exact, changes are not lost, a killed lock holder blocks nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerouter.control.record_room import record_samples
from edgerouter.telemetry import records
from edgerouter.telemetry.records import SLOTS, RecordBusy, SharedRecords, create_records

SIZE = 8 << 20
ROOT = Path(__file__).resolve().parents[2]

COUNTER = """
import sys
from edgerouter.telemetry.records import RecordBusy, SharedRecords
fd, slot, turns = map(int, sys.argv[1:])
record = SharedRecords(fd, slot).record("limit", 2, 3)
def take(*numbers):
    while True:
        try:
            return record.take(*numbers)
        except RecordBusy:  # the machine is busy, and four take it all the time
            pass
print("ready", flush=True)
sys.stdin.readline()
for _ in range(turns):
    record.add(1, 1)
    take(0, 1, 10**9)
print(sum(take(1, 1, 100) for _ in range(60)), flush=True)
"""

HOLDER = """
import sys
from edgerouter.telemetry.records import SharedRecords
record = SharedRecords(int(sys.argv[1]), 1).record("limit", 2, 3)
with record.lock:
    print("locked", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def memory() -> Iterator[int]:
    fd = create_records(SIZE, workers=4)
    yield fd
    os.close(fd)


def start(script: str, fd: int, *arguments: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(fd), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[fd],
        cwd=ROOT,
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_four_processes_lose_nothing(memory: int) -> None:
    """Counting without a lock and changing under the lock are both exact; a limit of 100 lets 100 in, of 240 asked."""
    workers = [start(COUNTER, memory, slot, 2000) for slot in range(4)]
    assert [line(worker) for worker in workers] == ["ready"] * 4
    granted = 0
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        granted += int(worker.communicate(timeout=60)[0])
    record = SharedRecords(memory, 0).record("limit", 2, 3)
    assert (record.total(1), record.get(0)) == (8000, 8000)
    assert (granted, record.get(1)) == (100, 100)
    assert [part[1] for part in record.parts()] == [2000] * 4


def test_a_killed_holder_blocks_nobody(memory: int) -> None:
    holder = start(HOLDER, memory)
    assert line(holder) == "locked"
    record = SharedRecords(memory, 0).record("limit", 2, 3)
    with pytest.raises(RecordBusy):
        record.take(0, 1, 10)
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=10)
    assert record.take(0, 1, 10)
    assert record.get(0) == 1


def test_a_stopped_holder_is_not_waited_for_long(memory: int) -> None:
    holder = start(HOLDER, memory)
    try:
        assert line(holder) == "locked"
        holder.send_signal(signal.SIGSTOP)
        record = SharedRecords(memory, 0).record("limit", 2, 3)
        with pytest.raises(RecordBusy), record.lock:
            pass
        other = SharedRecords(memory, 0).record("another", 2, 3)
        assert other.take(0, 1, 10), "one stripe a record"
    finally:
        holder.kill()
        holder.communicate(timeout=10)


@pytest.mark.parametrize("shared", [True, False])
def test_one_process(memory: int, shared: bool) -> None:
    """With and without memory: the same results."""
    store = SharedRecords(memory, 2) if shared else SharedRecords()
    record = store.record("a name that is longer than one word", 3, 4)
    assert record is store.record("a name that is longer than one word", 3, 4)
    record.add(0, 5)
    record.add(0, -2)
    record.put(3, 7)
    with record.lock:
        record.set(2, 9)
    assert (record.total(0), record.own(3), record.get(2), record.get(0)) == (3, 7, 9, 0)
    assert [record.take(0, 2, 3), record.take(0, 2, 3), record.get(0)] == [True, False, 2]
    assert record.is_shared is shared
    assert store.record("another", 3, 4).total(0) == 0
    assert len(record.parts()) == (4 if shared else 1)


def test_names_and_shapes_are_told_apart(memory: int) -> None:
    store = SharedRecords(memory, 0)
    seen = SharedRecords(memory, 3)
    for i in range(300):
        store.record(f"name {i}", 1, 1).add(0, i)
        store.record(f"name {i}", 2, 1).add(0, -i)
    assert [seen.record(f"name {i}", 1, 1).total(0) for i in range(300)] == list(range(300))
    assert [seen.record(f"name {i}", 2, 1).total(0) for i in range(300)] == [-i for i in range(300)]


def test_no_room_makes_the_record_private_and_tells(memory: int) -> None:
    store = SharedRecords(memory, 0)
    big = store.record("too big", 1, SIZE)
    assert (big.is_shared, store.lost()) == (False, 1)
    big.add(0, 3)
    assert big.total(0) == 3
    assert store.record("small", 1, 1).is_shared


def test_the_table_of_names_never_fills_up(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "SLOTS", 8)
    store = SharedRecords(memory, 0)
    made = [store.record(f"name {i}", 1, 1) for i in range(8)]
    assert [record.is_shared for record in made] == [True] * 6 + [False] * 2


def test_gauges_are_zeroed_when_a_worker_begins_or_dies(memory: int) -> None:
    one, two = SharedRecords(memory, 0), SharedRecords(memory, 1)
    for store, amount in ((one, 3), (two, 4)):
        record = store.record("in flight", 1, 2, gauges=1)
        record.add(0, amount)
        record.add(1, amount)
    assert record.total(0) == 7
    SharedRecords(memory, 0).zero_gauges(1)
    assert (record.total(0), record.total(1)) == (3, 7)
    again = SharedRecords(memory, 0).record("in flight", 1, 2, gauges=1)
    assert (again.total(0), again.total(1)) == (0, 7)


@pytest.mark.parametrize(("size", "workers"), [(4096, 1), (SIZE, 0), (SIZE, 65)])
def test_a_memory_that_holds_nothing_is_refused(size: int, workers: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        create_records(size, workers)


def test_another_memory_is_refused() -> None:
    fd = os.memfd_create("other")
    try:
        for size in (0, SIZE):
            os.ftruncate(fd, size)
            with pytest.raises(ValueError, match="no records' memory"):
                SharedRecords(fd, 0)
    finally:
        os.close(fd)


def test_an_unknown_slot_is_refused(memory: int) -> None:
    with pytest.raises(ValueError, match="worker slot 4 of 4"):
        SharedRecords(memory, 4)


def test_how_full_the_memory_is_can_be_seen() -> None:
    fd = create_records(workers=2)
    shared = SharedRecords(fd)
    samples = record_samples(SharedRecords(fd))
    for number in range(3):
        shared.record(f"r{number}", 1, 1)
    assert [(sample.name, sample.value) for sample in samples()] == [
        ("edgerouter_shared_records", 3),
        ("edgerouter_shared_records_limit", SLOTS * 3 // 4),
        ("edgerouter_shared_records_lost_total", 0),
    ]
    os.close(fd)
