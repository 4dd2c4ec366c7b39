"""The coarse clock: deadlines fire once, late by at most a tick or two, and can be moved cheaply."""

from __future__ import annotations

import asyncio
import time

from edgerouter.net.clock import TICK, Clock, Peer


class Timed(Peer):
    def __init__(self) -> None:
        self.fired: list[float] = []

    def expired(self) -> None:
        self.fired.append(time.monotonic())


async def wait(clock: Clock, seconds: float) -> None:
    """Until the clock itself has come that far."""
    end = time.monotonic() + seconds
    async with asyncio.timeout(seconds + 5):
        while clock.now < end:
            await asyncio.sleep(TICK / 4)


async def test_a_deadline_fires_once_and_not_early() -> None:
    clock = Clock(asyncio.get_running_loop())
    clock.start()
    peer = Timed()
    begun = clock.now
    clock.schedule(peer, 0.3)
    await wait(clock, 0.9)
    clock.stop()
    assert len(peer.fired) == 1 and peer.fired[0] - begun >= 0.3


async def test_later_earlier_and_never() -> None:
    clock = Clock(asyncio.get_running_loop())
    clock.start()
    later, earlier, never = Timed(), Timed(), Timed()
    clock.schedule(later, 0.2)
    clock.schedule(later, 60)
    clock.schedule(earlier, 60)
    clock.schedule(earlier, 0.2)
    clock.schedule(never, 0.2)
    clock.schedule(never, 0)
    await wait(clock, 0.8)
    clock.stop()
    assert (len(later.fired), len(earlier.fired), len(never.fired)) == (0, 1, 0)


async def test_a_blocked_loop_shows_as_a_stall() -> None:
    clock = Clock(asyncio.get_running_loop())
    clock.start()
    clock.take_stall()
    time.sleep(0.25)
    await wait(clock, 0.3)
    clock.stop()
    assert clock.take_stall() >= 0.1
    assert clock.take_stall() == 0.0
