"""failover on real sockets: by health, by status, with bodies, and what happens when both are bad."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from services.house import House
from services.tree_rig import Place, Tree, post


@asynccontextmanager
async def scene(**options: Any) -> AsyncIterator[tuple[Tree, Place, Place]]:
    main, backup = Place("main"), Place("backup")
    tree = await Tree.of(main, backup)
    tree.top("failover", {"service": "main", "fallback": "backup", **options})
    yield tree, main, backup
    await tree.rig.stop()


def health(tree: Tree, name: str, up: bool) -> None:
    service: Any = tree.services[f"{name}@f"]
    for server in service.servers:
        server.up = up
    service.refresh()


async def test_by_health() -> None:
    async with scene() as (tree, _, _backup):
        top = tree.services["top@f"]
        for main_up, backup_up, expected in [
            (True, True, (200, "main")),
            (False, True, (200, "backup")),
            (True, False, (200, "main")),
            (False, False, (503, "no available server\n")),
            (True, True, (200, "main")),
        ]:
            health(tree, "main", main_up)
            health(tree, "backup", backup_up)
            assert await tree.ask() == expected
            assert top.available() == (main_up or backup_up)


async def test_an_error_is_an_answer_unless_it_is_listed() -> None:
    async with scene() as (tree, main, backup):
        main.status = 503
        assert (await tree.ask(), len(backup.seen)) == ((503, "main"), 0)
    async with scene(errors={"status": ["502", "504-599"]}) as (tree, main, backup):
        main.status = 503
        assert (await tree.ask(), len(backup.seen)) == ((503, "main"), 0)


@pytest.mark.parametrize("status", [500, 503, 599])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("limit", [{}, {"maxRequestBodyBytes": 5}])
async def test_by_status_with_the_body(status: int, chunked: bool, limit: dict[str, int]) -> None:
    async with scene(errors={"status": ["500-599"], **limit}) as (tree, main, backup):
        main.status = status
        assert await tree.ask(post(b"hello", chunked)) == (200, "backup")
        assert main.seen[0][1] == backup.seen[0][1] == b"hello"
        main.status = 200
        assert await tree.ask(post(b"hello", chunked)) == (200, "main")
        assert len(backup.seen) == 1


async def test_a_server_that_cannot_be_reached_is_a_bad_answer_too() -> None:
    async with scene(errors={"status": ["502"]}) as (tree, _, backup):
        tree.make("main@f", "loadBalancer", {}, [tree.rig.add_server(1)])
        assert await tree.ask(post(b"hello")) == (200, "backup")
        assert [body for _, body in backup.seen] == [b"hello"]
        assert [record.cause for record in tree.rig.records] == [""], "what the client got was no failure"


async def test_when_both_are_bad_the_fallbacks_answer_counts() -> None:
    async with scene(errors={"status": ["500-599"]}) as (tree, main, backup):
        main.status, backup.status = 500, 503
        assert await tree.ask() == (503, "backup")
        assert (len(main.seen), len(backup.seen)) == (1, 1), "once each"
        health(tree, "backup", False)
        assert await tree.ask() == (500, "main")


async def test_bodies_that_are_too_long() -> None:
    async with scene(errors={"status": ["500-599"], "maxRequestBodyBytes": 4}) as (tree, main, backup):
        for chunked in (False, True):
            assert (await tree.ask(post(b"hello", chunked)))[0] == 413
        assert await tree.ask(post(b"hell")) == (200, "main")
        assert (len(main.seen), len(backup.seen)) == (1, 0)
    async with scene(errors={"status": ["500-599"]}) as (tree, main, backup):
        main.status = 500
        assert await tree.ask(post(b"x" * (4 << 20))) == (200, "backup")
        assert await tree.ask(post(b"x" * ((4 << 20) + 1))) == (500, "main"), "it cannot be sent again"
        assert len(backup.seen) == 1


async def test_failover_below_failover() -> None:
    first, second, third = Place("first", 500), Place("second", 500), Place("third")
    tree = await Tree.of(first, second, third)
    tree.make("inner@f", "failover", {"service": "first", "fallback": "second", "errors": {"status": ["500"]}})
    tree.top("failover", {"service": "inner", "fallback": "third", "errors": {"status": ["500"]}})
    assert await tree.ask() == (200, "third")
    assert [len(place.seen) for place in (first, second, third)] == [1, 1, 1]
    await tree.rig.stop()


@pytest.mark.parametrize("status", ["fine", "600", "500-400"])
def test_a_status_that_is_none(status: str) -> None:
    with pytest.raises(ValueError, match=r"errors\.status"):
        House().make("t@f", "failover", {"service": "a", "fallback": "b", "errors": {"status": [status]}})
