"""What a daemon last said, on disk: a router that starts while its daemon is away serves that, marked stale.

The file is 0600 and holds facts (names, labels, addresses), never keys and secrets: labels of options that hold one are
left out, so that whatever needs them refuses (500) instead of serving open.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect as shapes

from edgerouter.config.fit import fields_of
from edgerouter.config.types import Problem, Secret
from edgerouter.contracts.snapshot import Snapshot

T = TypeVar("T")
# Beside options typed as secrets: keys and certificates in clear, and what Traefik 1.x called users.
_ALWAYS: Final = frozenset({"users", "basic", "digest", "key", "cert", "password", "secret", "token"})
_DEEPEST: Final = 6


class Kept(msgspec.Struct, frozen=True):
    """The file's content: when it was saved (RFC 3339), and the facts."""

    saved: str
    facts: msgspec.Raw


def secret_words(kinds: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    """The last parts, in lower case, of labels that may hold a secret."""
    found = set(_ALWAYS)
    for table in kinds.values():
        for options in table.values():
            if options is not None:
                _collect(options, found, 0)
    return frozenset(found)


def _collect(cls: type, found: set[str], depth: int) -> None:
    for field in fields_of(cls).values():
        for shape in _parts(field.shape):
            if isinstance(shape, shapes.CustomType) and shape.cls is Secret:
                found.add(field.name.lower())
            elif isinstance(shape, shapes.StructType) and depth < _DEEPEST:
                _collect(shape.cls, found, depth + 1)


def _parts(shape: Any) -> Iterable[Any]:
    """A shape and those within it."""
    yield shape
    inner = [*getattr(shape, "types", ()), getattr(shape, "item_type", None), getattr(shape, "value_type", None)]
    for part in inner:
        if part is not None:
            yield from _parts(part)


def _without(node: Any, words: frozenset[str]) -> Any:
    """Plain data without secret labels, and without what checks printed."""
    if isinstance(node, dict):
        kept = {key: _without(value, words) for key, value in node.items() if key != "last_check"}
        if isinstance(kept.get("labels"), dict):
            kept["labels"] = {key: text for key, text in kept["labels"].items() if not _secret(key, words)}
        return kept
    return [_without(one, words) for one in node] if isinstance(node, (list, tuple)) else node


def _secret(label: str, words: frozenset[str]) -> bool:
    return not words.isdisjoint(part.partition("[")[0] for part in label.lower().split(".")[1:])


def save(file: str, facts: Any, words: frozenset[str]) -> None:
    """Replace the file. Raises OSError."""
    plain = _without(msgspec.to_builtins(facts, str_keys=True), words)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    data = msgspec.json.encode(Kept(now, msgspec.Raw(msgspec.json.encode(plain))))
    path = Path(file)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as opened:
        opened.write(data)
    fresh.rename(path)


def load(file: str, kind: type[T]) -> tuple[T, str] | None:
    """The facts and when they were saved; None where there are none that can be read."""
    try:
        kept = msgspec.json.decode(Path(file).read_bytes(), type=Kept)
        return msgspec.json.decode(kept.facts, type=kind), kept.saved
    except (OSError, msgspec.MsgspecError):
        return None


def marked(snapshot: Snapshot, saved: str, where: str) -> Snapshot:
    """The snapshot with a problem that says how old it is."""
    message = f"the daemon has not answered since the start: what it said until {saved} is served"
    hint = "start the daemon; middlewares with secrets answer 500 until then"
    problem = Problem(where, message, hint, where.partition(".")[2], "warning")
    return msgspec.structs.replace(snapshot, problems=(*snapshot.problems, problem))
