"""The house polices itself: links, layers, sizes, names. What is too big is listed here with its reason, or split."""

from __future__ import annotations

import ast
import functools
import os
import pathlib
import re
import statistics
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
ROOMS = ("edgerouter", "providers", "middlewares", "dashboard", "config")

# At most five, each a one-pass scanner, with the measurement that pays for it (docs/decisions/0003-scanners.md).
LONG_FUNCTIONS: set[str] = set()
LONG_FILES: set[str] = set()


def sources() -> list[pathlib.Path]:
    found = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if not any(parent.is_symlink() for parent in path.parents if ROOT in parent.parents):
                found.append(path)
    return found


@functools.cache
def outline(path: pathlib.Path) -> tuple[str | None, list[tuple[str, int]]]:
    """The docstring of a file, and name and lines of each of its functions."""
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    sizes = [(n.name, (n.end_lineno or n.lineno) - n.lineno + 1) for n in ast.walk(tree) if isinstance(n, kinds)]
    return ast.get_docstring(tree), sizes


@pytest.mark.parametrize("room", ["providers", "middlewares", "dashboard", "config"])
def test_four_rooms_are_linked_into_the_package(room: str) -> None:
    link = ROOT / "edgerouter" / room
    assert link.is_symlink() and os.readlink(link) == f"../{room}"
    assert (ROOT / room / "__init__.py").is_file()


def test_files_are_short() -> None:
    sizes = {str(p.relative_to(ROOT)): p.read_text().count("\n") for p in sources()}
    assert [f for f, n in sizes.items() if n > 500 and f not in LONG_FILES] == []
    assert statistics.median(sizes.values()) <= 150


def test_functions_are_short() -> None:
    sizes = {f"{p.relative_to(ROOT)}:{name}": n for p in sources() for name, n in outline(p)[1]}
    assert [f for f, n in sizes.items() if n > 60 and f not in LONG_FUNCTIONS] == []
    ordered = sorted(sizes.values())
    assert statistics.median(ordered) <= 8
    assert ordered[int(len(ordered) * 0.9)] <= 25
    assert len(LONG_FUNCTIONS) + len(LONG_FILES) <= 5


def test_every_file_opens_with_its_rule() -> None:
    assert [str(p.relative_to(ROOT)) for p in sources() if not outline(p)[0]] == []


def test_no_vague_names() -> None:
    vague = re.compile(r"class \w*(Manager|Util|Utils|Helper|Helpers)\b")
    assert [str(p.relative_to(ROOT)) for p in sources() if vague.search(p.read_text())] == []


def test_nothing_is_left_unfinished() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX)\b|mark\.xfail")
    files = [*sources(), *(p for p in (ROOT / "tests").rglob("*.py") if p != pathlib.Path(__file__))]
    assert [str(p.relative_to(ROOT)) for p in files if marks.search(p.read_text())] == []


@pytest.mark.parametrize("room", ["middlewares", "services", "providers", "balancers", "matchers"])
def test_a_plugin_stands_in_the_file_of_its_name(room: str) -> None:
    from edgerouter.registry import load

    plugins = load(room)
    assert plugins
    for plugin in plugins.values():
        stem = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", plugin.name).lower()
        assert plugin.cls.__module__.rsplit(".", 1)[-1] == stem, plugin.name


def test_short_import_names_are_never_used() -> None:
    short = re.compile(r"^\s*(from|import) (providers|middlewares|dashboard|config)\b", re.M)
    files = [*sources(), *(ROOT / "tests").rglob("*.py")]
    assert [str(p.relative_to(ROOT)) for p in files if short.search(p.read_text())] == []


def test_a_cancelled_wait_ends() -> None:
    """asyncio.wait_for of Python 3.11 forgets a cancellation that comes with the result; asyncio.timeout does not."""
    assert [str(p.relative_to(ROOT)) for p in sources() if "wait_for(" in p.read_text()] == []


def test_the_wheel_holds_every_room(tmp_path: pathlib.Path) -> None:
    code = (
        "from setuptools import find_packages; import json, sys;"
        "print(json.dumps(find_packages(include=['edgerouter*'])))"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for room in ("providers", "middlewares", "dashboard", "config", "wire", "http", "proxy", "rules.matchers"):
        assert f'"edgerouter.{room}"' in out
