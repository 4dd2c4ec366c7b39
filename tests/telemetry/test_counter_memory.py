"""Counters in shared memory: exact sums over workers living and dead, growth, and a reader that is never misled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from edgerouter.contracts.plugins import Route
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response
from edgerouter.telemetry.memory import FIRST_BLOCKS, HEADER_WORDS, CounterMemory, block_words
from edgerouter.telemetry.reader import CounterReader, new_memory
from edgerouter.telemetry.recorder import Recorder


@pytest.fixture
def fds() -> Iterator[list[int]]:
    made: list[int] = [new_memory(i) for i in range(3)]
    yield made
    for fd in made:
        os.close(fd)


def exchange(method: str = "GET", cause: str = "", retries: int = 0) -> Exchange:
    made = Exchange(Request(method, b"/", "h", Headers()))
    made.response = Response(200, Headers())
    made.response.content_length = 0
    made.cause = cause
    made.retries = retries
    return made


def record(recorder: Recorder, made: Exchange, status: int = 200, duration: float = 0.01, router: int = 2) -> None:
    recorder.record(made, 1, router, 3, status, 5, 7, duration, False, True)


def test_sums_over_workers_are_exact(fds: list[int]) -> None:
    reader = CounterReader()
    for slot, fd in enumerate(fds):
        recorder = Recorder(CounterMemory(fd), None)
        reader.attach(slot, fd)
        for _ in range(100):
            record(recorder, exchange(retries=1), duration=0.25)
    (traffic,) = reader.totals().traffic.values()
    assert (traffic.requests(), traffic.bytes_in, traffic.bytes_out, traffic.retries) == (300, 1500, 2100, 300)
    assert traffic.buckets == [0, 300, 0, 0, 0]
    assert traffic.duration == 300 * 250_000_000


def test_a_series_that_its_route_remembers_is_the_right_one(fds: list[int]) -> None:
    memory, reader = CounterMemory(fds[0]), CounterReader()
    recorder = Recorder(memory, None)
    reader.attach(0, fds[0])
    route = Route("r", "", 0, None, [])
    for method, status, router in [
        ("GET", 200, 2),
        ("GET", 200, 2),
        ("POST", 200, 2),
        ("GET", 404, 2),
        ("GET", 200, 9),
    ]:
        made = exchange(method)
        made.route = route
        record(recorder, made, status, router=router)
    assert sorted(t.requests() for t in reader.totals().traffic.values()) == [1, 1, 1, 2]
    memory.retire([0, 1, 2, 3])
    made = exchange()
    made.route = route
    record(recorder, made, router=9)
    assert sum(t.requests() for t in reader.totals().traffic.values()) == 6


@pytest.mark.parametrize(
    ("duration", "bucket"), [(0.0, 0), (0.1, 0), (0.100001, 1), (0.3, 1), (1.2, 2), (5.0, 3), (5.1, 4), (-1.0, 0)]
)
def test_a_bound_belongs_to_its_bucket(fds: list[int], duration: float, bucket: int) -> None:
    record(Recorder(CounterMemory(fds[0]), None), exchange(), duration=duration)
    reader = CounterReader()
    reader.attach(0, fds[0])
    (traffic,) = reader.totals().traffic.values()
    assert traffic.buckets.index(1) == bucket and traffic.requests() == 1


def test_the_memory_grows_and_keeps_what_it_had(fds: list[int]) -> None:
    recorder = Recorder(CounterMemory(fds[0]), None)
    reader = CounterReader()
    reader.attach(0, fds[0])
    many = FIRST_BLOCKS * 8 + 3
    for _ in range(2):
        for router in range(1, many + 1):
            record(recorder, exchange(), router=router)
    traffic = reader.totals().traffic
    assert len(traffic) == many
    assert {t.requests() for t in traffic.values()} == {2}


def test_a_dead_workers_counts_stay_and_its_gauges_go(fds: list[int]) -> None:
    recorder = Recorder(CounterMemory(fds[0]), None)
    reader = CounterReader()
    reader.attach(0, fds[0])
    recorder.opened(1)
    recorder.opened(1)
    recorder.closed(1)
    recorder.begun()
    recorder.tick()
    record(recorder, exchange(cause="CONNECT_REFUSED"), status=502)
    before = reader.totals()
    assert (before.open, before.opened, before.in_flight) == ({1: 1}, {1: 2}, 1)
    reader.detach(0)
    after = reader.totals()
    assert (after.open, after.opened, after.in_flight) == ({}, {1: 2}, 0)
    assert after.failures == {(1, "CONNECT_REFUSED"): 1}
    assert [t.requests() for t in after.traffic.values()] == [1]


def test_a_replacement_adds_to_what_the_dead_worker_counted(fds: list[int]) -> None:
    reader = CounterReader()
    for fd in fds:
        recorder = Recorder(CounterMemory(fd), None)
        reader.attach(0, fd)  # the same slot: the one before is folded
        record(recorder, exchange())
    (traffic,) = reader.totals().traffic.values()
    assert traffic.requests() == 3


def test_forgotten_routers_still_count_for_their_entry_point(fds: list[int]) -> None:
    reader = CounterReader()
    recorder = Recorder(CounterMemory(fds[0]), None)
    reader.attach(0, fds[0])
    for router in (2, 4, 6):
        record(recorder, exchange(), router=router)
    reader.detach(0)
    reader.forget({2}, {3})
    traffic = reader.totals().traffic
    assert {series[2]: t.requests() for series, t in traffic.items()} == {2: 1, 0: 2}


CHILD = """
import sys
import threading
from edgerouter.contracts.plugins import Route
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request
from edgerouter.telemetry.memory import CounterMemory
from edgerouter.telemetry.recorder import Recorder
recorder = Recorder(CounterMemory(int(sys.argv[1])), None)
exchange = Exchange(Request("GET", b"/", "h", Headers()))
while True:
    recorder.record(exchange, 1, 2, 3, 200, 0, 1, 0.001, False, True)
    sys.stdout.write(".")
    sys.stdout.flush()
