"""Go's regular expressions: the one place that decides which engine runs them. Neither can be made to backtrack.

The automaton of ``go_automaton`` runs nearly all: compiled, it costs less than the crossing into RE2 on texts as short
as hosts and paths. RE2, where it is installed (extra ``re2``), runs what the automaton does not know (scripts such as
Greek, very large patterns) and long texts.

Texts are as requests carry them: one character a byte (latin-1), the bytes being UTF-8.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from mypy_extensions import mypyc_attr

from edgerouter.errors import BadRequest
from edgerouter.rules.error import ArgumentError
from edgerouter.rules.go_automaton import Automaton
from edgerouter.rules.go_program import literal_prefix, literal_suffix, make_program
from edgerouter.rules.go_spans import Spans
from edgerouter.rules.go_syntax import RegexError, UnsupportedError, parse
from edgerouter.rules.go_template import expand
from edgerouter.rules.text import as_carried, from_carried

_EFFORT: Final = 50_000  # characters to be looked at in one replacement, a few milliseconds; any pattern on 300
_EFFORT_EACH: Final = 16  # and so often each character of the text
_LARGE: Final = 500  # instructions from which RE2, where it is installed, is taken instead
_LONG: Final = 2048  # characters from which RE2, where it is installed, is asked instead


def _find_re2() -> Any:
    try:
        return import_module("re2")
    except ImportError:
        return None


class _Installed:
    def __init__(self) -> None:
        self.re2: Any = _find_re2()  # None where it is not installed


_installed: Final = _Installed()


@mypyc_attr(allow_interpreted_subclasses=True)
class GoRegex:
    """A compiled pattern. ``names`` are the groups' names, group 0 first, "" where a group has none.

    ``prefix``: the text is known to begin so when it matches; "" when nothing is known.
    """

    def __init__(self, pattern: str, names: list[str], prefix: str = "") -> None:
        self.pattern = pattern
        self.names = names
        self.prefix = prefix

    def search(self, text: str) -> bool:
        """True when some part of the text matches."""
        return False

    def find(self, text: str, start: int = 0) -> list[int] | None:
        """Flattened begin and end of group 0, 1 ... (-1: took no part) of the leftmost match from ``start`` on.

        The text, as the offsets, is Unicode here: see ``replace`` for carried text.
        """
        return None

    def search_any(self, texts: list[str]) -> bool:
        """True when one of the texts matches."""
        for text in texts:  # noqa: SIM110 (a generator a request would cost more)
            if self.search(text):
                return True
        return False

    def effort(self) -> int:
        """Characters that ``find`` has looked at so far, where that is known."""
        return 0

    def replace(self, text: str, template: str) -> str:
        """Replace every match as Go's ``ReplaceAllString``: ``$1``, ``${name}``, ``$$`` in the template. Raises
        BadRequest where a search for each match (``a*b|a`` in many a's) would take time in the square of the text."""
        plain = from_carried(text)
        most = self.effort() + _EFFORT + _EFFORT_EACH * len(plain)
        parts: list[str] = []
        done = 0
        start = 0
        last_end = -1
        while start <= len(plain):
            spans = self.find(plain, start)
            if spans is None:
                break
            if self.effort() > most:
                raise BadRequest(f"too many steps for the pattern {self.pattern!r}", "BAD_REQUEST_PATH")
            begin, end = spans[0], spans[1]
            if begin != end or begin != last_end:
                parts.append(plain[done:begin])
                parts.append(expand(template, plain, spans, self.names))
                done = end
            last_end = end
            start = end if end > begin and end > start else end + 1
        return as_carried("".join(parts) + plain[done:]) if parts else text


class _Linear(GoRegex):
    def __init__(self, pattern: str) -> None:
        parsed = parse(pattern)
        program = make_program(parsed)
        super().__init__(pattern, parsed.names, literal_prefix(parsed.tree))
        self.size = program.here()
        self._head = as_carried(self.prefix)
        self._tail = as_carried(literal_suffix(parsed.tree))
        self._automaton = Automaton(program)
        self._spans = Spans(program)
        self._long: GoRegex | None = None

    def search(self, text: str) -> bool:
        if not text.startswith(self._head) or not text.endswith(self._tail):
            return False
        if len(text) > _LONG and _installed.re2 is not None:
            if self._long is None:
                self._long = _Re2(self.pattern)
            return self._long.search(text)
        return self._automaton.search(text if text.isascii() else from_carried(text))

    def find(self, text: str, start: int = 0) -> list[int] | None:
        return self._spans.find(text, start)

    def effort(self) -> int:
        return self._spans.looked_at


class _Re2(GoRegex):
    def __init__(self, pattern: str) -> None:
        options = _installed.re2.Options()
        options.log_errors = False
        try:
            self._regex: Any = _installed.re2.compile(pattern.encode(), options)
            self._text_regex: Any = _installed.re2.compile(pattern, options)
        except _installed.re2.error as fault:
            text = fault.args[0].decode("utf-8", "replace") if isinstance(fault.args[0], bytes) else str(fault)
            raise RegexError(text, 0) from None
        names = [""] * (self._regex.groups + 1)
        for name, number in self._text_regex.groupindex.items():
            names[number] = name
        super().__init__(pattern, names)

    def search(self, text: str) -> bool:
        return self._regex.search(text.encode("latin-1", "replace")) is not None

    def find(self, text: str, start: int = 0) -> list[int] | None:
        found = self._text_regex.search(text, start)
        if found is None:
            return None
        return [offset for number in range(len(self.names)) for offset in found.span(number)]


def compile(pattern: str, index: int = 0) -> GoRegex:
    """Return the compiled pattern. Raises ArgumentError (a ValueError) with the place in the pattern; ``index`` is
    the matcher's argument that the pattern is."""
    try:
        try:
            regex = _Linear(pattern)
            return regex if _installed.re2 is None or regex.size <= _LARGE else _Re2(pattern)
        except UnsupportedError:
            if _installed.re2 is None:
                raise
            return _Re2(pattern)
    except RegexError as fault:
        raise ArgumentError(f"not a Go regular expression: {fault.message}", index, fault.position) from fault
