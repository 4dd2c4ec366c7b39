"""Whatever stands in files, labels, flags and variables: an answer with problems, never an exception."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgerouter.config.decode import decode_dynamic
from edgerouter.config.documents import read_toml, read_yaml
from edgerouter.config.dynamic import DynamicConfiguration, Model
from edgerouter.config.fit_types import Plain
from edgerouter.config.labels import decode_labels
from edgerouter.config.sources import load_static


class Strip(Model, frozen=True):
    prefixes: tuple[str, ...] = ()


KINDS: dict[str, Any] = {"middlewares": {"stripPrefix": Strip}, "services": {"loadBalancer": Strip}}
WORDS = ["http", "routers", "services", "middlewares", "stripPrefix", "loadBalancer", "loadbalancer", "server"]
WORDS += [
    "port",
    "rule",
    "tls",
    "domains",
    "[0]",
    "[1]",
    "main",
    "=",
    "",
    "Http",
    "tcp",
    "servers",
    "enable",
    "entryPoints",
]
WORDS += [
    "web",
    "address",
    "providers",
    "docker",
    "swarmmode",
    "api",
    "configFile",
    "metrics",
    "prometheus",
    "log",
    "level",
]
VALUES = [
    "true",
    "false",
    "",
    "1",
    "-1",
    "a,b",
    "x",
    ":80",
    "Name:a Address::80",
    "99999999999999999999",
    "1e999",
    "NaN",
]

words = st.sampled_from(WORDS) | st.text(max_size=8)
values = st.sampled_from(VALUES) | st.text(max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | values | values.map(Plain)
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4))
dotted = st.lists(words, min_size=1, max_size=6).map(".".join)


@given(trees | st.dictionaries(st.just("http"), st.dictionaries(words, st.dictionaries(words, trees))))
@settings(max_examples=60, deadline=None)
def test_dynamic(tree: Any) -> None:
    configuration, problems = decode_dynamic(tree, KINDS, "x")
    assert isinstance(configuration, DynamicConfiguration)
    assert all(p.message for p in problems)


@given(st.dictionaries(st.tuples(st.sampled_from(["traefik", "edgerouter", "Traefik"]), dotted).map(".".join), values))
@settings(max_examples=60, deadline=None)
def test_labels(labels: dict[str, str]) -> None:
    result = decode_labels(labels, KINDS)
    assert all(p.message for p in result.problems)


@given(st.lists(st.tuples(st.sampled_from(["--", "-", ""]), dotted, st.sampled_from(["=", " "]), values).map("".join)))
@settings(max_examples=60, deadline=None)
def test_flags(flags: list[str]) -> None:
    words = [word for flag in flags for word in flag.split(" ", 1)]
    loaded = load_static(words, {}, {"docker": Strip}, {}, [])
    assert (loaded.static is None) == bool(loaded.errors)


@given(st.dictionaries(dotted.map(lambda name: "EDGEROUTER_" + name.replace(".", "_").upper()), values))
@settings(max_examples=60, deadline=None)
@example({"EDGEROUTER_CONFIGFILE": "\0"})
def test_variables(variables: dict[str, str]) -> None:
    loaded = load_static([], variables, {"docker": Strip}, {}, [])
    assert (loaded.static is None) == bool(loaded.errors)


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!<>|'\"#,.=\n \t0~?%@`é"), max_size=60))
@settings(max_examples=200, deadline=None)
def test_texts(text: str) -> None:
    for read in (read_yaml, read_toml):
        document = read(text, "x")
        assert document.data is None or isinstance(document.places, dict)
        decode_dynamic(document.data, KINDS, "x", document.places)
