"""The text of a Go regular expression to a tree. Go's syntax is RE2's: no look-ahead, no back-references.

Source: the documentation of Go's package ``regexp/syntax``. What the tree means is ``go_program``'s business.
"""

from __future__ import annotations

from typing import Final

from edgerouter.rules.go_classes import CharSet, case_variants, category_set, newline, perl_set, posix_set

CHARS: Final = 0  # one character of ``chars``
EMPTY: Final = 1  # an assertion, ``low`` says which
SEQUENCE: Final = 2
CHOICE: Final = 3
REPEAT: Final = 4  # ``low`` to ``high`` times (high -1: no bound)
GROUP: Final = 5  # capturing, ``low`` is its number

BEGIN_TEXT: Final = 1
END_TEXT: Final = 2
BEGIN_LINE: Final = 4
END_LINE: Final = 8
BOUNDARY: Final = 16
NO_BOUNDARY: Final = 32

_MOST_TIMES: Final = 1000
_DEEPEST: Final = 200
_PLAIN_ESCAPES: Final = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ASSERTIONS: Final = {"A": BEGIN_TEXT, "z": END_TEXT, "b": BOUNDARY, "B": NO_BOUNDARY}
_ONLY_FLAGS: Final = -1
_NOT_CAPTURED: Final = -2
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_OCTAL: Final = frozenset("01234567")
_ADVICE: Final = {
    "(?=": "look-ahead does not exist in Go's regular expressions; combine two matchers with && instead",
    "(?!": "look-ahead does not exist in Go's regular expressions; combine two matchers with && ! instead",
    "(?<=": "look-behind does not exist in Go's regular expressions",
    "(?<!": "look-behind does not exist in Go's regular expressions",
    "(?>": "atomic groups do not exist in Go's regular expressions, and are not needed: nothing backtracks",
    "(?P=": "back-references do not exist in Go's regular expressions",
    "(?#": "comments do not exist in Go's regular expressions",
}


class RegexError(ValueError):
    """A pattern that Go would refuse; ``position`` counts characters from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


class UnsupportedError(RegexError):
    """A pattern that may be right, but that only RE2 itself can run."""


class Tree:
    """One node; which attributes count depends on ``kind``."""

    def __init__(self, kind: int, parts: list[Tree] | None = None, low: int = 0, high: int = 0) -> None:
        self.kind = kind
        self.parts: list[Tree] = [] if parts is None else parts
        self.low = low
        self.high = high
        self.greedy = True
        self.chars: CharSet | None = None


class Pattern:
    """``names`` holds the groups' names, "" where a group has none; group 0 is the whole match."""

    def __init__(self, tree: Tree, names: list[str]) -> None:
        self.tree = tree
        self.names = names


class _Flags:
    def __init__(self) -> None:
        self.fold = False
        self.multiline = False
        self.dot_all = False
        self.ungreedy = False

    def copy(self) -> _Flags:
        flags = _Flags()
        flags.fold, flags.multiline = self.fold, self.multiline
        flags.dot_all, flags.ungreedy = self.dot_all, self.ungreedy
        return flags

    def set(self, letter: str, value: bool) -> bool:
        if letter == "i":
            self.fold = value
        elif letter == "m":
            self.multiline = value
        elif letter == "s":
            self.dot_all = value
        elif letter == "U":
            self.ungreedy = value
        else:
            return False
        return True


def parse(pattern: str) -> Pattern:
    """Return the tree; raises RegexError, or UnsupportedError."""
    parser = _Parser(pattern)
    tree = parser.choice(0)
    if parser.position < len(pattern):
        raise RegexError("a closing parenthesis without an opening one", parser.position)
    _check_repeats(tree, _MOST_TIMES)
    return Pattern(tree, parser.names)


