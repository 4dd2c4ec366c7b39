"""Files of the file provider: which there are, whether they changed, what each one says. Blocking; no loop here.

Changes are found by looking (stat), not by inotify: that alone sees editors that rename, ConfigMaps whose symbolic
links are swapped, bind mounts of single files and network file systems.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from edgerouter.config.decode import decode_dynamic
from edgerouter.config.documents import read_document
from edgerouter.config.dynamic import DynamicConfiguration
from edgerouter.config.types import Problem

SUFFIXES: Final = (".toml", ".yaml", ".yml")
MOST_BYTES: Final = 64 * 1024 * 1024
_YOUNG: Final = 0.1  # a file changed so recently may change again without its times showing it

Mark = tuple[int, ...]
Kinds = Mapping[str, Mapping[str, Any]]


class Page(msgspec.Struct, frozen=True):
    """What one file says. ``stale``: ``configuration`` is from before the fault that ``problems`` names."""

    configuration: DynamicConfiguration = DynamicConfiguration()
    problems: tuple[Problem, ...] = ()
    stale: bool = False


class Shelf:
    """The files of a directory with all below it, or the one file. ``root`` is as the user wrote it."""

    def __init__(self, root: str, is_directory: bool, kinds: Kinds) -> None:
        self._root = root
        self._is_directory = is_directory
        self._kinds = kinds
        self._marks: dict[str, Mark | None] = {}
        self._pages: dict[str, Page] = {}
        self._lost = ""

    def marks(self) -> tuple[str, dict[str, Mark | None]]:
        """What is to be read now and how it looks from outside; and why the root cannot be read, "" when it can."""
        if not self._is_directory:
            return "", {self._root: _mark(self._root)}
        try:
            return "", {path: _mark(path) for path in sorted(_files(self._root))}
        except OSError as error:
            return _said(error), self._marks

    def changed(self) -> bool:
        """True when ``read`` would read something anew."""
        lost, marks = self.marks()
        return lost != self._lost or marks != self._marks or None in marks.values()

    def forget(self) -> None:
        """Read everything anew next time, changed or not."""
        self._marks = {}

    def read(self) -> dict[str, Page]:
        """Every file's page, by path in alphabetical order; those that did not change are not read again."""
        self._lost, marks = self.marks()
        pages: dict[str, Page] = {}
        for path, mark in marks.items():
            known = self._pages.get(path)
            if known is None or mark is None or self._marks.get(path) != mark:
                known = self._read(path, known)
            pages[path] = known
        self._marks, self._pages = marks, pages
        if self._lost:
            kept = "; what was read from it goes on serving" if pages else ""
            pages = {**pages, "": Page(problems=(Problem("providers.file", f"{self._lost}{kept}", "", self._root),))}
        return pages

    def _read(self, path: str, before: Page | None) -> Page:
        try:
            text = _text(path)
        except (OSError, ValueError) as error:
            return _kept(before, (Problem(path, _said(error), "", path),))
        document = read_document(text, path)
        if document.data is None and document.problems:
            return _kept(before, _named(document.problems, path))
        may = "{{" in text
        configuration, problems = decode_dynamic(document.data, self._kinds, path, document.places, may)
        return Page(configuration, _named((*document.problems, *problems), path))


def _named(problems: tuple[Problem, ...], path: str) -> tuple[Problem, ...]:
    """A problem of the file as a whole has the file for its path."""
    return tuple(p if p.path else msgspec.structs.replace(p, path=path) for p in problems)


def _kept(before: Page | None, problems: tuple[Problem, ...]) -> Page:
    """The last good copy goes on serving."""
    if before is None or before.configuration == DynamicConfiguration():
        return Page(problems=problems, stale=True)
    marked = tuple(
        msgspec.structs.replace(problem, message=f"{problem.message}; its last good copy goes on serving")
        for problem in problems
    )
    return Page(before.configuration, marked, True)


def _text(path: str) -> str:
    """Raises OSError, or ValueError for what is no text."""
    with Path(path).open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is longer than {MOST_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start})") from error


def _said(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror or type(error).__name__}"
    return str(error)


def _mark(path: str) -> Mark | None:
    """What changes when the file does; None: look into it anyway."""
    try:
        status = os.stat(path)
    except OSError as error:
        return (-1, error.errno or 0)
    if abs(time.time() - max(status.st_mtime, status.st_ctime)) < _YOUNG:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _files(directory: str) -> list[str]:
    """All configuration files below a directory. Hidden names are left out: Kubernetes keeps the real files of a
    ConfigMap in some, editors their drafts. Raises OSError when the directory itself cannot be read."""
    return [path for path in _walk(directory, set(), True) if path.lower().endswith(SUFFIXES)]


def _walk(directory: str, seen: set[tuple[int, int]], top: bool) -> Iterator[str]:
    try:
        status = os.stat(directory)
        names = sorted(os.listdir(directory))
    except OSError:
        if top:
            raise
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for name in names:
        path = os.path.join(directory, name)
        if name.startswith("."):
            continue
        if _is_directory(path):
            yield from _walk(path, seen, False)
        else:
            yield path


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        return False
