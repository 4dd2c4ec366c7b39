"""The workers' life: one process a slot, replaced when it dies or hangs, its sockets in a neighbour's hands meanwhile.

The rule: every slot's sockets are accepted from by somebody as long as any worker serves. What workers are sent is
``publish``'s affair, the order of the end ``drain``'s.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from edgerouter.contracts import messages
from edgerouter.control.handover import WorkerLeft
from edgerouter.control.publish import Publisher
from edgerouter.control.view import WorkerView
from edgerouter.control.worker_process import GONE, LOADING, SERVING, STARTING, WorkerProcess

HEARTBEAT: Final = 0.5  # seconds between signs of life
HUNG_AFTER: Final = 2.0  # seconds without one
HELD_UP: Final = 1.0  # seconds that this process's own loop may be late before that is told
START_WITHIN: Final = 30.0  # seconds to the first one
STABLE_AFTER: Final = 10.0  # a life this long takes the memory of crashes away
LONGEST_PAUSE: Final = 30.0  # seconds between a crash and the next start
TRIES_AT_START: Final = 3  # a slot whose worker never served fails the router after so many
log = logging.getLogger("edgerouter.control")


class Slot:
    """A place for a worker. ``keeper`` is the slot whose worker accepts from this one's sockets meanwhile, or -1."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: WorkerProcess | None = None
        self.keeper = -1
        self.crashes = 0
        self.lives = 0
        self.restart: asyncio.TimerHandle | None = None

    @property
    def serving(self) -> bool:
        """True when its worker has a plan and is not on its way out."""
        return self.process is not None and self.process.state == SERVING and not self.process.killed_for


