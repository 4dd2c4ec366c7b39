"""YAML and TOML text: values as written, lines of every part, what is refused and where."""

from __future__ import annotations

import pytest

from edgerouter.config.documents import read_document, read_toml, read_yaml
from edgerouter.config.fit import resolve

YAML_VALUES = [
    ("on", "on"),
    ("yes", "yes"),
    ("NO", "NO"),
    ("1:30", "1:30"),
    ("2026-01-02", "2026-01-02"),
    ("0x10", "0x10"),
    ("010", "010"),
    ("1_000", "1_000"),
    ("12", 12),
    ("-3", -3),
    ("1.5", 1.5),
    ("1.5e+3", 1500.0),
    ("1e3", "1e3"),
    ("true", True),
    ("False", False),
    ("'true'", "true"),
    ('"12"', "12"),
    ("!!str 12", "12"),
    ("~", None),
    ("", None),
    ("null", None),
    ("'null'", "null"),
    ("|\n  a\n  b", "a\nb\n"),
    ("[a, 1]", ["a", 1]),
    ("{b: 1}", {"b": 1}),
]


@pytest.mark.parametrize(("text", "value"), YAML_VALUES)
def test_yaml_values(text: str, value: object) -> None:
    document = read_yaml(f"a: {text}\n", "f.yml")
    assert document.problems == ()
    made = resolve(document.data)["a"]
    assert made == value
    assert type(made) is type(value)


def test_yaml_lines() -> None:
    document = read_yaml("# a\nHttp:\n  routers:\n    Web:\n      entryPoints:\n        - a\n        - b\n", "f.yml")
    assert document.places == {
        ("http",): "f.yml:2",
        ("http", "routers"): "f.yml:3",
        ("http", "routers", "web"): "f.yml:4",
        ("http", "routers", "web", "entrypoints"): "f.yml:5",
        ("http", "routers", "web", "entrypoints", "[0]"): "f.yml:6",
        ("http", "routers", "web", "entrypoints", "[1]"): "f.yml:7",
    }


def test_yaml_aliases_and_merges() -> None:
    text = "base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nlist: [*b, {<<: [{x: 9}, *b]}]\n"
    data = resolve(read_yaml(text, "f.yml").data)
    assert data["use"] == {"x": 1, "y": 3}
    assert data["list"] == [{"x": 1, "y": 2}, {"x": 9, "y": 2}]


@pytest.mark.parametrize(
    ("text", "path", "message", "place"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", "given twice, first at f.yml:1", "f.yml:3"),
        ("a:\n  b: 1\n  b: 1\n", "a.b", "given twice, first at f.yml:2", "f.yml:3"),
        ("a: !env X\n", "a", "tag !env", "f.yml:1"),
        ("a: !!python/object/apply:os.system [x]\n", "a", "os.system", "f.yml:1"),
        ("a: &a\n  - *a\n", "a[0]", "alias", "f.yml:1"),
        ("{[1]: 2}\n", "", "name must be text", "f.yml:1"),
        ("a:\n  <<: 5\n", "a", "names with values", "f.yml:2"),
        ("a: [1,\nb: 2\n", "", "no valid YAML", "f.yml:3"),
        ("a: 1\n---\nb: 2\n", "", "no valid YAML", "f.yml:2"),
        ("\ta: 1\n", "", "no valid YAML", "f.yml:1"),
        ("a: *nobody\n", "", "no valid YAML", "f.yml:1"),
        ("a: \x01\n", "", "no valid YAML", "f.yml"),
    ],
)
def test_yaml_problems(text: str, path: str, message: str, place: str) -> None:
    problems = read_yaml(text, "f.yml").problems
    assert [(p.path, p.source) for p in problems] == [(path, place)]
    assert message in problems[0].message


def test_aliases_of_aliases_are_bounded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    problems = read_yaml("\n".join(lines), "f.yml").problems
    assert len(problems) == 1
    assert "values, aliases counted" in problems[0].message


@pytest.mark.parametrize("text", ["a: " + "[" * n + "]" * n for n in (101, 5000, 100_000)])
def test_yaml_depth_is_bounded(text: str) -> None:
    assert ["levels of nesting" in p.message for p in read_yaml(text, "f.yml").problems] == [True]
    assert read_yaml("a: " + "[" * 90 + "]" * 90, "f.yml").problems == ()


@pytest.mark.parametrize("levels", [101, 900, 100_000])
def test_toml_depth_is_bounded(levels: int) -> None:
    assert len(read_toml("a = " + "[" * levels + "]" * levels, "f.toml").problems) == 1
    assert read_toml("a = " + "[" * 90 + "]" * 90, "f.toml").problems == ()


def test_toml_lines() -> None:
    text = '[a.b]\nc = 1\n"d.e" = 2\n\n[[a.list]]\nx = 1\n[[a.list]]\nx.y = 2 # z\n'
    document = read_toml(text, "f.toml")
    assert document.data == {"a": {"b": {"c": 1, "d.e": 2}, "list": [{"x": 1}, {"x": {"y": 2}}]}}
    assert document.places[("a", "b", "c")] == "f.toml:2"
    assert document.places[("a", "b", "d.e")] == "f.toml:3"
    assert document.places[("a", "list", "[0]", "x")] == "f.toml:6"
    assert document.places[("a", "list", "[1]", "x", "y")] == "f.toml:8"


def test_toml_problem() -> None:
    problems = read_toml("a = 1\nb = \n", "f.toml").problems
    assert [p.source for p in problems] == ["f.toml:2"]


def test_kind_by_ending() -> None:
    assert read_document("a = 1", "x.TOML").data == {"a": 1}
    assert read_document('{"a": 1}', "x.json").data == {"a": "1"}
