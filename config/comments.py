"""The one line of help of every option: the comment behind its field, or above it, read from the class's source.

An annotation ``msgspec.Meta(description=...)`` would do the same at run time; a comment is what people write.
"""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from typing import Final

_BEHIND: Final = re.compile(r"""  #\s(?P<text>[^'"]*|.*)$""")


@cache
def field_comments(cls: type) -> dict[str, str]:
    """Field's own name -> its comment; fields without one, and classes without source, are left out."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] != "msgspec" and base is not object:
            found.update(_own(base))
    return found


def _own(cls: type) -> dict[str, str]:
    try:
        source = inspect.getsource(cls)
    except (OSError, TypeError):
        return {}
    lines = inspect.cleandoc("\n" + source).splitlines() if source[:1].isspace() else source.splitlines()
    body = ast.parse("\n".join(lines)).body[0]
    found: dict[str, str] = {}
    for statement in body.body if isinstance(body, ast.ClassDef) else []:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = _behind(lines, statement) or _above(lines, statement.lineno - 1)
            if text:
                found[statement.target.id] = text
    return found


def _behind(lines: list[str], statement: ast.AnnAssign) -> str:
    last = (statement.end_lineno or statement.lineno) - 1
    rest = lines[last].encode()[statement.end_col_offset or 0 :].decode()
    at = _BEHIND.match(rest)
    return at.group("text").strip() if at else ""


def _above(lines: list[str], index: int) -> str:
    """All comment lines that touch the field from above, as one."""
    found: list[str] = []
    while index > 0 and lines[index - 1].strip().startswith("#"):
        index -= 1
        found.insert(0, lines[index].strip().lstrip("# "))
    return " ".join(found)
