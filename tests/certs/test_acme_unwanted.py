"""Certificates that no router wants any more: renewed for seven days, then parked, over restarts too, then let go."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgerouter.certs.acme import state
from edgerouter.certs.acme.authority import Issued
from edgerouter.certs.acme.provider import AcmeProvider
from edgerouter.certs.acme.stores.file import FileStorage
from edgerouter.certs.acme.together import Together
from edgerouter.certs.acme.tokens import HttpProver, Tokens
from edgerouter.certs.acme.unwanted import NOTED_AFTER, Unwanted
from edgerouter.certs.acme.wanted import Wanted
from edgerouter.certs.local.ca import open_authority
from edgerouter.config.resolvers import Acme
from edgerouter.contracts.snapshot import Snapshot

NAMES = ("a.test", "b.test")
DAY = 86_400.0


@pytest.fixture
def together(tmp_path: Path) -> Together:
    return Together(FileStorage(str(tmp_path / "acme.json")), "le")


def have(together: Together, days: float) -> None:
    """A certificate of 90 days that has so many left."""
    signing = open_authority(FileStorage(str(Path(str(together._storage._path)).with_name("ca.json"))), "ca")  # type: ignore[attr-defined]
    now = datetime.datetime.now(datetime.UTC)
    one = signing.issue(NAMES, datetime.timedelta(days=90), now - datetime.timedelta(days=90 - days))
    together.keep(Issued(NAMES, one.certificate, one.key))


async def wait_for(condition: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)
    assert condition(), what


async def test_the_time_without_a_router_goes_on_over_restarts(together: Together) -> None:
    now = time.time()
    first = Unwanted(together)
    assert first.since(NAMES, now) == now and first.since(NAMES, now + NOTED_AFTER - 1) == now
    assert together.unwanted() == {}, "just after a start nothing is wanted yet"
    assert first.since(NAMES, now + NOTED_AFTER) == now
    await wait_for(together.unwanted, "the note")
    second = Unwanted(together)
    second.load(together.unwanted())
    assert second.since(NAMES, now + 8 * DAY) == now
    second.end(NAMES)
    await wait_for(lambda: not together.unwanted(), "no note")
    assert second.since(NAMES, now + 9 * DAY) == now + 9 * DAY


async def first_of(provider: AcmeProvider, verdict: str) -> Snapshot:
    watching = provider.watch()
    try:
        async with asyncio.timeout(30):
            async for snapshot in watching:
                if [line.verdict for line in snapshot.workloads] == ([verdict] if verdict else []):
                    return snapshot
    finally:
        await watching.aclose()
    raise AssertionError(verdict)


def resolver(together: Together) -> AcmeProvider:
    """One whose authority is away."""
    acme = Acme(ca_server="http://127.0.0.1:1/dir")
    return AcmeProvider("le", acme, together._storage, [HttpProver(Tokens(), 0)], None)


@pytest.mark.parametrize(
    ("days_gone", "days_left", "verdict"),
    [(6, 60, state.ISSUED), (8, 60, state.PARKED), (6, 20, "FAILED_UNREACHABLE"), (8, 20, state.PARKED), (8, -1, "")],
)
async def test_what_nobody_wants_is_parked_after_seven_days_and_let_go_when_it_expires(
    together: Together, days_gone: float, days_left: float, verdict: str
) -> None:
    """With 20 days left it is due for renewal: only what is not parked yet asks the authority."""
    have(together, days_left)
    together.note_unwanted(NAMES, time.time() - days_gone * DAY)
    snapshot = await first_of(resolver(together), verdict)
    assert len(snapshot.configuration.tls.certificates) == (1 if verdict else 0)
    if not verdict:
        await wait_for(lambda: not list(together.all()) and not together.unwanted(), "an empty storage")


async def test_a_parked_certificate_that_is_wanted_again_is_not_ordered_again(together: Together) -> None:
    have(together, 60)
    together.note_unwanted(NAMES, time.time() - 8 * DAY)
    provider = resolver(together)
    watching = provider.watch()
    seen: list[str] = []
    async with asyncio.timeout(30):
        async for snapshot in watching:
            seen += [line.verdict for line in snapshot.workloads]
            if seen[-1:] == [state.PARKED]:
                provider.want({NAMES: Wanted(NAMES, "r@file")}, frozenset())
            if state.PARKED in seen and seen[-1] == state.ISSUED:
                break
    await watching.aclose()
    assert not [verdict for verdict in seen if "UNREACHABLE" in verdict or verdict == state.ORDERING], seen
    await wait_for(lambda: not together.unwanted(), "no note")
