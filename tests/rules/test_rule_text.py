"""The grammar: what is a rule, what is none, and where the message points."""

from __future__ import annotations

import pytest

from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request
from edgerouter.rules.compile import RuleError, compile_rule
from edgerouter.rules.explain import explain_rule


def exchange(host: str = "a.test", path: str = "/x", method: str = "GET") -> Exchange:
    request = Request(method, b"/", host, Headers())
    request.host = host
    request.path = path
    return Exchange(request)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("Host(`a.test`)", True),
        ('Host("a.test")', True),
        ('Host("\\x61.t\\145st")', True),
        ('Path("/\\u0078")', True),
        ("  Host ( `a.test` )\n&&\tPath(`/x`) ", True),
        ("Host(`a.test`) && Path(`/y`)", False),
        ("Host(`b.test`) || Path(`/x`)", True),
        ("!Host(`b.test`)", True),
        ("!!Host(`b.test`)", False),
        ("!(Host(`b.test`) || Path(`/y`))", True),
        ("!(Host(`a.test`) && Path(`/x`))", False),
        ("Path(`/x`) || Path(`/y`) && Host(`b.test`)", True),  # && binds closer
        ("(Path(`/x`) || Path(`/y`)) && Host(`b.test`)", False),
        ("!Path(`/x`) || Host(`a.test`)", True),  # ! binds closest
        ("!Path(`/x`) && Host(`a.test`)", False),
        ("((((Host(`a.test`)))))", True),
        ("host(`a.test`) && PATHPREFIX(`/`) && Pathprefix(`/x`) && pathprefix(`/x`) && PathPrefix(`/x`)", True),
        ("Query(`a`, `b`)", False),
        ("Host(`*`) && Method(`get`)", True),
    ],
)
def test_rules(rule: str, expected: bool) -> None:
    compiled = compile_rule(rule)
    assert compiled.predicate.test(exchange()) is expected
    assert explain_rule(compiled, exchange()).matched is expected


@pytest.mark.parametrize(
    ("rule", "position", "says"),
    [
        ("", 0, "empty"),
        ("   ", 0, "empty"),
        ("Hots(`a`)", 0, "did you mean Host?"),
        ("Host(`a`) && PathPrefx(`/`)", 13, "did you mean PathPrefix?"),
        ("pathPrefix(`/`)", 0, "did you mean PathPrefix?"),
        ("Headers(`a`, `b`)", 0, "did you mean Header?"),
        ("Zzzzzz(`a`)", 0, "there are ClientIP"),
        ("Host(``)", 5, "empty"),
        ('Query(`a`, "")', 11, "empty"),
        ("Host()", 0, "takes 1 argument, here are 0"),
        ("Host(`a`, `b`)", 10, "Host(`...`) || Host(`...`)"),
        ("Header(`a`)", 0, "takes 2 arguments"),
        ("Query(`a`, `b`, `c`)", 16, "takes 1 or 2 arguments"),
        ("Host(a)", 5, "backticks"),
        ("Host('a')", 5, "single quotes"),
        ("Host(`a)", 5, "backtick"),
        ('Host("a)', 5, "double quote"),
        ('Host("a\\q")', 7, "escape"),
        ("Host(`a`", 4, "never closed"),
        ("(Host(`a`)", 0, "never closed"),
        ("Host(`a`))", 9, "closes nothing"),
        ("Host(`a`) Path(`/`)", 10, "&&"),
        ("Host(`a`) & Path(`/`)", 10, "&&"),
        ("Host(`a`) | Path(`/`)", 10, "||"),
        ("Host(`a`) and Path(`/`)", 10, "&&"),
        ("Host(`a`) OR Path(`/`)", 10, "||"),
        ("not Host(`a`)", 0, "!"),
        ("Host(`a`) &&", 12, "too early"),
        ("&& Host(`a`)", 0, "expected a matcher"),
        ("`a`", 0, "inside of a matcher"),
        ("Host:a", 4, "parentheses"),
        ("Host", 4, "expected ("),
        ("Host(`a` `b`)", 9, "comma"),
        ("Host(`a`,)", 9, "string"),
        ("!" * 200 + "Host(`a`)", 101, "nested"),
        ("(" * 200 + "Host(`a`)", 101, "nested"),
        ("Path(`x`)", 5, "/x"),
        ("PathPrefix(`x`)", 11, "/x"),
        ("HostRegexp(`a(b`)", 13, "never closed"),
        ("HeaderRegexp(`A`, `(?=b)`)", 18, "look-ahead"),
        ("ClientIP(`10.0.0.300`)", 9, "no IP address"),
        ("Header(`a b`, `c`)", 7, "header field"),
        ("Host(`münchen.de`)", 5, "xn--mnchen-3ya.de"),
        ("Host(`a.*.de`)", 5, "first label"),
        ("Host(`http://a.de`)", 5, "scheme"),
        ("Host(`a.de, b.de`)", 5, "||"),
    ],
)
def test_faults_name_the_place_and_the_remedy(rule: str, position: int, says: str) -> None:
    with pytest.raises(RuleError) as caught:
        compile_rule(rule)
    assert caught.value.position == position
    assert says in caught.value.message
    if rule.strip():
        line, caret = caught.value.picture.split("\n")
        assert len(caret) <= 130
        if position < len(rule):
            assert line[caret.index("^")] == rule[position]
        assert str(caught.value) == f"{caught.value.message}\n{caught.value.picture}"