class Workers:
    """``launch(worker)`` starts a process for a slot; ``retire(worker)`` is told of each one that is gone.

    ``failed`` is set to the cause when no worker can be started at all.
    """

    def __init__(
        self,
        count: int,
        publisher: Publisher,
        launch: Callable[[WorkerProcess], Awaitable[None]],
        retire: Callable[[WorkerProcess], None],
        patience: float = 1.0,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.slots = [Slot(number) for number in range(count)]
        self.failed: asyncio.Future[str] = loop.create_future()
        self.restarts = 0
        self.complete = asyncio.Event()  # set once every slot has served
        self.predecessors: list[WorkerProcess] = []  # those of the program before this one
        self._publisher = publisher
        self._launch = launch
        self._retire = retire
        self._patience = patience
        self._loop = loop
        self._ending = False
        self._served = False
        self._checked = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners: list[Callable[[WorkerProcess, Any], None]] = []

    def start(self) -> None:
        """Start a worker in every slot."""
        for slot in self.slots:
            self._begin(slot)
        self._loop.call_later(HEARTBEAT, self._tick)

    def adopt(self, left: Iterable[WorkerLeft]) -> None:
        """Watch over the workers of the program before this one; they go on unasked until ``succeed``."""
        for worker in left:
            process = WorkerProcess(worker.slot, self._heard, self._gone)
            try:
                process.adopt(worker)
            except OSError as error:
                log.error("worker %d (pid %d) is lost: %s", worker.slot, worker.pid, error)
                continue
            self.predecessors.append(process)

    async def succeed(self, drains: Iterable[messages.Drain]) -> None:
        """The new workers take the sockets, and the predecessors drain."""
        for slot in self.slots:
            self._tell(slot.number, messages.TakeSockets(slot=slot.number))
        goodbyes = list(drains)
        for process in list(self.predecessors):
            process.draining = True
            await process.hear()
            for drain in goodbyes:
                process.send(drain)

    def alive(self) -> list[WorkerProcess]:
        """Processes that were started and are not gone, in the order of their slots."""
        processes = [slot.process for slot in self.slots if slot.process is not None] + self.predecessors
        return [process for process in processes if process.pid and process.state != GONE]

    def send_all(self, message: messages.Message) -> None:
        """Send to every living worker."""
        for process in self.alive():
            process.send(message)

    def send_to(self, label: int | str, message: messages.Message) -> None:
        """Send to the worker of that label, if it is one that this program has started."""
        for slot in self.slots:
            if slot.process is not None and slot.process.label == label:
                slot.process.send(message)

    def listen(self, listener: Callable[[WorkerProcess, Any], None]) -> None:
        """Hear every message of every worker, and ``None`` for one that is gone."""
        self._listeners.append(listener)

    def end(self) -> None:
        """From now on nobody is replaced."""
        self._ending = True
        for slot in self.slots:
            if slot.restart is not None:
                slot.restart.cancel()
        for process in self.alive():
            process.draining = True

    def views(self) -> tuple[WorkerView, ...]:
        """Every slot as API and dashboard show it."""
        return (*(_view(slot) for slot in self.slots), *(_process_view(process) for process in self.predecessors))

    def pids(self) -> set[int]:
        """Processes that are waited for by their own account."""
        return {s.process.pid for s in self.slots if s.process is not None} | {p.pid for p in self.predecessors}

    # -- a life -----------------------------------------------------------------------------------------------------

    def _begin(self, slot: Slot) -> None:
        slot.restart = None
        slot.lives += 1
        process = WorkerProcess(slot.number, self._heard, self._gone)
        slot.process = process
        task = self._loop.create_task(self._launching(slot, process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _launching(self, slot: Slot, process: WorkerProcess) -> None:
        if self._ending:
            process.state = GONE
            return
        try:
            await self._launch(process)
        except OSError as error:
            log.error("worker %d cannot be started: %s", slot.number, error)
            if not process.pid:
                process.state = GONE
                self._retire(process)
                self._schedule(slot, f"cannot be started: {error}")

    def _heard(self, process: WorkerProcess, message: Any) -> None:
        if isinstance(message, messages.Hello):
            process.state = LOADING
            self._publisher.join(process)
        elif isinstance(message, messages.Applied):
            process.applied = message.generation
            self._publisher.acknowledge(process, message)
            if process.state == LOADING and not message.error:
                self._began_to_serve(process)
        for listener in self._listeners:
            listener(process, message)

    def _began_to_serve(self, process: WorkerProcess) -> None:
        process.state = SERVING
        self._served = True
        if all(other.serving for other in self.slots):
            self.complete.set()
        slot = self.slots[process.slot]
        took = time.monotonic() - process.started
        level = logging.INFO if slot.lives > 1 else logging.DEBUG
        log.log(level, "worker %d (pid %d) serves after %.2f s", process.slot, process.pid, took)
        if slot.keeper >= 0:
            self._tell(slot.keeper, messages.ReturnSockets(slot=slot.number))
            slot.keeper = -1
        for orphan in self.slots:
            if orphan.lives > 1 and not orphan.serving and orphan.keeper < 0:
                self._hand_over(orphan)

    def _gone(self, process: WorkerProcess) -> None:
        self._publisher.leave(process)
        self._retire(process)
        for listener in self._listeners:
            listener(process, None)
        if process in self.predecessors:
            self.predecessors.remove(process)
            log.info("worker %d (pid %d) of the version before ended: %s", process.slot, process.pid, process.ending())
            return
        if self._ending:
            return
        slot = self.slots[process.slot]
        self.restarts += 1
        lived = time.monotonic() - process.started
        cause = process.ending()
        log.error("worker %d (pid %d) ended after %.1f s: %s", slot.number, process.pid, lived, cause)
        if lived > STABLE_AFTER:
            slot.crashes = 0
        self._hand_over(slot)
        for other in self.slots:
            if other.keeper == slot.number:
                other.keeper = -1
                self._hand_over(other)
        self._schedule(slot, cause)

    def _schedule(self, slot: Slot, cause: str) -> None:
        """The first replacement comes at once; a worker that crashes again and again is given longer pauses."""
        slot.crashes += 1
        if not self._served and slot.crashes >= TRIES_AT_START:
            if not self.failed.done():
                self.failed.set_result(cause)
            return
        pause = 0.0 if slot.crashes == 1 else min(LONGEST_PAUSE, 0.25 * 2.0 ** (slot.crashes - 1))
        if pause:
            log.warning("worker %d is started again in %.1f s", slot.number, pause)
        slot.restart = self._loop.call_later(pause, self._begin, slot)

    # -- sockets of a slot without a worker --------------------------------------------------------------------------

    def _hand_over(self, slot: Slot) -> None:
        if slot.keeper >= 0 and self.slots[slot.keeper].serving:
            return
        keeper = next((other.number for other in self._neighbours(slot) if other.serving), -1)
        slot.keeper = keeper
        if keeper >= 0:
            log.info("worker %d accepts for worker %d meanwhile", keeper, slot.number)
            self._tell(keeper, messages.TakeSockets(slot=slot.number))

    def _neighbours(self, slot: Slot) -> Iterator[Slot]:
        count = len(self.slots)
        return (self.slots[(slot.number + step) % count] for step in range(1, count))

    def _tell(self, number: int, message: messages.Message) -> None:
        process = self.slots[number].process
        if process is not None:
            process.send(message)

    # -- signs of life ----------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """A worker's silence counts only while this process listens: what it was itself held up for (a busy or
        suspended machine, a fault of ours) says nothing of its workers, whose messages may lie there unread."""
        now = time.monotonic()
        passed, self._checked = now - self._checked, now
        self._loop.call_later(HEARTBEAT, self._tick)
        if passed > HEARTBEAT + HELD_UP:
            log.warning("the control process itself was held up for %.1f s", passed - HEARTBEAT)
        for process in self.alive():
            if not process.heard:
                continue
            process.silence += min(passed, HEARTBEAT)
            limit = START_WITHIN if process.state == STARTING else HUNG_AFTER
            if process.silence > limit * self._patience and not process.killed_for:
                process.kill(f"no sign of life for {process.silence:.1f} s")
                if not self._ending and process not in self.predecessors:
                    self._hand_over(self.slots[process.slot])


def _view(slot: Slot) -> WorkerView:
    process = slot.process
    if process is None:
        return WorkerView(slot=slot.number)
    return msgspec.structs.replace(_process_view(process), restarts=slot.lives - 1)


def _process_view(process: WorkerProcess) -> WorkerView:
    draining = process.draining and process.state != GONE
    state = "draining" if draining else process.state if process.state in (SERVING, GONE) else "starting"
    return WorkerView(
        slot=process.slot,
        pid=process.pid,
        state=state,
        generation=process.applied,
        started=time.time() - (time.monotonic() - process.started),
        in_flight=process.beat.in_flight,
        connections=process.beat.connections,
        longest_stall=process.longest_stall,
    )
