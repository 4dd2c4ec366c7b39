"""Go's regular expressions mean what they mean in Go, on the automaton and on RE2, and none stalls the loop."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from edgerouter.errors import BadRequest
from edgerouter.rules import go_regex
from edgerouter.rules.error import ArgumentError
from edgerouter.rules.go_regex import GoRegex

Engine = Callable[[str], GoRegex]
ENGINES: list[Engine] = [go_regex._Linear, go_regex._Re2]


def carried(text: str) -> str:
    return text.encode().decode("latin-1")


TABLE = [
    # pattern, texts that match, texts that do not
    ("", ["", "a"], []),
    ("b", ["abc"], ["ac", "B"]),
    ("^b", ["b", "bc"], ["ab", "a\nb"]),
    ("b$", ["ab"], ["ba", "b\n"]),
    ("(?m)^b$", ["a\nb\nc", "b"], ["ab"]),
    (r"\Ab\z", ["b"], ["b\n", "ab"]),
    (r"(?m)\Ab", ["b"], ["a\nb"]),
    ("a.c", ["abc", "aéc", "a\rc"], ["a\nc", "ac"]),
    ("(?s)a.c", ["a\nc"], ["ac"]),
    ("(?i)straße", ["STRAßE", "straẞe"], ["strasse"]),
    ("(?i)k", ["k", "K", "\u212a"], ["x"]),
    ("(?i)[k-l]", ["K", "\u212a", "L"], ["m"]),
    ("(?i)a(?-i)b", ["Ab", "ab"], ["AB"]),
    ("(?i:a)b", ["Ab"], ["AB"]),
    ("(a(?i)b|c)d", ["aBd", "Cd"], ["Abd", "aBD"]),
    ("a|b|", [""], []),
    ("^(?:foo|bar)$", ["foo", "bar"], ["foobar", "foo|bar"]),
    ("^a{2,3}$", ["aa", "aaa"], ["a", "aaaa"]),
    ("^a{2}$", ["aa"], ["a", "aaa"]),
    ("^a{2,}$", ["aa", "aaaaa"], ["a"]),
    ("^a{,2}$", ["a{,2}"], ["a", "aa"]),
    ("^a{x}$", ["a{x}"], ["a"]),
    ("^a{0}b$", ["b"], ["ab"]),
    ("a{100}", ["a" * 100], ["a" * 99]),
    (r"^\d+$", ["0129"], ["٣", "", "1a"]),
    (r"^\w+$", ["aZ_9"], ["é", "a-b"]),
    (r"^\s$", [" ", "\t", "\n", "\f"], ["\u00a0", "\v"]),
    (r"\bfoo\b", ["foo", "a foo b", "éfoo"], ["xfoo", "foo1"]),
    (r"\Bfoo", ["xfoo"], ["foo", " foo"]),
    (r"^\pL+$", ["aéЖ中"], ["1", "a1"]),
    (r"^\p{Lu}$", ["A", "É"], ["a"]),
    (r"^\p{^Lu}$", ["a"], ["A"]),
    (r"^\PN$", ["a"], ["1", "٣"]),
    (r"^[\pL\d]+$", ["é1"], ["-"]),
    (r"^[[:alpha:]_]+$", ["aZ_"], ["é", "1"]),
    (r"^[[:^alpha:]]$", ["1", "é"], ["a"]),
    ("^[^a]$", ["b", "\n", "é"], ["a", ""]),
    ("^[]a]+$", ["]a"], ["b"]),
    ("^[a-]+$", ["a-"], ["b"]),
    ("^[a-c-e]+$", ["abc-e"], ["d"]),
    (r"^[\x41-\x{43}]+$", ["ABC"], ["D"]),
    (r"^\x{e9}\101\07\t$", ["éA\a\t"], ["éA"]),
    (r"^\Qa.b*\E+$", ["a.b*", "a.b**"], ["axb*"]),
    (r"\.\/\-\_\{", ["./-_{"], ["a/-_{"]),
    ("(?P<n>a)(?<m>b)", ["ab"], ["a"]),
    ("(?U)^a+?$", ["aaa"], [""]),
    ("^é$", ["é"], ["e", "éé"]),
    ("^.$", ["é", "中", "😀"], ["", "ab"]),
    (r"^[a-z0-9-]+\.example\.com$", ["a-1.example.com"], ["a.b.example.com", "example.com", "a.example.comx"]),
    (r"^/api/v[0-9]+/", ["/api/v12/x"], ["/api/v/", "x/api/v1/"]),
    (r"x*", ["", "y"], []),
    ("(^|,)b(,|$)", ["a,b,c", "b"], ["ab"]),
    ("(a*)*$", ["b", "aa"], []),
    ("^(|a)+$", ["", "aa"], ["b"]),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("pattern", "yes", "no"), TABLE)
def test_meaning(engine: Engine, pattern: str, yes: list[str], no: list[str]) -> None:
    regex = engine(pattern)
    for text in yes:
        assert regex.search(carried(text)), text
    for text in no:
        assert not regex.search(carried(text)), text


@pytest.mark.parametrize(
    ("pattern", "offset", "says"),
    [
        ("a(b", 1, "never closed"),
        ("ab)", 2, "closing parenthesis"),
        ("[a", 0, "] is missing"),
        ("[b-a]", 1, "before it begins"),
        ("*a", 0, "nothing stands before"),
        ("a|+", 2, "nothing stands before"),
        ("a**", 2, "repetition of a repetition"),
        ("a{1001}", 1, "1000"),
        ("a{3,2}", 1, "smaller number first"),
        ("(a{100}){100}", 0, "1000"),
        ("(?=a)", 0, "look-ahead"),
        ("x(?!a)", 1, "look-ahead"),
        ("(?<=a)", 0, "look-behind"),
        ("(?<!a)", 0, "look-behind"),
        ("(?>a)", 0, "atomic"),
        (r"(a)\1", 3, "back-references"),
        (r"(a)\8", 3, "back-references"),
        (r"a\Z", 1, "\\z"),
        (r"\C", 0, "unknown escape"),
        (r"\h", 0, "unknown escape"),
        ("a\\", 1, "ends with a backslash"),
        (r"\xZ1", 0, "\\x7F"),
        (r"\x{110000}", 0, "\\x7F"),
        ("[[:foo:]]", 1, "[:alpha:]"),
        ("(?z)", 0, "i, m, s and U"),
        ("(?P<a b>c)", 0, "letters"),
        ("(?P<n>a)(?P<n>b)", 8, "two groups"),
        ("(" * 1001 + ")" * 1001, 201, "deep"),
    ],
)
def test_refused_as_go_refuses_with_the_place(pattern: str, offset: int, says: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        go_regex.compile(pattern, 1)
    assert (caught.value.index, caught.value.offset) == (1, offset)
    assert says in caught.value.message


def test_very_large_patterns_go_to_re2_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    regex = go_regex.compile("^[a-z]{1000}$")
    assert isinstance(regex, go_regex._Re2)
    assert regex.search("a" * 1000)
    monkeypatch.setattr(go_regex._installed, "re2", None)
    assert go_regex.compile("^[a-z]{1000}$").search("a" * 1000)


def test_scripts_need_re2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert go_regex.compile(r"^\p{Greek}+$").search(carried("αβ"))
    monkeypatch.setattr(go_regex._installed, "re2", None)
    with pytest.raises(ArgumentError, match="re2"):
        go_regex.compile(r"^\p{Greek}+$")


PATTERNS_THAT_BACKTRACK = [
    r"(a+)+$x", r"(a|a)*!", r"(.*)*x", r"(a?){50}a{50}b", r"(x+x+)+y", r"([a-z]+)*!", r".*.*.*=.*",
    r"^(\w+\s?)*$x", r"(?i)(k|\x{212A})*!", r"\b(a|aa)+\bx", r"(a|b|ab)*c",
]  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("pattern", PATTERNS_THAT_BACKTRACK)
@pytest.mark.parametrize("unit", ["a", "ab", "k", "é", "aa "])
def test_no_pattern_stalls_the_loop(engine: Engine, pattern: str, unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = carried(unit * (65536 // len(carried(unit))))
    regex = engine(pattern)
    monkeypatch.setattr(go_regex._installed, "re2", None)  # long texts too, on the automaton itself
    started = time.process_time()
    assert regex.search(text) is False
    assert time.process_time() - started < 0.5


def test_an_automaton_with_too_many_states_forgets_and_goes_on() -> None:
    dice = random.Random(3)
    regex = go_regex._Linear("(a|b)*a(a|b){12}c")
    text = "".join(dice.choice("ab") for _ in range(6000))
    assert not regex._automaton.search(text)
    assert regex._automaton._kept <= 10_000 + 100
    assert regex._automaton.search(text + "a" + "b" * 12 + "c")


def test_groups_are_found_with_a_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(3)
    regex, theirs = go_regex._Linear("((a|b)*a(a|b){12})c"), go_regex._Re2("((a|b)*a(a|b){12})c")
    text = "".join(dice.choice("abc") if n % 40 == 0 else dice.choice("ab") for n in range(3000))
    kept = 0
    for start in range(0, 3000, 100):
        assert regex.find(text, start) == theirs.find(text, start)
        kept = max(kept, regex._spans._kept)
    assert 2000 < kept < 6000
    for code in range(0x4E00, 0x4E00 + 6000):
        regex.find(chr(code))
        kept = max(kept, regex._spans._kept)
    assert kept < 6000


@pytest.mark.parametrize("pattern", [*PATTERNS_THAT_BACKTRACK, "^/(.*)/x", "(a+)+(b+)*$", "([a-z]+)", "((a)|b)*?k"])
@pytest.mark.parametrize("unit", ["a", "ab", "k", "é", "aa ", "/x"])
def test_no_replacement_stalls_the_loop(pattern: str, unit: str) -> None:
    """Each in less than 65,536 times a few microseconds, or refused."""
    text = "/" + carried(unit * (65536 // len(carried(unit)))) + "x"
    regex = go_regex._Linear(pattern)
    started = time.process_time()
    regex.find(text)
    assert time.process_time() - started < 0.5


def test_a_replacement_in_the_square_of_the_text_is_refused_and_others_are_not() -> None:
    regex = go_regex._Linear("a*b|a")
    assert regex.replace("a" * 300, "x") == "x" * 300
    started = time.process_time()
    with pytest.raises(BadRequest, match=r"too many steps for the pattern 'a\*b\|a'") as refused:
        regex.replace("a" * 6000, "x")
    assert time.process_time() - started < 0.5
    assert refused.value.cause == "BAD_REQUEST_PATH"
    assert regex.replace("ab" * 3000, "x") == "x" * 3000
    assert go_regex._Linear("/").replace("/a" * 3000, "//") == "//a" * 3000


PIECES = [
    "a", "b", "k", "é", ".", "^", "$", r"\b", r"\d", r"\W", "[ab]", "[^a]", "[[:alpha:]]", r"\pL", r"\P{Lu}",
    "(a|b)", "(?:a|)", "(?i:k)", "(?m:^)", "(a*)", "|", r"\z", r"\n", "[a-c-]", "(?s:.)", "(b)?",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(10))
def test_both_engines_agree_on_random_patterns(seed: int) -> None:
    dice = random.Random(seed)
    agreed = 0
    for _ in range(60):
        pattern = "".join(
            dice.choice(PIECES) + dice.choice(["", "", "", "*", "+?", "?", "{2}"]) for _ in range(dice.randint(1, 5))
        )
        try:
            mine = go_regex._Linear(pattern)
        except ValueError:
            with pytest.raises(ValueError):
                go_regex._Re2(pattern)
            continue
        theirs = go_regex._Re2(pattern)
        for _ in range(5):
            text = "".join(dice.choice("aabbkKé1_ \n") for _ in range(dice.randint(0, 8)))
            found = theirs.find(text)
            assert mine.search(carried(text)) is theirs.search(carried(text)) is (found is not None), (pattern, text)
            assert mine.find(text) == found, (pattern, text)
            assert mine.replace(carried(text), "<$1$0>") == theirs.replace(carried(text), "<$1$0>"), (pattern, text)
            agreed += 1
    assert agreed > 150


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("pattern", "template", "text", "expected"),
    [
        ("^http://(.*)$", "https://$1", "http://a.test/x", "https://a.test/x"),
        ("^/api/(?P<rest>.*)", "/${rest}", "/api/x/y", "/x/y"),
        ("(a)(b)?", "[$2$1]", "ab a", "[ba] [a]"),
        ("a", "$1x", "a", ""),
        ("a", "${0}x$$$", "a", "ax$$"),
        ("(a)", "$1_", "a", ""),
        ("(a)", "${1}_", "a", "a_"),
        ("b*", "-", "abc", "-a-c-"),
        ("", "-", "ab", "-a-b-"),
        ("x", "y", "abc", "abc"),
        ("é", "e", "éa", "ea"),
        ("a|ab", "x", "ab", "xb"),
        ("a+?", "x", "aa", "xx"),
    ],
)
def test_replacing_as_go_does(engine: Engine, pattern: str, template: str, text: str, expected: str) -> None:
    assert engine(pattern).replace(carried(text), template) == expected
