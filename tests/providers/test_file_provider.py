"""The file provider on real files: what it reads, what it notices, and what a bad file does to the others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgerouter.config.dynamic import Model
from edgerouter.contracts.snapshot import ProviderContext, Snapshot
from edgerouter.errors import ConfigurationError
from edgerouter.providers._file_shelf import Shelf
from edgerouter.providers.file import FileProvider, Options, merge


class Strip(Model, frozen=True):
    """A middleware's options."""

    prefixes: tuple[str, ...] = ()


class Server(Model, frozen=True):
    """A server."""

    url: str = ""


class Balancer(Model, frozen=True):
    """A service's options."""

    servers: tuple[Server, ...] = ()


KINDS = {"middlewares": {"strip": Strip}, "services": {"loadBalancer": Balancer}}
CONTEXT = ProviderContext(name="file", kinds=KINDS)


def yaml(host: str, name: str = "r") -> str:
    """A file with one router."""
    return f"http:\n  routers:\n    {name}:\n      rule: Host(`{host}`)\n      service: s\n"


def rules(snapshot: Snapshot) -> dict[str, str]:
    """Routers and their hosts."""
    return {name: router.rule[6:-2] for name, router in snapshot.configuration.http.routers.items()}


def read(root: Path) -> Snapshot:
    """What the provider makes of a directory, or file, at first."""
    return merge(Shelf(str(root), root.is_dir(), KINDS).read())


class Watching:
    """A provider that runs; ``until`` waits for a snapshot that satisfies."""

    def __init__(self, options: Options) -> None:
        self.provider = FileProvider(options, CONTEXT)
        self.newest: Snapshot | None = None
        self.count = 0
        self._news = asyncio.Event()

    async def run(self) -> None:
        async for snapshot in self.provider.watch():
            self.newest = snapshot
            self.count += 1
            self._news.set()

    async def until(self, condition: Callable[[Snapshot], bool]) -> Snapshot:
        async with asyncio.timeout(15):
            while self.newest is None or not condition(self.newest):
                self._news.clear()
                await self._news.wait()
        return self.newest

    async def hosts(self, wanted: dict[str, str]) -> Snapshot:
        return await self.until(lambda snapshot: rules(snapshot) == wanted)


