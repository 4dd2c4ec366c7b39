"""Compiled rooms are compiled whole: a class that the compiler cannot take as it is costs what it should save."""

from __future__ import annotations

import importlib
import inspect
import pathlib
import re
from types import ModuleType

import edgerouter

ROOT = pathlib.Path(__file__).parents[2]


def listed() -> list[str]:
    """The modules that ``setup.py`` names."""
    patterns = re.findall(r'"(edgerouter/[^"]+\.py)"', (ROOT / "setup.py").read_text())
    assert patterns
    paths = {path.relative_to(ROOT) for pattern in patterns for path in ROOT.glob(pattern)}
    return sorted(".".join(path.with_suffix("").parts) for path in paths if path.name != "__init__.py")


def compiled(module: ModuleType) -> bool:
    return not str(module.__file__).endswith(".py")


def test_what_is_listed_is_compiled_and_nothing_half() -> None:
    modules = [importlib.import_module(name) for name in listed()]
    assert {module.__name__ for module in modules if compiled(module) is not edgerouter.is_compiled()} == set()


def test_every_class_of_a_compiled_room_is_native() -> None:
    """A class with a decorator, a metaclass or a base that mypyc does not know becomes an ordinary one."""
    strange = []
    for module in filter(compiled, map(importlib.import_module, listed())):
        for name, found in inspect.getmembers(module, inspect.isclass):
            if found.__module__ == module.__name__ and "__mypyc_attrs__" not in vars(found):
                strange.append(f"{module.__name__}.{name}")
    assert strange == []
