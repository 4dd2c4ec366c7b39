"""Names that another certificate serves are not ordered, as long as that is so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgerouter.certs.acme.cover import Cover
from edgerouter.certs.acme.provider import AcmeProvider
from edgerouter.certs.acme.stores.file import FileStorage
from edgerouter.certs.acme.tokens import HttpProver, Tokens
from edgerouter.certs.acme.wanted import Names, Wanted
from edgerouter.config.resolvers import Acme
from edgerouter.contracts.snapshot import Snapshot

STAR, ONE, BOTH, REVERSED = ("*.a.test",), ("b.a.test",), ("b.a.test", "c.a.test"), ("c.a.test", "b.a.test")
STAR_AND_ONE, OTHER = ("*.a.test", "b.a.test"), ("b.other.test",)


@pytest.mark.parametrize(
    ("sets", "names", "instead"),
    [
        ([STAR, ONE], ONE, [STAR]),
        ([STAR, ONE], STAR, []),
        ([BOTH, ONE], ONE, [BOTH]),
        ([STAR, BOTH], BOTH, [STAR]),
        ([BOTH, REVERSED], BOTH, []),
        ([BOTH, REVERSED], REVERSED, [BOTH]),
        ([STAR, STAR_AND_ONE], STAR, [STAR_AND_ONE]),
        ([STAR, STAR_AND_ONE], STAR_AND_ONE, []),
        ([STAR, ("x.b.a.test",)], ("x.b.a.test",), []),
        ([OTHER, ONE], ONE, []),
    ],
)
def test_which_sets_are_served_by_others(sets: list[Names], names: Names, instead: list[Names]) -> None:
    assert list(Cover(sets).instead_of(names)) == instead
    assert names in Cover(sets).all_for(names)


async def states(watching: AsyncIterator[Snapshot], until: dict[str, str]) -> list[dict[str, str]]:
    """What the ledger says of each name in turn, until it says that."""
    found: list[dict[str, str]] = []
    async with asyncio.timeout(60):
        async for snapshot in watching:
            found.append({line.name: line.verdict for line in snapshot.workloads})
            if found[-1] == until:
                return found
    raise AssertionError(found)


def resolver(folder: Path) -> AcmeProvider:
    """One whose authority is away."""
    acme = Acme(ca_server="http://127.0.0.1:1/dir")
    return AcmeProvider("le", acme, FileStorage(str(folder / "acme.json")), [HttpProver(Tokens(), 0)], None)


async def test_a_name_under_a_wildcard_waits_for_that_and_is_ordered_when_it_fails(tmp_path: Path) -> None:
    provider = resolver(tmp_path)
    provider.want({names: Wanted(names, "r@file") for names in (STAR, ONE)}, frozenset())
    watching = provider.watch()
    found = await states(watching, {"*.a.test": "FAILED_UNREACHABLE", "b.a.test": "FAILED_UNREACHABLE"})
    assert {"*.a.test": "WAITING", "b.a.test": "COVERED"} in found, found
    await watching.aclose()


async def test_a_name_whose_certificate_comes_from_elsewhere_is_ordered_when_that_goes(tmp_path: Path) -> None:
    provider = resolver(tmp_path)
    wanted = {ONE: Wanted(ONE, "r@file")}
    provider.want(wanted, frozenset({STAR}))
    watching = provider.watch()
    await states(watching, {"b.a.test": "COVERED"})
    provider.want(wanted, frozenset())
    await states(watching, {"b.a.test": "FAILED_UNREACHABLE"})
    provider.want(wanted, frozenset({ONE}))
    await states(watching, {"b.a.test": "COVERED"})
    await watching.aclose()