def test_unknown_syntax() -> None:
    with pytest.raises(RuleError, match="v3 or v2"):
        compile_rule("Host(`a`)", "v1")


def test_hosts_are_those_that_are_named_and_not_negated() -> None:
    rule = compile_rule("(Host(`A.test.`) || Host(`b.test`) || Host(`*.c.test`)) && !Host(`d.test`) && Host(`a.test`)")
    assert rule.hosts() == ["a.test", "b.test"]
    assert compile_rule("Host(`a.test`, `b.test`)", "v2").hosts() == ["a.test", "b.test"]


def test_explanation_goes_clause_by_clause() -> None:
    rule = compile_rule("Host(`a.test`) && !(PathPrefix(`/x`) || Method(`POST`))")
    found = explain_rule(rule, exchange())
    assert [(verdict.text, verdict.holds) for verdict in found.verdicts] == [
        ("Host(`a.test`)", True),
        ("!PathPrefix(`/x`)", False),
        ("!Method(`POST`)", True),
    ]
    assert found.decisive == ["!PathPrefix(`/x`)"]
    assert explain_rule(rule, exchange("b.test", "/x", "POST")).decisive == []


@pytest.mark.parametrize(
    ("rule", "branches"),
    [
        ("Host(`a`) && Path(`/p`)", ["a /p="]),
        ("Host(`*.a`) && PathPrefix(`/p`)", ["*.a /p"]),
        ("Host(`a`) || PathPrefix(`/p`)", ["a ", " /p"]),
        ("(Host(`a`) || Host(`b`)) && (Path(`/p`) || Method(`GET`))", ["a /p=", "a ", "b /p=", "b "]),
        ("!Host(`a`) && PathPrefix(`/p`) && PathPrefix(`/p/q`)", [" /p/q"]),
        ("Host(`*.a`) && Host(`x.a`)", ["x.a "]),
        ("!(Host(`a`) || !Path(`/p`))", [" /p="]),
        ("PathRegexp(`^/api/v[0-9]`)", [" /api/v"]),
        ("PathRegexp(`/api/v[0-9]`)", [" "]),
        ("PathRegexp(`(?i)^/api`)", [" /"]),
        ("PathRegexp(`^/a%20b|^/c`)", [" "]),
        ("Header(`X-A`, `1`)", ["  x-a=1"]),
    ],
)
def test_necessary_conditions(rule: str, branches: list[str]) -> None:
    found = []
    for branch in compile_rule(rule).branches:
        host = ("*." if branch.host_kind == 2 else "") + branch.host
        path = branch.path + ("=" if branch.path_kind == 3 else "")
        found.append(f"{host} {path}" + (f" {branch.header}={branch.header_value}" if branch.header else ""))
    assert found == branches


def test_a_product_of_choices_stays_small() -> None:
    hosts = " || ".join(f"Host(`h{i}`)" for i in range(50))
    paths = " || ".join(f"Path(`/p{i}`)" for i in range(50))
    assert len(compile_rule(f"({hosts}) && ({paths})").branches) == 50