"""


def test_counts_survive_sigkill(fds: list[int]) -> None:
    """Each dot was written after its request was counted: the memory holds them all, and at most one more."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(fds[0])], stdout=subprocess.PIPE, pass_fds=[fds[0]])
    assert child.stdout is not None
    reader = CounterReader()
    reader.attach(0, fds[0])
    dots = len(child.stdout.read(500))
    assert sum(t.requests() for t in reader.totals().traffic.values()) >= 500
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    dots += len(child.stdout.read())
    child.stdout.close()
    for _ in range(2):
        (traffic,) = reader.totals().traffic.values()
        assert dots <= traffic.requests() <= dots + 1
        assert dots <= traffic.bytes_out <= dots + 1
        reader.detach(0)


def test_a_block_without_its_first_word_is_not_read(fds: list[int]) -> None:
    memory = CounterMemory(fds[0])
    record(Recorder(memory, None), exchange())
    reader = CounterReader()
    reader.attach(0, fds[0])
    assert len(reader.totals().traffic) == 1
    os.pwrite(fds[0], bytes(8), HEADER_WORDS * 8)  # as if the worker had not come to write it
    assert len(reader.totals().traffic) == 0


def test_a_worker_of_before_an_upgrade_is_read_on(fds: list[int]) -> None:
    """Version 1 had 64 words before the first block; what such a worker retires is taken like any other's."""
    memory = CounterMemory(fds[0])
    record(Recorder(memory, None), exchange())
    record(Recorder(memory, None), exchange("POST"))
    memory.retire([1])
    now = os.pread(fds[0], os.fstat(fds[0]).st_size, 0)
    words = [now[at : at + 8] for at in range(0, len(now), 8)]
    words[1] = (1).to_bytes(8, sys.byteorder)
    os.pwrite(fds[1], b"".join(words[:64] + words[HEADER_WORDS:]), 0)
    reader = CounterReader()
    reader.attach("leaving", fds[1])
    assert sorted(t.requests() for t in reader.totals().traffic.values()) == [1, 1]
    reader.detach("leaving")
    assert sum(t.bytes_out for t in reader.totals().traffic.values()) == 14


def test_all_that_a_request_writes_shares_a_cache_line() -> None:
    """64 bytes; words 1 to 8 of each block, and a mapping begins at a page."""
    assert HEADER_WORDS % 8 == 7 and all(block_words(bounds) % 8 == 0 for bounds in range(49))


def test_a_memory_in_use_is_refused(fds: list[int]) -> None:
    CounterMemory(fds[0])
    with pytest.raises(ValueError, match="not empty"):
        CounterMemory(fds[0])


@pytest.mark.parametrize("bounds", [[1.0, 0.5], [1.0, 1.0], [float(i) for i in range(49)]])
def test_bounds_that_cannot_be_are_refused(fds: list[int], bounds: list[float]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        CounterMemory(fds[0], bounds)


def test_causes_are_bounded(fds: list[int]) -> None:
    memory = CounterMemory(fds[0])
    for i in range(1000):
        memory.fail(1, f"BAD_REQUEST_{i}")
    reader = CounterReader()
    reader.attach(0, fds[0])
    failures = reader.totals().failures
    assert len(failures) <= 202 and sum(failures.values()) == 1000


@pytest.mark.parametrize(
    ("method", "status", "upgrade", "kind", "version", "expected"),
    [
        ("GET", 200, "", "text/plain", 11, ("GET", "http")),
        ("PROPFIND", 207, "", "", 11, ("EXTENSION_METHOD", "http")),
        ("GET", 101, "websocket", "", 11, ("GET", "websocket")),
        ("GET", 404, "websocket", "", 11, ("GET", "http")),
        ("POST", 200, "", "application/grpc+proto", 20, ("POST", "grpc")),
        ("POST", 200, "", "application/grpc-web", 20, ("POST", "grpc-web")),
        ("POST", 200, "", "application/grpc", 11, ("POST", "http")),
    ],
)
def test_method_and_protocol(
    fds: list[int], method: str, status: int, upgrade: str, kind: str, version: int, expected: tuple[str, str]
) -> None:
    from edgerouter.telemetry.series import METHODS, PROTOCOLS

    made = exchange(method)
    made.request.upgrade = upgrade
    made.request.version = version
    made.request.headers = Headers.of([("Content-Type", kind)])
    record(Recorder(CounterMemory(fds[0]), None), made, status=status)
    reader = CounterReader()
    reader.attach(0, fds[0])
    ((what, _, _, _),) = reader.totals().traffic
    assert (METHODS[what >> 8 & 15], PROTOCOLS[what >> 4 & 15]) == expected


def test_workers_come_and_go_while_a_thread_reads(fds: list[int]) -> None:
    """Pages are made in threads: no read sees a closed file or loses a count."""
    reader = CounterReader()
    record(Recorder(CounterMemory(fds[0]), None), exchange())
    faults: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                reader.totals()
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=read)
    thread.start()
    for worker in range(300):
        reader.attach(worker % 3, fds[0])
    done.set()
    thread.join(10)
    assert faults == []
    assert sum(t.requests() for t in reader.totals().traffic.values()) == 300
