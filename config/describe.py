"""The typed models for people and for editors: ``edgerouter --help`` and the JSON Schema. Text and plain data only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import inspect as shapes

from edgerouter.config.comments import field_comments
from edgerouter.config.dynamic import Certificate, Router, ServersTransport, TLSOptions, TLSStore
from edgerouter.config.fit import SECTIONS, fields_of
from edgerouter.config.fit_types import Field, NoOptions
from edgerouter.config.outline import Tables, bare, is_list
from edgerouter.config.static import StaticConfiguration
from edgerouter.config.types import Duration, Secret

Json = dict[str, Any]
_SIMPLE: Final[dict[Any, tuple[str, str]]] = {
    shapes.BoolType: ("true or false", "boolean"),
    shapes.IntType: ("whole number", "integer"),
    shapes.FloatType: ("number", "number"),
    shapes.StrType: ("text", "string"),
}
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


class Option(msgspec.Struct, frozen=True):
    """One line of help. ``name`` holds ``<name>`` where any name may stand."""

    name: str
    type: str
    default: str
    text: str


def options(tables: Tables) -> Iterator[Option]:
    """Every option of the static configuration, plugins' options included, in the model's order."""
    yield from _options(StaticConfiguration, "", tables)


def options_of(cls: type) -> Iterator[Option]:
    """Every option of a plugin's options class."""
    yield from _options(cls, "", {})


def help_text(tables: Tables) -> str:
    """What ``--help`` says of the options."""
    lines: list[str] = []
    for option in options(tables):
        default = f", default {option.default}" if option.default else ""
        lines.append(f"    --{option.name}  ({option.type}{default})")
        if option.text:
            lines.append(f"        {option.text}")
    return "\n".join(lines)


def _options(cls: type, prefix: str, tables: Tables) -> Iterator[Option]:
    comments = field_comments(cls)
    for field in fields_of(cls).values():
        if field.name != SECTIONS or cls not in tables:
            yield from _option(field, prefix, comments.get(field.attribute, ""), tables)
    for name, options_class in sorted(tables.get(cls, {}).items()):
        yield from _section(options_class or NoOptions, f"{prefix}{name}", tables)


def _section(cls: type, name: str, tables: Tables) -> Iterator[Option]:
    yield Option(name, "options, or true", "", summary(cls))
    yield from _options(cls, f"{name}.", tables)


def _option(field: Field, prefix: str, text: str, tables: Tables) -> Iterator[Option]:
    name, shape = prefix + field.name, bare(field.shape)
    if isinstance(shape, shapes.StructType):
        if isinstance(field.shape, shapes.UnionType):
            yield Option(name, "options, true or false", "" if field.default is None else "true", summary(shape.cls))
        yield from _options(shape.cls, f"{name}.", tables)
        return
    inner = bare(getattr(shape, "value_type", None) or getattr(shape, "item_type", None))
    if isinstance(inner, shapes.StructType):
        yield from _options(inner.cls, f"{name}[n]." if is_list(shape) else f"{name}.<name>.", tables)
        return
    yield Option(name, type_name(shape), _default(field.default), text)


def summary(cls: type) -> str:
    """The first sentence of a class's docstring."""
    return " ".join((cls.__doc__ or "").strip().split("\n\n")[0].split())


def type_name(shape: Any) -> str:
    """What a value looks like, in a few words."""
    shape = bare(shape)
    if type(shape) in _SIMPLE:
        return _SIMPLE[type(shape)][0]
    if is_list(shape):
        return f"list of {type_name(shape.item_type)}"
    if isinstance(shape, shapes.LiteralType):
        return "one of " + ", ".join(str(value) for value in shape.values)
    if isinstance(shape, shapes.EnumType):
        return "one of " + ", ".join(str(member.value) for member in shape.cls)
    if isinstance(shape, shapes.DictType):
        return "names with options" if isinstance(shape.value_type, shapes.AnyType) else "names with values"
    if isinstance(shape, shapes.CustomType):
        return {Duration: "duration", Secret: "secret text"}.get(shape.cls, "text")
    return "text"


