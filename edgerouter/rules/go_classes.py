"""Sets of characters as Go's regular expressions know them: ranges, categories, POSIX names, case folding."""

from __future__ import annotations

import unicodedata
from typing import Final

_CATEGORIES: Final = frozenset(
    {"C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No"}
    | {"P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs"}
)
# Characters whose case variants Python's lower() and upper() do not lead to in both directions (Unicode CaseFolding).
_ORBITS: Final = (
    "kK\u212a", "sS\u017f", "\u00e5\u00c5\u212b", "\u00b5\u039c\u03bc", "\u0392\u03b2\u03d0", "\u0395\u03b5\u03f5",
    "\u0398\u03b8\u03d1\u03f4", "\u0399\u03b9\u0345\u1fbe", "\u039a\u03ba\u03f0", "\u03a0\u03c0\u03d6",
    "\u03a1\u03c1\u03f1", "\u03a3\u03c3\u03c2", "\u03a6\u03c6\u03d5", "\u03a9\u03c9\u2126", "\u00df\u1e9e",
    "\u1e60\u1e61\u1e9b", "\u01c4\u01c5\u01c6", "\u01c7\u01c8\u01c9", "\u01ca\u01cb\u01cc", "\u01f1\u01f2\u01f3",
)  # fmt: skip
_IRREGULAR: Final = {char: orbit for orbit in _ORBITS for char in orbit}
_NOT_FOLDED: Final = "\u0130\u0131"
_POSIX: Final = {
    "alnum": "09AZaz", "alpha": "AZaz", "ascii": "\0\x7f", "blank": "\t\t  ", "cntrl": "\0\x1f\x7f\x7f", "digit": "09",
    "graph": "!~", "lower": "az", "print": " ~", "punct": "!/:@[`{~", "space": "\t\r  ", "upper": "AZ",
    "word": "09AZaz__", "xdigit": "09AFaf",
}  # fmt: skip
_PERL: Final = {"d": "09", "s": "\t\n\f\r  ", "w": "09AZaz__"}


class CharSet:
    """Ranges and inner sets, perhaps negated; ``fold``: a character is in it when one of its case variants is."""

    def __init__(self, fold: bool = False, negated: bool = False) -> None:
        self.fold = fold
        self.negated = negated
        self.ranges: list[tuple[int, int]] = []
        self.inner: list[CharSet] = []
        self.category = ""
        self._ascii = b""  # one byte for each ASCII character, made when first asked

    def add(self, first: int, last: int) -> None:
        """Add the characters from ``first`` to ``last``, both included."""
        self.ranges.append((first, last))

    def has(self, char: str) -> bool:
        """True when the character is in the set; nothing may be added from now on."""
        code = ord(char)
        if code < 128:
            if not self._ascii:
                self._ascii = bytes([self._has(chr(i)) for i in range(128)])
            return self._ascii[code] != 0
        return self._has(char)

    def _has(self, char: str) -> bool:
        if self.fold:
            return any(self._plain(variant) for variant in case_variants(char)) != self.negated
        return self._plain(char) != self.negated

    def only(self) -> str:
        """The single character of the set, "" when there are more or none."""
        if self.fold or self.negated or self.inner or self.category or len(self.ranges) != 1:
            return ""
        first, last = self.ranges[0]
        return chr(first) if first == last else ""

    def _plain(self, char: str) -> bool:
        code = ord(char)
        for first, last in self.ranges:
            if first <= code <= last:
                return True
        if self.category and unicodedata.category(char).startswith(self.category):
            return True
        return any(inner.has(char) for inner in self.inner)


def case_variants(char: str) -> str:
    """The character and all that differ from it in case only."""
    irregular = _IRREGULAR.get(char)
    if irregular is not None:
        return irregular
    if char in _NOT_FOLDED:
        return char
    found = char
    for variant in (char.lower(), char.upper()):
        if len(variant) == 1 and variant not in found and variant not in _NOT_FOLDED:
            found += variant
    return found


def _of(pairs: str, negated: bool) -> CharSet:
    chars = CharSet(negated=negated)
    for i in range(0, len(pairs), 2):
        chars.add(ord(pairs[i]), ord(pairs[i + 1]))
    return chars


def perl_set(letter: str) -> CharSet | None:
    r"""The set of ``\d \s \w`` (ASCII) and their opposites ``\D \S \W``; None for other letters."""
    pairs = _PERL.get(letter.lower())
    return None if pairs is None else _of(pairs, letter.isupper())


def posix_set(name: str) -> CharSet | None:
    """The set of ``alpha``, ``^alpha`` and so on; None for unknown names."""
    pairs = _POSIX.get(name.removeprefix("^"))
    return None if pairs is None else _of(pairs, name.startswith("^"))


def category_set(name: str, negated: bool) -> CharSet | None:
    r"""The set of ``\pL``, ``\p{Lu}``; None for what is no general category, such as a script."""
    if name.startswith("^"):
        name = name[1:]
        negated = not negated
    chars = CharSet(negated=negated)
    if name == "Any":
        chars.add(0, 0x10FFFF)
    elif name in _CATEGORIES:
        chars.category = name
    else:
        return None
    return chars


def newline(negated: bool) -> CharSet:
    """The line feed, or all but it."""
    return _of("\n\n", negated)
