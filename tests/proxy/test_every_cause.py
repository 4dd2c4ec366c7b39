"""Every cause that the engine declares is provoked on real sockets; those of plugins by the plugins' own tests."""

from __future__ import annotations

import ast
import functools
import pathlib
import re

import pytest
from hostile_table import BROKEN, LATE, REFUSED, RESPONSES

from edgerouter.causes import _TABLE

ROOT = pathlib.Path(__file__).parents[2]
WORD = re.compile(r"[A-Z][A-Z0-9_]+")


def strings(node: ast.AST) -> list[str]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


# Causes that the tables of hostile bytes provoke.
TABLES = (
    {row.cause for row in REFUSED.values()}
    | {row.cause for row in BROKEN.values()}
    | {row.cause for row in RESPONSES.values()}
    | {row[0] for row in LATE.values()}
)


@functools.cache
def provoked_elsewhere() -> set[str]:
    """Causes that a test beside the tables expects as an exchange's record or log line; each in quotation marks in an
    assertion, or as a parameter or an argument of ``check``, which asserts it."""
    found: set[str] = set()
    for folder in ("proxy", "live", "middlewares", "net"):
        for path in (ROOT / "tests" / folder).glob("test_*.py"):
            if path != pathlib.Path(__file__):
                for node in ast.walk(ast.parse(path.read_text())):
                    found |= expected_in(node)
    return found


def expected_in(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Assert):
        return {word for text in strings(node) for word in WORD.findall(text)}
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("check", "parametrize"):
            return {word for text in strings(node) for word in WORD.findall(text)}
    return set()


@pytest.mark.parametrize("name", [row[0] for row in _TABLE])
def test_every_cause_is_provoked(name: str) -> None:
    assert name in TABLES or name in provoked_elsewhere(), f"no test provokes {name} on real sockets"