def _default(value: Any) -> str:
    if value is None or value == () or value == {} or value == "" or isinstance(value, Secret):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Duration):
        return f"{value:g}s"
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)


def static_schema(tables: Tables) -> Json:
    """The JSON Schema of a static configuration file."""
    return {"$schema": _DRAFT, "title": "EdgeRouter, static configuration", **_struct(StaticConfiguration, tables)}


def dynamic_schema(kinds: Mapping[str, Mapping[str, Any]]) -> Json:
    """The JSON Schema of a file of the file provider."""
    listed = {"middlewares": {"type": "array", "items": {"type": "string"}, "description": "steps of its own"}}
    http = {
        "routers": _named(_struct(Router, {})),
        "services": _named(_one_kind(kinds.get("services", {}), listed)),
        "middlewares": _named(_one_kind(kinds.get("middlewares", {}), {})),
        "serversTransports": _named(_struct(ServersTransport, {})),
    }
    tls = {
        "certificates": {"type": "array", "items": _struct(Certificate, {})},
        "stores": _named(_struct(TLSStore, {})),
        "options": _named(_struct(TLSOptions, {})),
    }
    later = {name: {"type": "object", "description": "read, not served yet"} for name in ("tcp", "udp")}
    properties = {"http": _object(http), "tls": _object(tls), **later}
    return {"$schema": _DRAFT, "title": "EdgeRouter, dynamic configuration", **_object(properties)}


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _named(value: Json) -> Json:
    return {"type": "object", "additionalProperties": value}


def _one_kind(table: Mapping[str, Any], beside: Json) -> Json:
    """An object with exactly one of the kinds."""
    parts = {name: _struct(options_class or NoOptions, {}) for name, options_class in sorted(table.items())}
    made = _object({**parts, **beside})
    return {**made, "oneOf": [{"required": [name]} for name in parts]}


def _struct(cls: type, tables: Tables) -> Json:
    comments = field_comments(cls)
    properties: Json = {}
    required = []
    for field in fields_of(cls).values():
        if field.name == SECTIONS and cls in tables:
            continue
        properties[field.name] = _schema(field.shape, tables)
        if field.attribute in comments:
            properties[field.name]["description"] = comments[field.attribute]
        if not field.required and _default(field.default):
            properties[field.name]["default"] = msgspec.to_builtins(field.default, enc_hook=lambda value: float(value))
        if field.required:
            required.append(field.name)
    for name, options_class in sorted(tables.get(cls, {}).items()):
        properties[name] = _struct(options_class or NoOptions, tables)
    made = {"description": summary(cls), **_object(properties)}
    return {**made, "required": required} if required else made


def _schema(shape: Any, tables: Tables) -> Json:
    optional = isinstance(shape, shapes.UnionType)
    shape = bare(shape)
    if isinstance(shape, shapes.StructType):
        made = _struct(shape.cls, tables)
        return {**made, "type": ["object", "boolean", "null"]} if optional else made
    if isinstance(shape, shapes.UnionType):
        return {"anyOf": [_schema(part, tables) for part in shape.types if not isinstance(part, shapes.NoneType)]}
    if is_list(shape):
        return {"type": "array", "items": _schema(shape.item_type, tables)}
    if isinstance(shape, shapes.DictType):
        return {"type": "object", "additionalProperties": _schema(shape.value_type, tables)}
    return _scalar(shape)


def _scalar(shape: Any) -> Json:
    if isinstance(shape, shapes.LiteralType):
        return {"enum": list(shape.values)}
    if isinstance(shape, shapes.EnumType):
        return {"enum": [member.value for member in shape.cls]}
    if isinstance(shape, shapes.CustomType):
        return {"type": ["string", "number"]} if shape.cls is Duration else {"type": "string"}
    if type(shape) not in _SIMPLE:
        return {}
    made: Json = {"type": _SIMPLE[type(shape)][1]}
    for limit, word in (("ge", "minimum"), ("le", "maximum"), ("gt", "exclusiveMinimum"), ("lt", "exclusiveMaximum")):
        if getattr(shape, limit, None) is not None:
            made[word] = getattr(shape, limit)
    return made
