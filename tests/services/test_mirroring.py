"""mirroring on real sockets: which requests are copied, what copies look like, and that nobody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from services.house import House
from services.tree_rig import CLOSE, Place, Tree, post

from edgerouter.services import mirroring
from edgerouter.services._ring import Ring


@asynccontextmanager
async def scene(**options: Any) -> AsyncIterator[tuple[Tree, Place, Place]]:
    """``main`` answers, ``copy`` gets the copies."""
    main, copy = Place("main"), Place("copy")
    tree = await Tree.of(main, copy)
    tree.top("mirroring", {"service": "main", "mirrors": [{"name": "copy", "percent": 100}], **options})
    yield tree, main, copy
    await settled(tree)
    await tree.rig.stop()
    assert (mirroring._RING.copies, mirroring._RING.bytes) == (0, 0)


async def settled(tree: Tree) -> None:
    """Until all copies are through."""
    await tree.rig.until(lambda: mirroring._RING.copies == 0, 20)


def counts(tree: Tree) -> list[int]:
    """Sent, dropped, failed."""
    return [mirroring.record_of(tree, "top@f").total(i) for i in range(mirroring.COUNTS)]


@pytest.mark.parametrize(("percent", "copies"), [(0, 0), (1, 1), (10, 10), (33, 33), (50, 50), (100, 100)])
async def test_percent_is_counted(percent: int, copies: int) -> None:
    async with scene(mirrors=[{"name": "copy", "percent": percent}]) as (tree, main, copy):
        for _ in range(100):
            assert await tree.ask() == (200, "main")
        await settled(tree)
        assert (len(main.seen), len(copy.seen), counts(tree)) == (100, copies, [copies, 0, 0])


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_percent_over_workers(slots: int) -> None:
    """However few requests each worker has: a tenth of them all, more or less by one."""
    targets = []
    for slot in range(slots):
        house = House(slot)
        phase = mirroring.worker_phase(house)
        targets.append(mirroring.Target(mirroring.Mirror(name="m", percent=10), "top@f", phase))
    due = sum(target.due() for target in targets for _ in range(40 // slots))
    assert abs(due - 4) <= 1


@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_are_copied_and_the_main_request_is_as_it_was(chunked: bool) -> None:
    async with scene() as (tree, main, copy):
        assert await tree.ask(post(b"hello", chunked)) == (200, "main")
        await settled(tree)
        assert main.seen[0][1] == copy.seen[0][1] == b"hello"
        assert b"content-length: 5" in main.seen[0][0].lower()
        assert b"content-length: 5" in copy.seen[0][0].lower()
        assert copy.seen[0][0].startswith(b"POST /a HTTP/1.1") and b"Host: x.test" in copy.seen[0][0]
        assert copy.seen[0][0].count(b"X-Forwarded-For") == 1


async def test_without_bodies() -> None:
    async with scene(mirrorBody=False) as (tree, main, copy):
        await tree.ask(post(b"hello"))
        await settled(tree)
        assert (main.seen[0][1], copy.seen[0][1]) == (b"hello", b"")


@pytest.mark.parametrize("chunked", [False, True])
async def test_too_large_a_body_is_not_copied(chunked: bool) -> None:
    async with scene(maxBodySize=4) as (tree, main, copy):
        assert await tree.ask(post(b"hello", chunked)) == (200, "main")
        assert await tree.ask(post(b"hell", chunked)) == (200, "main")
        await settled(tree)
        assert [body for _, body in main.seen] == [b"hello", b"hell"]
        assert [body for _, body in copy.seen] == [b"hell"]
        assert counts(tree) == [1, 1, 0]


async def test_nobody_waits_for_a_slow_mirror() -> None:
    async with scene() as (tree, _, copy):
        copy.gate.clear()
        body = b"x" * 1_000_000
        async with asyncio.timeout(10):
            answers = [await tree.ask(post(body)) for _ in range(5)]
        assert answers == [(200, "main")] * 5
        await tree.rig.until(lambda: len(copy.seen) == 5, 20)
        copy.gate.set()
        await settled(tree)
        assert {body for _, body in copy.seen} == {body} and counts(tree) == [5, 0, 0]


async def test_a_mirror_that_is_dead_ill_or_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(mirrors=[{"name": n, "percent": 100} for n in ("copy", "dead", "none")]) as (tree, _, copy):
        dead = tree.rig.add_server(1)
        tree.make("dead@f", "loadBalancer", {}, [dead])
        copy.status = 500
        assert await tree.ask() == (200, "main")
        await settled(tree)
        assert counts(tree) == [3, 0, 3]


async def test_a_mirror_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirroring, "SECONDS", 0.2)
    async with scene() as (tree, _, copy):
        copy.gate.clear()
        assert await tree.ask() == (200, "main")
        await settled(tree)
        assert counts(tree) == [1, 0, 1]
        copy.gate.set()


async def test_a_full_ring_drops_copies_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirroring, "_RING", Ring(size=10, copies=100))
    async with scene() as (tree, main, copy):
        copy.gate.clear()
        for _ in range(4):
            assert await tree.ask(post(b"hello")) == (200, "main")
        await tree.rig.until(lambda: len(copy.seen) == 2)
        assert (len(main.seen), counts(tree)[mirroring.DROPPED]) == (4, 2)
        copy.gate.set()


async def test_the_main_answer_does_not_change_what_is_copied() -> None:
    async with scene() as (tree, main, copy):
        main.status = 500
        assert (await tree.ask())[0] == 500
        await settled(tree)
        assert len(copy.seen) == 1


async def test_a_tunnel_is_not_copied() -> None:
    async with scene() as (tree, main, copy):
        await tree.ask(CLOSE.replace(b"Connection: close", b"Connection: upgrade, close\r\nUpgrade: websocket"))
        await settled(tree)
        assert (len(main.seen), len(copy.seen)) == (1, 0)


async def test_several_mirrors_and_an_available_parent() -> None:
    async with scene(mirrors=[{"name": "copy", "percent": 50}, {"name": "copy", "percent": 100}]) as (tree, _, copy):
        top = tree.services["top@f"]
        assert top.available()
        for _ in range(10):
            await tree.ask()
        await settled(tree)
        assert len(copy.seen) == 15
        main: Any = tree.services["main@f"]
        main.servers[0].up = False
        main.refresh()
        assert not top.available()
        assert (await tree.ask())[0] == 503


@pytest.mark.parametrize("percent", [-1, 101])
def test_a_percentage_that_is_none(percent: int) -> None:
    with pytest.raises(ValueError, match="percent: expected 0 to 100"):
        mirroring.Target(mirroring.Mirror(name="m", percent=percent), "t@f", 0.0)
