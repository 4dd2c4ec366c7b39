"""Text of a YAML or TOML file -> plain data, the line of every part, and problems. No file is opened here.

YAML 1.1's surprises are left out: unquoted scalars stay as written (``Plain``) until the option's type is known, so
``on``, ``yes`` and ``1:30`` are text. Keys given twice, tags and several documents in a file are refused.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

import msgspec
import yaml

from edgerouter.config.fit import dotted
from edgerouter.config.fit_types import Plain
from edgerouter.config.foreign import said_of_template, template
from edgerouter.config.places import Path, lowered
from edgerouter.config.types import Problem

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STANDARD: Final = "tag:yaml.org,2002:"
_TAGS: Final = frozenset(
    _STANDARD + name for name in ("null", "bool", "int", "float", "str", "timestamp", "map", "seq", "value")
)
_SPARE_NODES: Final = 10_000  # aliases of aliases grow without bound; what is written out is at least a byte each
_DEEPEST: Final = 100  # levels; what reads the data recurses
_TOML_AT: Final = re.compile(r" \(at line (\d+), column \d+\)$")
_TOML_TABLE: Final = re.compile(r"\s*(\[\[?)([^\[\]]+)\]\]?\s*(?:#.*)?")
_TOML_KEY: Final = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_TOML_PART: Final = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


class Document(msgspec.Struct, frozen=True):
    """``data`` is None when the text is empty or cannot be read at all."""

    data: Any
    places: dict[Path, str]
    problems: tuple[Problem, ...] = ()


def read_document(text: str, source: str) -> Document:
    """Read by the ending of ``source``: TOML for ``.toml``, YAML for anything else (JSON is YAML)."""
    document = read_toml(text, source) if source.lower().endswith(".toml") else read_yaml(text, source)
    if document.data is None and document.problems and "{{" in text:
        found = template(text)
        if found is not None:  # what else is wrong comes of it
            line = text.count("\n", 0, found[0]) + 1
            return Document(None, {}, (Problem("", *said_of_template(found[1]), f"{source}:{line}"),))
    return document


def read_yaml(text: str, source: str) -> Document:
    """Never raises for what the text holds."""
    try:
        deep = _too_deep(text)
        if deep:
            return Document(None, {}, (_depth_problem(f"{source}:{deep}"),))
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}" if mark else source
        return Document(None, {}, (Problem("", f"no valid YAML: {error.problem or error.context}", "", place),))
    except (yaml.YAMLError, RecursionError) as error:
        return Document(None, {}, (Problem("", f"no valid YAML: {_first_line(error)}", "", source),))
    reader = _Yaml(source, len(text) + _SPARE_NODES, text)
    data = reader.value(root, ()) if root is not None else None
    return Document(data, reader.places, tuple(reader.problems))


def _too_deep(text: str) -> int:
    """The line where nesting gets too deep, or 0. libyaml's composer recurses in C: depth there ends the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                return int(getattr(event.start_mark, "line", 0)) + 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return 0


def _depth_problem(place: str) -> Problem:
    return Problem("", f"more than {_DEEPEST} levels of nesting", "", place)


def _is_deep(data: Any) -> bool:
    level = [data]
    for _ in range(_DEEPEST + 1):
        level = [item for node in level if isinstance(node, (dict, list)) for item in _children(node)]
        if not level:
            return False
    return True


def _children(node: Any) -> Any:
    return node.values() if isinstance(node, dict) else node


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _scalar(node: Any) -> str | None:
    if node.tag == _STANDARD + "null":
        return None
    return str(node.value) if node.style or node.tag == _STANDARD + "str" else Plain(node.value)


def _is_braces(node: Any) -> bool:
    """``{{ env "X" }}`` without quotes, which is YAML for names that are no text."""
    if not isinstance(node, yaml.MappingNode) or not node.flow_style or len(node.value) != 1:
        return False
    key = node.value[0][0]
    return isinstance(key, yaml.MappingNode) and bool(key.flow_style)


