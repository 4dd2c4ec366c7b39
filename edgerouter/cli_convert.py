"""The command ``edgerouter convert``: files and labels of Traefik 1.x and 2.x in today's form. Nothing may import this
file but ``cli``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from edgerouter.config import convert
from edgerouter.config.documents import read_toml

_USAGE: Final = """\
Usage: edgerouter convert [FILE]... [--name=NAME]

Prints files, or what comes in on standard input (also as -), in today's form: dynamic configuration of Traefik 1.x and
2.x (TOML, YAML), Compose and stack files with labels, Ingresses of older API versions, lines of label=value. What was
changed is said on standard error, one line each. Comments are not kept; nothing is overwritten.

    --name=web    what a workload is called whose labels do not say it
"""


def run(arguments: Sequence[str]) -> int:
    """Exit code 0: converted (or nothing to do); 1: something has no counterpart; 2: wrong arguments, unreadable."""
    name, files = "web", []
    for word in arguments:
        if word.startswith("--name="):
            name = word.partition("=")[2]
        elif word.startswith("-") and word != "-":
            print(f"edgerouter convert: there is no flag {word}\n{_USAGE}", file=sys.stderr, end="")
            return 2
        else:
            files.append(word)
    codes = [_one(file, name, len(files) > 1) for file in files or ["-"]]
    return max(codes)


def _one(file: str, name: str, titled: bool) -> int:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        notes, printed = _converted(text, file, name)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        print(f"edgerouter convert: {file}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if titled:
        print(f"# {file}")
    print(printed, end="")
    for note in notes:
        print(f"edgerouter convert: {file}: {note}", file=sys.stderr)
    return 1 if any(": now " not in note and "says so" not in note for note in notes) else 0


def _converted(text: str, file: str, name: str) -> tuple[tuple[str, ...], str]:
    """Notes, and the text to print. Raises ValueError for a file that cannot be read."""
    plain = convert.lines(text) if not file.endswith(".toml") else None
    if plain is not None:
        found = convert.labels(plain, name)
        return found.notes, "".join(f"{label}={value}\n" for label, value in found.data.items())
    documents = _toml(text, file) if _is_toml(text, file) else list(yaml.safe_load_all(text))
    made = [convert.document(data) for data in documents if data is not None]
    return convert.join(made), yaml.safe_dump_all([one.data for one in made], sort_keys=False, allow_unicode=True)


def _is_toml(text: str, file: str) -> bool:
    starts = (line.strip() for line in text.splitlines())
    return file.endswith(".toml") or (
        file == "-" and any(line.startswith("[") and line.endswith("]") for line in starts)
    )


def _toml(text: str, file: str) -> list[Any]:
    document = read_toml(text, file)
    if document.problems:
        raise ValueError(document.problems[0].message)
    return [document.data]
