"""One table of numbers by key for all workers: nothing is lost between processes, full sets forget the right entry."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerouter.telemetry import keyed
from edgerouter.telemetry.keyed import WAYS, Cells, Holds
from edgerouter.telemetry.records import DEFAULT_SIZE, SharedRecords, create_records

ROOT = Path(__file__).resolve().parents[2]

WORKER = """
import sys
from edgerouter.telemetry.keyed import Cells, Holds
from edgerouter.telemetry.records import RecordBusy, SharedRecords
fd, slot, turns = map(int, sys.argv[1:])
def surely(work):
    while True:
        try:
            return work()
        except RecordBusy:  # the machine is busy, and four take it all the time
            pass
shared = SharedRecords(fd, slot)
cells, holds = Cells(shared), Holds(shared)
print("ready", flush=True)
sys.stdin.readline()
def count(number):
    with cells.lock(number):
        at = cells.place(number)
        cells.put(at, cells.until(at) + 1, 7)
for turn in range(turns):
    number = cells.number(b"client %d" % (turn % 3))
    surely(lambda: count(number))
held = [surely(lambda: holds.take(holds.number(b"host"), 100)) for _ in range(60)]
print(sum(entry >= 0 for entry in held), cells.secret(b"x").hex(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def memory() -> Iterator[int]:
    fd = create_records(DEFAULT_SIZE, workers=4)
    yield fd
    os.close(fd)


def start(fd: int, slot: int, turns: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(fd), str(slot), str(turns)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[fd],
        cwd=ROOT,
    )


def say(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()


def hear(worker: subprocess.Popen[str]) -> list[str]:
    assert worker.stdout is not None
    return worker.stdout.readline().split()


def test_four_processes_lose_nothing(memory: int) -> None:
    workers = [start(memory, slot, 3000) for slot in range(4)]
    assert [hear(worker) for worker in workers] == [["ready"]] * 4
    for worker in workers:
        say(worker)
    said = [hear(worker) for worker in workers]
    assert sum(int(held) for held, _ in said) == 100, "never more than the limit, and no less"
    shared = SharedRecords(memory, 0)
    cells = Cells(shared)
    assert {secret for _, secret in said} == {cells.secret(b"x").hex()}
    assert cells.secret(b"y") != cells.secret(b"x")
    counted = 0
    for client in range(3):
        number = cells.number(b"client %d" % client)
        with cells.lock(number):
            at = cells.place(number)
            counted += cells.until(at)
            assert cells.value(at) == 7
    assert counted == 4 * 3000
    workers[3].kill()
    workers[3].wait()
    shared.zero_gauges(3)
    freed = int(said[3][0])
    holds = Holds(SharedRecords(memory, 3))
    number = holds.number(b"host")
    taken = [holds.take(number, 100) for _ in range(freed + 5)]
    assert sum(entry >= 0 for entry in taken) == freed, "what the killed one held is free again, and no more"
    for worker in workers[:3]:
        say(worker)
        worker.wait()


def test_a_full_set_forgets_what_says_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "PRIVATE_SETS", 1)
    cells = Cells(SharedRecords())
    for number in range(1, WAYS + 1):
        at = cells.place(number)
        cells.put(at, 100 - number, number)
    forgotten = WAYS  # the one whose time is next
    assert cells.until(cells.place(99)) == 0
    kept = {number: cells.value(cells.place(number)) for number in range(1, WAYS)}
    assert kept == {number: number for number in range(1, WAYS)}
    assert forgotten not in kept


def test_a_set_whose_entries_are_all_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "PRIVATE_SETS", 1)
    holds = Holds(SharedRecords())
    entries = [holds.take(number, 1) for number in range(1, WAYS + 1)]
    assert sorted(entries) == list(range(WAYS))
    assert holds.take(3, 1) == -1
    assert holds.take(99, 1) == -2, "not counted, rather than refused"
    holds.give(entries[4])
    assert holds.take(99, 1) == entries[4]
    assert holds.take(5, 1) == -2


def test_nobody_outside_knows_which_keys_meet() -> None:
    one, other = Cells(SharedRecords()), Cells(SharedRecords())
    assert one.number(b"a") == one.number(b"a") != other.number(b"a")
