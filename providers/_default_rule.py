"""The default rule's template: the small part of Go's templates that such rules use, with the functions of Sprig.

``Host(`{{ normalize .Name }}`)``, ``{{ index .Labels "customLabel" }}``, ``{{ .Name | trimPrefix "/" | lower }}``.
A template is parsed once; rendering is pure. No statements (if, range, with): a rule that needs one is a label's work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<field>\.[A-Za-z0-9_.]*)|(?P<word>[A-Za-z][A-Za-z0-9]*)"""
    r"""|(?P<number>-?\d+)|(?P<sign>[()|]))"""
)
_ACTION: Final = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_WORD_RUN: Final = re.compile(r"[\W_]+")

Value = Any
Step = Callable[[Mapping[str, Value]], Value]


class TemplateError(ValueError):
    """The template cannot be used; the message says where and why."""


def normalize(name: str) -> str:
    """Return ``name`` with every run of characters that are neither letters nor digits as one ``-``."""
    return _WORD_RUN.sub("-", name).strip("-")


def _split(separator: str, text: str) -> dict[str, str]:
    return {f"_{number}": part for number, part in enumerate(text.split(separator))}


def _index(source: Value, *keys: Value) -> Value:
    for key in keys:
        if isinstance(source, Mapping):
            source = source.get(key, "")
        elif isinstance(source, list) and isinstance(key, int) and 0 <= key < len(source):
            source = source[key]
        else:
            raise TemplateError(f"index: there is no {key!r}")
    return source


def _regex_replace(pattern: str, text: str, new: str) -> str:
    return re.sub(pattern, re.sub(r"\$\{?(\w+)\}?", r"\\g<\1>", new), text)


# Sprig's argument order: what is worked on comes last, so that it can be piped in.
FUNCTIONS: Final[dict[str, Callable[..., Value]]] = {
    "normalize": normalize,
    "index": _index,
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: text.title(),
    "trim": lambda text: text.strip(),
    "trimPrefix": lambda prefix, text: text.removeprefix(prefix),
    "trimSuffix": lambda suffix, text: text.removesuffix(suffix),
    "trimAll": lambda characters, text: text.strip(characters),
    "replace": lambda old, new, text: text.replace(old, new),
    "split": _split,
    "splitList": lambda separator, text: text.split(separator),
    "join": lambda separator, parts: separator.join(parts),
    "first": lambda parts: parts[0] if parts else "",
    "last": lambda parts: parts[-1] if parts else "",
    "default": lambda fallback, value="": value or fallback,
    "coalesce": lambda *values: next((value for value in values if value), ""),
    "trunc": lambda size, text: text[:size] if size >= 0 else text[size:],
    "substr": lambda start, end, text: text[start : end if end >= 0 else None],
    "print": lambda *values: "".join(str(value) for value in values),
    "printf": lambda form, *values: form.replace("%v", "%s").replace("%q", '"%s"') % values,
    "regexReplaceAll": _regex_replace,
}


class _Parser:
    """Recursive descent over one action: pipeline := command ('|' command)*; command := word operand* | operand."""

    def __init__(self, source: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while source[at:].strip():
            found = _TOKEN.match(source, at)
            if found is None:
                raise TemplateError(f"cannot read {source[at:].strip()!r}")
            self.tokens.append((str(found.lastgroup), found.group(str(found.lastgroup))))
            at = found.end()
        self.at = 0

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def take(self) -> tuple[str, str]:
        token = self.peek()
        self.at += 1
        return token

    def pipeline(self) -> Step:
        step = self.command(None)
        while self.peek() == ("sign", "|"):
            self.take()
            step = self.command(step)
        return step

    def command(self, piped: Step | None) -> Step:
        kind, text = self.peek()
        if kind == "word" and text not in ("true", "false"):
            self.take()
            return self.call(text, piped)
        if piped is not None:
            raise TemplateError(f"after '|' a function is expected, not {text!r}")
        return self.operand()

    def call(self, name: str, piped: Step | None) -> Step:
        function = FUNCTIONS.get(name)
        if function is None:
            raise TemplateError(f"there is no function {name!r}; known are {', '.join(sorted(FUNCTIONS))}")
        arguments: list[Step] = []
        while self.peek()[0] != "end" and self.peek()[1] not in (")", "|"):
            arguments.append(self.word_or_operand())
        if piped is not None:
            arguments.append(piped)
        return lambda scope: _apply(name, function, [argument(scope) for argument in arguments])

    def word_or_operand(self) -> Step:
        if self.peek()[0] == "word" and self.peek()[1] not in ("true", "false"):
            return self.call_alone(self.take()[1])
        return self.operand()

    def call_alone(self, name: str) -> Step:
        raise TemplateError(f"{name!r} as an argument needs parentheses: ({name} ...)")

    def operand(self) -> Step:
        kind, text = self.take()
        if kind == "text":
            literal = text[1:-1] if text[0] == "`" else text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
            return lambda scope: literal
        if kind == "number":
            number = int(text)
            return lambda scope: number
        if kind == "word":
            return lambda scope: text == "true"
        if kind == "field":
            return _field(text)
        if text == "(":
            return self.group()
        raise TemplateError(f"a value is expected, not {text or 'the end'!r}")

    def group(self) -> Step:
        inner = self.pipeline()
        if self.take()[1] != ")":
            raise TemplateError("a parenthesis is not closed")
        if self.peek()[0] == "field":
            outer = _field(self.take()[1])
            return lambda scope: outer(inner(scope))
        return inner


def _field(text: str) -> Step:
    names = [name for name in text.split(".") if name]

    def read(scope: Mapping[str, Value]) -> Value:
        value: Value = scope
        for name in names:
            if not isinstance(value, Mapping) or name not in value:
                raise TemplateError(f"there is no .{name}; known are .Name, .ContainerName and .Labels")
            value = value[name]
        return value

    return read


def _apply(name: str, function: Callable[..., Value], values: list[Value]) -> Value:
    try:
        return function(*values)
    except TemplateError:
        raise
    except (TypeError, AttributeError, IndexError, re.error, ValueError) as error:
        raise TemplateError(f"{name}: these arguments do not fit: {error}") from error


class Template:
    """A parsed template; raises TemplateError when it cannot be read."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._parts: list[str | Step] = []
        at = 0
        trim = False
        for action in _ACTION.finditer(source):
            text = source[at : action.start()]
            text = text.lstrip() if trim else text
            self._parts.append(text.rstrip() if action.group(1) else text)
            self._parts.append(_parse(action.group(2)))
            trim = bool(action.group(3))
            at = action.end()
        rest = source[at:]
        if "{{" in rest:
            raise TemplateError("'{{' is not closed by '}}'")
        self._parts.append(rest.lstrip() if trim else rest)

    def render(self, scope: Mapping[str, Value]) -> str:
        """Return the text for ``{"Name": ..., "ContainerName": ..., "Labels": {...}}``; raises TemplateError."""
        return "".join(part if isinstance(part, str) else str(part(scope)) for part in self._parts)


def _parse(source: str) -> Step:
    parser = _Parser(source)
    step = parser.pipeline()
    if parser.peek()[0] != "end":
        raise TemplateError(f"cannot read {parser.peek()[1]!r} in '{{{{{source}}}}}'")
    return step
