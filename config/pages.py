"""The reference page of a middleware, in Markdown, made of its docstring and its options. Text only.

The docstring of a middleware's file is the source: the first line is ``name: what it does``, paragraphs follow; a block
that begins with ``labels:`` holds example labels, one that begins with ``http:`` an example file. Other indented
blocks stay as they are. The table of options comes from the options class, its texts are the fields' comments.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

import msgspec

from edgerouter.config.describe import Option, options_of

_LABEL: Final = re.compile(r"^\s*(?:labels:\s*)?(edgerouter\.\S+?=.*)$")
_FIRST: Final = re.compile(r"^(\w+): *(.*)$", re.S)
ANNOTATION: Final = "edgerouter.ingress.kubernetes.io/router.middlewares"


class Manual(msgspec.Struct, frozen=True):
    """A docstring taken apart. ``text`` is Markdown; ``labels`` are ``name=value``; ``example`` is YAML."""

    name: str
    summary: str
    text: str
    labels: tuple[str, ...]
    example: str


def read_manual(docstring: str, with_labels: bool = True) -> Manual:
    """Take a docstring apart. Raises ValueError that says what is missing; ``with_labels`` False: none are needed."""
    text: list[str] = []
    labels: list[str] = []
    example: list[str] = []
    first, *blocks = re.split(r"\n\s*\n", dedent(docstring.strip("\n")).strip())
    head = _FIRST.match(first)
    if head is None:
        raise ValueError(f"a middleware's docstring begins with its name and a colon, this one with {first[:40]!r}")
    for block in blocks:
        if example or block.strip().startswith("http:"):
            example.append(block)
        elif block.strip().startswith("labels:"):
            labels += _labels(block)
        else:
            text.append(_markdown(block))
    if (with_labels and not labels) or not example:
        raise ValueError(f"{head[1]}: the docstring needs an example under labels: and one under http:")
    return Manual(head[1], _one_line(head[2]), "\n\n".join(text), tuple(labels), dedent("\n\n".join(example)).strip())


def _labels(block: str) -> list[str]:
    found = [_LABEL.match(line) for line in block.splitlines()]
    return [match[1].strip() for match in found if match is not None]


def _markdown(block: str) -> str:
    """Paragraphs with Markdown's code marks; lines that are indented are code."""
    if not block.startswith(" ") and "\n  " not in block:
        return _marks(block)
    head = [] if block.startswith(" ") else [block.partition("\n")[0]]
    code = block if not head else block.partition("\n")[2]
    prose: list[str] = []
    while code and not code.startswith(" "):
        line, _, code = code.partition("\n")
        prose.append(line)
    words = _marks("\n".join([*head, *prose]))
    return (f"{words}\n\n" if words else "") + f"```\n{dedent(code)}\n```"


def _marks(text: str) -> str:
    return text.replace("``", "`")


def _one_line(text: str) -> str:
    sentence = " ".join(_marks(text).split())
    return sentence[:1].upper() + sentence[1:]


def page(docstring: str, options: type | None) -> str:
    """The page of one middleware."""
    manual = read_manual(docstring)
    middleware = example_name(manual)
    labels = "\n".join(f"  - {msgspec.json.encode(label).decode()}" for label in manual.labels)
    parts = [
        f"# {manual.name}\n\n{manual.summary}",
        manual.text,
        f"## Options\n\n{_table(options)}",
        f"## Labels\n\n```yaml\nlabels:\n{labels}\n```",
        f"## File\n\n```yaml\n{manual.example}\n```",
        f"## Kubernetes annotation\n\nAn Ingress uses the middleware of the file above:\n\n```yaml\nmetadata:\n"
        f"  annotations:\n    {ANNOTATION}: {middleware}@file\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def example_name(manual: Manual) -> str:
    """The name that the example file gives its middleware."""
    found = re.search(r"^\s*middlewares:\s*\n\s*([\w-]+):", manual.example, re.M)
    if found is None:
        raise ValueError(f"{manual.name}: the example has no middleware under http.middlewares")
    return found[1]


def _table(options: type | None) -> str:
    rows = ["| option | is | default | |", "|---|---|---|---|"]
    listed = list(options_of(options)) if options is not None else []
    return "\n".join(rows + [_row(option) for option in listed]) if listed else "None."


def _row(option: Option) -> str:
    default = f"`{option.default}`" if option.default else ""
    cells = (f"`{option.name}`", option.type, default, _marks(option.text))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def index(docstrings: Mapping[str, str]) -> str:
    """The page that lists all pages: name -> docstring."""
    rows = [f"| [{name}]({name}.md) | {read_manual(text).summary} |" for name, text in sorted(docstrings.items())]
    return "\n".join(["# HTTP middlewares\n", _INDEX, "| name | |", "|---|---|", *rows]) + "\n"


_INDEX: Final = (
    "Made from the middlewares' own docstrings and options by `edgerouter docs --write docs/reference/middlewares`;\n"
    "`edgerouter docs NAME` prints one. Options are written in any case in labels, and as here in files.\n"
)


def service_page(docstring: str, options: type | None) -> str:
    """The page of one kind of service; those that combine services have no labels."""
    manual = read_manual(docstring, False)
    labels = "\n".join(f"  - {msgspec.json.encode(label).decode()}" for label in manual.labels)
    parts = [
        f"# {manual.name}\n\n{manual.summary}",
        manual.text,
        f"## Options\n\n{_table(options)}",
        f"## Labels\n\n```yaml\nlabels:\n{labels}\n```" if labels else "",
        f"## File\n\n```yaml\n{manual.example}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def service_pages(plugins: Mapping[str, Any]) -> dict[str, str]:
    """The same as ``pages`` for kinds of services."""
    documents = {name: module_docstring(plugin.cls) for name, plugin in plugins.items()}
    made = {f"{name}.md": service_page(text, plugins[name].options) for name, text in documents.items()}
    rows = [f"| [{name}]({name}.md) | {read_manual(text, False).summary} |" for name, text in sorted(documents.items())]
    return {**made, "README.md": "\n".join(["# HTTP services\n", _SERVICES, "| name | |", "|---|---|", *rows]) + "\n"}


_SERVICES: Final = (
    "Made from the services' own docstrings and options by `edgerouter docs --write docs/reference/services`;\n"
    "`edgerouter docs NAME` prints one.\n"
)


def pages(plugins: Mapping[str, Any]) -> dict[str, str]:
    """File name -> text, for registry entries by name (their ``cls`` and ``options``)."""
    documents = {name: module_docstring(plugin.cls) for name, plugin in plugins.items()}
    made = {f"{name}.md": page(text, plugins[name].options) for name, text in documents.items()}
    return {**made, "README.md": index(documents)}


def module_docstring(cls: type) -> str:
    """The docstring of the file that a class stands in; a compiled one's is in its source, which is installed too."""
    module = import_module(cls.__module__)
    if module.__doc__:
        return module.__doc__
    source = Path(str(module.__file__)).with_name(f"{cls.__module__.rpartition('.')[2]}.py")
    return ast.get_docstring(ast.parse(source.read_text(encoding="utf-8")), clean=False) or ""