class _Yaml:
    """Turns composed nodes into data."""

    def __init__(self, source: str, most: int, text: str) -> None:
        self.source = source
        self.text = text
        self.most = most
        self.places: dict[Path, str] = {}
        self.problems: list[Problem] = []
        self.nodes = 0
        self.open: list[Any] = []

    def problem(self, path: Path, node: Any, message: str, hint: str = "") -> None:
        self.problems.append(Problem(dotted(path), message, hint, self.place(node)))

    def place(self, node: Any) -> str:
        return f"{self.source}:{node.start_mark.line + 1}"

    def value(self, node: Any, path: Path) -> Any:
        self.nodes += 1
        if any(node is around for around in self.open):
            self.problem(path, node, "an alias names what it stands in")
            return None
        if self.nodes > self.most:
            if self.nodes == self.most + 1:
                self.problem(path, node, f"more than {self.most} values, aliases counted")
            return None
        if node.tag not in _TAGS:
            self.problem(path, node, f"the tag {node.tag[:60]} means nothing here", "leave it out")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if _is_braces(node):
            return self.text[node.start_mark.index : node.end_mark.index]
        self.open.append(node)
        made = self.mapping(node, path) if isinstance(node, yaml.MappingNode) else self.items(node, path)
        self.open.pop()
        return made

    def items(self, node: Any, path: Path) -> list[Any]:
        made = []
        for index, item in enumerate(node.value):
            at = (*path, f"[{index}]")
            self.places[lowered(at)] = self.place(item)
            made.append(self.value(item, at))
        return made

    def mapping(self, node: Any, path: Path) -> dict[str, Any]:
        made: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, item in node.value:
            if key.tag == _STANDARD + "merge":
                self.merge(item, path, merged)
            elif not isinstance(key, yaml.ScalarNode):
                self.problem(path, key, "a name must be text")
            elif key.value in made:
                first = self.places[lowered((*path, key.value))]
                self.problem((*path, key.value), key, f"{key.value!r} is given twice, first at {first}", "remove one")
            else:
                self.places[lowered((*path, key.value))] = self.place(key)
                made[key.value] = self.value(item, (*path, key.value))
        return {**merged, **made}

    def merge(self, node: Any, path: Path, merged: dict[str, Any]) -> None:
        """``<<: *other`` or a list of such; what comes first wins."""
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            values = self.value(part, path)
            if not isinstance(values, dict):
                self.problem(path, part, "<< takes names with values only")
                continue
            for key, item in values.items():
                merged.setdefault(key, item)


def read_toml(text: str, source: str) -> Document:
    """Never raises for what the text holds."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        message = _first_line(error)
        at = _TOML_AT.search(message)
        place = f"{source}:{at.group(1)}" if at else source
        message = message[: at.start()] if at else message
        return Document(None, {}, (Problem("", f"no valid TOML: {message}", "", place),))
    if _is_deep(data):
        return Document(None, {}, (_depth_problem(source),))
    return Document(data, _toml_places(text, source))


def _toml_places(text: str, source: str) -> dict[Path, str]:
    """Lines of keys and tables as far as one look at each line tells them (texts over several lines are not known)."""
    places: dict[Path, str] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = _TOML_TABLE.fullmatch(line)
        key = _TOML_KEY.match(line)
        at = table
        if header is not None:
            at = table = _indexed(_toml_path(header.group(2)), header.group(1) == "[[", counts)
        elif key is not None:
            at = (*table, *_toml_path(key.group(1)))
        for length in range(1, len(at) + 1):
            places.setdefault(lowered(at[:length]), f"{source}:{number}")
    return places


def _toml_path(text: str) -> Path:
    return tuple(part.strip("\"'") for part in _TOML_PART.findall(text))


def _indexed(path: Path, array: bool, counts: dict[Path, int]) -> Path:
    """A table's path with the index of the last element of every array of tables on the way."""
    full: Path = ()
    for position, part in enumerate(path):
        full = (*full, part)
        if array and position == len(path) - 1:
            counts[full] = counts.get(full, -1) + 1
        if full in counts:
            full = (*full, f"[{counts[full]}]")
    return full
