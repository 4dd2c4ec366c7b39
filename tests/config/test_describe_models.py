"""Help and JSON Schema: every option of every model and plugin is there, with its line of help."""

from __future__ import annotations

from typing import Any

import pytest

from edgerouter import registry
from edgerouter.config.comments import field_comments
from edgerouter.config.describe import dynamic_schema, help_text, options, static_schema
from edgerouter.config.dynamic import Model
from edgerouter.config.sources import load_static, tables_of
from edgerouter.config.types import Duration, Secret


class Commented(Model, frozen=True):
    """A class of its own. More.

    Further words."""

    behind: int = 1  # what stands behind
    # what stands above,
    # on two lines
    above: str = "# no comment"
    quoted: str = "a  # no comment"  # but this is
    none: Duration = Duration(90)

    secret: Secret = Secret("hunter2")


def test_comments() -> None:
    assert field_comments(Commented) == {
        "behind": "what stands behind",
        "above": "what stands above, on two lines",
        "quoted": "but this is",
    }


def test_a_class_without_source_has_no_comments() -> None:
    made: Any = type("Made", (), {"__annotations__": {"a": int}})
    assert field_comments(made) == {}


TABLES = tables_of({"mine": Commented, "bare": None})


def test_help() -> None:
    lines = help_text(TABLES).splitlines()
    for name, text in [
        ("    --entryPoints.<name>.address  (text)", "[host]:port[/tcp or /udp]"),
        ("    --entryPoints.<name>.http.tls.domains[n].main  (text)", "the certificate's first name"),
        ("    --ping  (options, true or false, default true)", "The answer to health checks"),
        ("    --providers.mine  (options, or true)", "A class of its own."),
        ("    --providers.mine.behind  (whole number, default 1)", "what stands behind"),
        ("    --providers.providersThrottleDuration  (duration, default 0.2s)", "after a first change"),
        ("    --workers  (whole number, default 0)", "worker processes"),
    ]:
        assert text in lines[lines.index(name) + 1]
    assert "    --providers.mine.none  (duration, default 90s)" in lines
    assert "    --providers.mine.secret  (secret text)" in lines
    assert "hunter2" not in help_text(TABLES)


def registered(room: str) -> dict[str, Any]:
    return {name: plugin.options for name, plugin in registry.load(room).items()}


def all_options() -> list[Any]:
    return list(options(tables_of(registered("providers"), registered("metrics"))))


@pytest.mark.parametrize("option", all_options(), ids=lambda option: option.name)
def test_every_option_has_a_line_of_help_and_is_accepted(option: Any) -> None:
    assert option.text, option.name
    flag = "--" + option.name.replace("<name>", "x").replace("[n]", "[0]")
    value = {"whole number": "5", "number": "0.5", "true or false": "true", "duration": "5s"}.get(option.type, "x")
    if option.type.startswith("one of"):
        value = option.type.removeprefix("one of ").split(", ")[0]
    loaded = load_static([f"{flag}={value}"], {}, registered("providers"), registered("metrics"), [])
    assert not [p for p in loaded.problems if p.message.startswith(("unknown", "a value is missing"))]


def test_static_schema() -> None:
    schema = static_schema(TABLES)
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    point = properties["entryPoints"]["additionalProperties"]["properties"]
    assert point["address"] == {"type": "string", "description": "[host]:port[/tcp or /udp]"}
    assert point["http3"]["type"] == ["object", "boolean", "null"]
    assert properties["log"]["properties"]["level"]["enum"]
    assert properties["providers"]["properties"]["mine"]["properties"]["secret"] == {"type": "string"}
    assert properties["providers"]["properties"]["mine"]["properties"]["none"]["default"] == 90.0
    assert "sections" not in properties["providers"]["properties"]


def test_dynamic_schema() -> None:
    schema = dynamic_schema({"middlewares": {"one": Commented, "two": None}, "services": {"three": Commented}})
    http = schema["properties"]["http"]["properties"]
    assert http["middlewares"]["additionalProperties"]["oneOf"] == [{"required": ["one"]}, {"required": ["two"]}]
    assert set(http["services"]["additionalProperties"]["properties"]) == {"three", "middlewares"}
    assert http["routers"]["additionalProperties"]["properties"]["rule"]["type"] == "string"