def _check_repeats(tree: Tree, left: int) -> None:
    """Nested counts multiply; Go refuses more than 1000 copies in all."""
    if tree.kind == REPEAT:
        times = max(tree.low, tree.high)
        if times > left:
            raise RegexError(f"more than {_MOST_TIMES} repetitions, nested ones multiplied", 0)
        if times > 1:
            left //= times
    for part in tree.parts:
        _check_repeats(part, left)


def _chars(chars: CharSet) -> Tree:
    tree = Tree(CHARS)
    tree.chars = chars
    return tree


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and (len(text) == 1 or text[0] != "0")


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.names: list[str] = [""]
        self.flags = _Flags()

    # -- structure ----------------------------------------------------------------------------------------------

    def choice(self, depth: int) -> Tree:
        """Alternatives up to the end of the group."""
        if depth > _DEEPEST:
            raise RegexError("groups are nested too deeply", self.position)
        parts = [self.sequence(depth)]
        while self.text.startswith("|", self.position):
            self.position += 1
            parts.append(self.sequence(depth))
        return parts[0] if len(parts) == 1 else Tree(CHOICE, parts)

    def sequence(self, depth: int) -> Tree:
        parts: list[Tree] = []
        while self.position < len(self.text) and self.text[self.position] not in "|)":
            if self.text.startswith("\\Q", self.position):
                self.quoted(parts)
            elif self.repeat_here() is not None:
                if parts:  # only flags stand between, as in a(?i)*
                    parts.append(self.repeated(parts.pop()))
                    continue
                raise RegexError("nothing stands before this operator that it could repeat", self.position)
            else:
                atom = self.atom(depth)
                if atom is not None:
                    parts.append(self.repeated(atom))
        return parts[0] if len(parts) == 1 else Tree(SEQUENCE, parts)

    def quoted(self, parts: list[Tree]) -> None:
        end = self.text.find("\\E", self.position)
        literal = self.text[self.position + 2 : len(self.text) if end < 0 else end]
        self.position = len(self.text) if end < 0 else end + 2
        for char in literal:
            parts.append(self.literal(char))
        if literal:
            parts.append(self.repeated(parts.pop()))

    def repeated(self, atom: Tree) -> Tree:
        bounds = self.repeat_here()
        if bounds is None:
            return atom
        low, high, end = bounds
        if low > _MOST_TIMES or high > _MOST_TIMES or (high >= 0 and low > high):
            raise RegexError(f"a repetition goes up to {_MOST_TIMES}, the smaller number first", self.position)
        tree = Tree(REPEAT, [atom], low, high)
        lazy = self.text.startswith("?", end)
        tree.greedy = lazy == self.flags.ungreedy
        self.position = end + 1 if lazy else end
        if self.repeat_here() is not None:
            raise RegexError("a repetition of a repetition; put the inner one in a group", self.position)
        return tree

    def repeat_here(self) -> tuple[int, int, int] | None:
        """Least, most and the offset behind the operator; None when there is no operator here."""
        char = self.text[self.position : self.position + 1]
        if char == "*":
            return (0, -1, self.position + 1)
        if char == "+":
            return (1, -1, self.position + 1)
        if char == "?":
            return (0, 1, self.position + 1)
        return self.counted() if char == "{" else None

    def counted(self) -> tuple[int, int, int] | None:
        end = self.text.find("}", self.position)
        if end < 0:
            return None
        least, comma, most = self.text[self.position + 1 : end].partition(",")
        if not _is_number(least) or (most and not _is_number(most)):
            return None
        low = min(int(least[:6]), _MOST_TIMES + 1)
        high = min(int(most[:6]), _MOST_TIMES + 1) if most else -1
        return (low, high if comma else low, end + 1)

    # -- atoms --------------------------------------------------------------------------------------------------

    def atom(self, depth: int) -> Tree | None:
        """One atom; None when only flags were set."""
        char = self.text[self.position]
        if char == "(":
            return self.group(depth)
        if char == "[":
            return _chars(self.char_class())
        if char == "\\":
            return self.escape()
        self.position += 1
        if char == ".":
            return _chars(CharSet(negated=True) if self.flags.dot_all else newline(True))
        if char == "^":
            return Tree(EMPTY, None, BEGIN_LINE if self.flags.multiline else BEGIN_TEXT)
        if char == "$":
            return Tree(EMPTY, None, END_LINE if self.flags.multiline else END_TEXT)
        return self.literal(char)

    def literal(self, char: str) -> Tree:
        chars = CharSet(fold=self.flags.fold and len(case_variants(char)) > 1)
        chars.add(ord(char), ord(char))
        return _chars(chars)

    def group(self, depth: int) -> Tree | None:
        start = self.position
        before = self.flags
        self.flags = before.copy()
        number = self.group_head(start)
        if number == _ONLY_FLAGS:
            return None
        tree = self.choice(depth + 1)
        if not self.text.startswith(")", self.position):
            raise RegexError("a group is never closed", start)
        self.position += 1
        self.flags = before
        return tree if number == _NOT_CAPTURED else Tree(GROUP, [tree], number)

    def group_head(self, start: int) -> int:
        """Read what opens a group; return its number, or what it is instead."""
        if not self.text.startswith("(?", start):
            self.position += 1
            return self.new_group("")
        for opening, advice in _ADVICE.items():
            if self.text.startswith(opening, start):
                raise RegexError(advice, start)
        if self.text.startswith(("(?P<", "(?<"), start):
            return self.named_group(start)
        return self.flag_group(start)

    def new_group(self, name: str) -> int:
        self.names.append(name)
        return len(self.names) - 1

    def named_group(self, start: int) -> int:
        end = self.text.find(">", start)
        name = self.text[self.text.index("<", start) + 1 : end] if end > 0 else ""
        if not name or not all(c == "_" or (c.isascii() and c.isalnum()) for c in name):
            raise RegexError("a group's name is made of letters, digits and underscores: (?P<name>...)", start)
        if name in self.names:
            raise RegexError(f"two groups are named {name!r}", start)
        self.position = end + 1
        return self.new_group(name)

    def flag_group(self, start: int) -> int:
        """``(?ims-U)`` or ``(?ims-U:``."""
        value = True
        seen = 0
        self.position = start + 2
        while self.position < len(self.text):
            char = self.text[self.position]
            self.position += 1
            if char in "):" and (value or seen):
                return _ONLY_FLAGS if char == ")" else _NOT_CAPTURED
            if char == "-" and value:
                value = False
                seen = 0
            elif self.flags.set(char, value):
                seen += 1
            else:
                break
        raise RegexError("unknown kind of group or flag; there are i, m, s and U, as in (?i)", start)

    # -- escapes ------------------------------------------------------------------------------------------------

    def escape(self) -> Tree:
        letter = self.text[self.position + 1 : self.position + 2]
        assertion = _ASSERTIONS.get(letter)
        if assertion is not None:
            self.position += 2
            return Tree(EMPTY, None, assertion)
        named = self.named_set()
        if named is not None:
            return _chars(named)
        return self.literal(self.escaped_char())

    def named_set(self) -> CharSet | None:
        r"""The set of an escape such as ``\d`` or ``\p{Lu}``, None when this is no such escape."""
        letter = self.text[self.position + 1 : self.position + 2]
        perl = perl_set(letter) if letter else None
        if perl is not None:
            self.position += 2
        elif letter in ("p", "P"):
            return self.category(letter == "P")
        return self.folding(perl)

    def folding(self, chars: CharSet | None) -> CharSet | None:
        """The set with the characters that differ in case only, when the flag ``i`` is on."""
        if chars is None or not self.flags.fold:
            return chars
        outer = CharSet(fold=True, negated=chars.negated)
        chars.negated = False
        outer.inner.append(chars)
        return outer

    def category(self, negated: bool) -> CharSet | None:
        start = self.position
        name = self.text[start + 2 : start + 3]
        end = start + 3
        if name == "{":
            closing = self.text.find("}", start)
            if closing < 0:
                raise RegexError("this { is never closed", start)
            name = self.text[start + 3 : closing]
            end = closing + 1
        chars = category_set(name, negated)
        if chars is None:
            raise UnsupportedError(
                f"{name!r} is no general category; scripts such as Greek need the extra [re2]", start
            )
        self.position = end
        return self.folding(chars)

    def escaped_char(self) -> str:
        start = self.position
        letter = self.text[start + 1 : start + 2]
        self.position += 2
        plain = _PLAIN_ESCAPES.get(letter)
        if plain is not None:
            return plain
        if letter == "x":
            return self.hexadecimal(start)
        if letter in _OCTAL and (letter == "0" or self.text[start + 2 : start + 3] in _OCTAL):
            return self.octal(start)
        if letter and letter.isascii() and not letter.isalnum():
            return letter
        if not letter:
            raise RegexError("the pattern ends with a backslash", start)
        if letter.isdigit():
            raise RegexError("back-references do not exist in Go's regular expressions", start)
        hint = "; the end of the text is \\z" if letter == "Z" else ""
        raise RegexError(f"unknown escape \\{letter}{hint}", start)

    def hexadecimal(self, start: int) -> str:
        digits = self.text[start + 2 : start + 4]
        end = start + 4
        if digits.startswith("{"):
            closing = self.text.find("}", start)
            digits = self.text[start + 3 : max(closing, start + 3)]
            end = closing + 1
        if not digits or not _HEX.issuperset(digits) or end > len(self.text) or int(digits, 16) > 0x10FFFF:
            raise RegexError("a character's number is written \\x7F or \\x{10FFFF}", start)
        self.position = end
        if len(digits) < 2 and not self.text.startswith("{", start + 2):
            raise RegexError("a character's number is written \\x7F or \\x{10FFFF}", start)
        return chr(int(digits, 16))

    def octal(self, start: int) -> str:
        end = start + 2
        while end < start + 4 and self.text[end : end + 1] in _OCTAL:
            end += 1
        self.position = end
        return chr(int(self.text[start + 1 : end], 8))

    # -- classes ------------------------------------------------------------------------------------------------

    def char_class(self) -> CharSet:
        start = self.position
        self.position += 1
        chars = CharSet(fold=self.flags.fold)
        if self.text.startswith("^", self.position):
            chars.negated = True
            self.position += 1
        first = True
        while first or not self.text.startswith("]", self.position):
            if self.position >= len(self.text):
                raise RegexError("a class is never closed: its ] is missing", start)
            first = False
            inner = self.class_set()
            if inner is not None:
                chars.inner.append(inner)
            else:
                self.class_range(chars)
        self.position += 1
        return chars

    def class_set(self) -> CharSet | None:
        if self.text.startswith("[:", self.position):
            closing = self.text.find(":]", self.position + 2)
            if closing > 0:
                chars = posix_set(self.text[self.position + 2 : closing])
                if chars is None:
                    raise RegexError("unknown class; there are [:alpha:], [:digit:], [:alnum:] ...", self.position)
                self.position = closing + 2
                return self.folding(chars)
        return self.named_set() if self.text.startswith("\\", self.position) else None

    def class_range(self, chars: CharSet) -> None:
        start = self.position
        first = self.class_char()
        last = first
        follows = self.text[self.position + 1 : self.position + 2]
        if self.text.startswith("-", self.position) and follows and follows != "]":
            self.position += 1
            last = self.class_char()
        if last < first:
            raise RegexError("a range that ends before it begins", start)
        chars.add(ord(first), ord(last))

    def class_char(self) -> str:
        if self.position >= len(self.text):
            raise RegexError("a class is never closed: its ] is missing", self.position)
        if self.text[self.position] == "\\":
            return self.escaped_char()
        self.position += 1
        return self.text[self.position - 1]