@asynccontextmanager
async def watching(path: Path, watch: bool = True) -> AsyncIterator[Watching]:
    """Run the provider over a file or directory."""
    if path.is_dir():
        options = Options(directory=str(path), watch=watch)
    else:
        options = Options(filename=str(path), watch=watch)
    running = Watching(options)
    task = asyncio.ensure_future(running.run())
    yield running
    assert not task.done(), task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_yaml_and_toml_in_directories_below(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a.yml").write_text(yaml("a", "a"))
    (tmp_path / "deep" / "b.YAML").write_text(yaml("b", "b"))
    toml = '[http.routers.c]\nrule = "Host(`c`)"\nservice = "s"\n[[http.services.s.loadBalancer.servers]]\nurl = "http://h"'
    (tmp_path / "deep" / "er" / "c.toml").write_text(toml)
    (tmp_path / "notes.txt").write_text("not: [ours")
    (tmp_path / ".hidden.yml").write_text(yaml("x", "hidden"))
    (tmp_path / "empty.yml").write_text("")
    snapshot = read(tmp_path)
    assert rules(snapshot) == {"a": "a", "b": "b", "c": "c"}
    assert snapshot.configuration.http.services["s"].options == Balancer(servers=(Server(url="http://h"),))
    assert snapshot.problems == ()


def test_the_first_file_wins_a_name_and_the_other_is_told(tmp_path: Path) -> None:
    (tmp_path / "2.yml").write_text(yaml("second") + yaml("own", "own").removeprefix("http:\n  routers:\n"))
    (tmp_path / "1.yml").write_text(yaml("first"))
    snapshot = read(tmp_path)
    assert rules(snapshot) == {"r": "first", "own": "own"}
    (problem,) = snapshot.problems
    assert (problem.path, problem.severity) == ("http.routers.r", "warning")
    assert problem.source == str(tmp_path / "2.yml") and str(tmp_path / "1.yml") in problem.message


def test_a_bad_object_spoils_no_other_and_is_named_with_its_line(tmp_path: Path) -> None:
    text = yaml("good") + "    bad:\n      rulle: x\n  middlewares:\n    m:\n      strip:\n        prefixxes: [/a]\n"
    (tmp_path / "a.yml").write_text(text)
    (tmp_path / "b.yml").write_text(yaml("b", "b"))
    snapshot = read(tmp_path)
    assert rules(snapshot) == {"r": "good", "b": "b"}
    assert snapshot.configuration.http.middlewares["m"].refused
    assert {problem.source for problem in snapshot.problems} == {f"{tmp_path / 'a.yml'}:7", f"{tmp_path / 'a.yml'}:11"}


@pytest.mark.parametrize(
    ("broken", "place"),
    [
        (b"http: [", "a.yml:"),
        (b"http:\n\t routers: {}", "a.yml:2"),
        (b"\xff\xfe\xfa", "a.yml"),
    ],
)
def test_a_broken_file_serves_its_last_good_copy(tmp_path: Path, broken: bytes, place: str) -> None:
    (tmp_path / "a.yml").write_text(yaml("a", "a"))
    (tmp_path / "b.yml").write_text(yaml("b", "b"))
    shelf = Shelf(str(tmp_path), True, KINDS)
    shelf.read()
    (tmp_path / "a.yml").write_bytes(broken)
    (tmp_path / "b.yml").write_text(yaml("new", "b"))
    snapshot = merge(shelf.read())
    assert rules(snapshot) == {"a": "a", "b": "new"}
    (problem,) = snapshot.problems
    assert place in problem.source and "last good copy goes on serving" in problem.message
    (tmp_path / "a.yml").write_text(yaml("better", "a"))
    assert rules(merge(shelf.read())) == {"a": "better", "b": "new"}


def test_a_file_that_was_never_good_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("http: [")
    (tmp_path / "b.yml").write_text(yaml("b", "b"))
    snapshot = read(tmp_path)
    assert rules(snapshot) == {"b": "b"}
    assert len(snapshot.problems) == 1 and "last good copy" not in snapshot.problems[0].message


def test_contents_are_never_quoted(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("http:\n  routers: {r: {rule: s3cret-value\n")
    assert "s3cret" not in repr(read(tmp_path).problems)


def test_links_that_lead_in_circles_end(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(yaml("a"))
    (tmp_path / "loop").symlink_to(tmp_path)
    assert rules(read(tmp_path)) == {"r": "a"}


@pytest.mark.parametrize(
    ("options", "why"), [(Options(), "names nothing"), (Options(filename="a", directory="b"), "exclude")]
)
def test_one_of_filename_and_directory(options: Options, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        FileProvider(options, CONTEXT)


async def test_a_file_is_followed_through_writes_renames_and_absence(tmp_path: Path) -> None:
    path = tmp_path / "one.yml"
    async with watching(path) as running:
        absent = await running.until(lambda snapshot: bool(snapshot.problems))
        assert "cannot be read" in absent.problems[0].message and absent.problems[0].source == str(path)
        path.write_text(yaml("written"))
        await running.hosts({"r": "written"})
        (tmp_path / "draft").write_text(yaml("renamed"))
        os.replace(tmp_path / "draft", path)
        await running.hosts({"r": "renamed"})
        path.unlink()
        gone = await running.until(lambda snapshot: bool(snapshot.problems))
        assert rules(gone) == {"r": "renamed"} and "last good copy" in gone.problems[0].message
        path.write_text(yaml("back"))
        assert (await running.hosts({"r": "back"})).problems == ()


async def test_a_directory_is_followed_with_all_below_it(tmp_path: Path) -> None:
    async with watching(tmp_path) as running:
        await running.hosts({})
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "a.yml").write_text(yaml("a", "a"))
        await running.hosts({"a": "a"})
        (tmp_path / "b.toml").write_text('[http.routers.b]\nrule = "Host(`b`)"\nservice = "s"\n')
        await running.hosts({"a": "a", "b": "b"})
        (tmp_path / "deep" / "a.yml").unlink()
        await running.hosts({"b": "b"})


async def test_a_config_maps_swap_is_seen(tmp_path: Path) -> None:
    for name, host in (("..1", "one"), ("..2", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "routes.yml").write_text(yaml(host))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "routes.yml").symlink_to("..data/routes.yml")
    async with watching(tmp_path) as running:
        assert (await running.hosts({"r": "one"})).problems == ()
        (tmp_path / "..data_tmp").symlink_to("..2")
        os.replace(tmp_path / "..data_tmp", tmp_path / "..data")
        await running.hosts({"r": "two"})


async def test_a_directory_that_is_gone_keeps_serving(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    directory.mkdir()
    (directory / "a.yml").write_text(yaml("a"))
    async with watching(directory) as running:
        await running.hosts({"r": "a"})
        os.rename(directory, tmp_path / "elsewhere")
        gone = await running.until(lambda snapshot: bool(snapshot.problems))
        assert rules(gone) == {"r": "a"} and "goes on serving" in gone.problems[0].message
        os.rename(tmp_path / "elsewhere", directory)
        assert rules(await running.until(lambda snapshot: not snapshot.problems)) == {"r": "a"}


async def test_a_truncated_file_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "one.yml"
    path.write_text(yaml("a"))
    async with watching(path) as running:
        await running.hosts({"r": "a"})
        seen = running.count
        with path.open("w") as file:
            file.flush()
            await asyncio.sleep(0)
            file.write(yaml("b"))
        await running.hosts({"r": "b"})
        assert running.count - seen <= 2


async def test_without_watching_only_a_reload_reads_again(tmp_path: Path) -> None:
    path = tmp_path / "one.yml"
    path.write_text(yaml("a"))
    async with watching(path, watch=False) as running:
        await running.hosts({"r": "a"})
        path.write_text(yaml("b"))
        assert running.count == 1
        running.provider.reload()
        await running.hosts({"r": "b"})
        assert running.count == 2


async def test_the_loop_goes_on_while_a_big_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    routers = "".join(f"    r{number}: {{rule: 'Host(`h{number}`)', service: s}}\n" for number in range(4000))
    path.write_text(f"http:\n  routers:\n{routers}")
    stream = FileProvider(Options(filename=str(path)), CONTEXT).watch()
    first = asyncio.ensure_future(anext(stream))
    turns = 0
    while not first.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert len(rules(first.result())) == 4000
    await stream.aclose()  # type: ignore[attr-defined]
    assert turns >= 20, f"the loop turned {turns} times in the second or so that reading takes"
