"""Every cause in the source is declared, and the page of causes is the enumeration. Both are mended in one minute."""

from __future__ import annotations

import ast
import pathlib
import re
import typing

from edgerouter import causes, errors, registry

ROOT = pathlib.Path(__file__).parents[2]
ROOMS = ("edgerouter", "middlewares")
WORD = re.compile(r"[A-Z][A-Z0-9_]+")
# Where a word that a parser gives its ``refusal`` comes from: whose message it is.
REQUEST, RESPONSE = "BAD_REQUEST_", "BAD_RESPONSE_"
CODECS = {
    "http1_request.py": (REQUEST,),
    "http1_response.py": (RESPONSE,),
    "http1_fields.py": (REQUEST, RESPONSE),
    "http1_body.py": (REQUEST, RESPONSE),
}
# A response's header names are kept whatever they are.
NEVER = {"BAD_RESPONSE_UNDERSCORE"}


def sources() -> list[pathlib.Path]:
    found = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return [path for path in found if not any(p.is_symlink() for p in path.parents if ROOT in p.parents)]


def strings(node: ast.AST) -> list[str]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def words_of(call: ast.Call, prefixes: tuple[str, ...]) -> set[str]:
    """Causes that a call names: parsers' refusals, errors that are made, answers of middlewares."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ("refusal", "_bad", "_error") and prefixes:
        return {prefix + word for a in call.args for word in strings(a) for prefix in prefixes if WORD.fullmatch(word)}
    if isinstance(getattr(errors, name, None), type) or name == "answer":
        named = [*call.args, *(k.value for k in call.keywords if k.arg == "cause")]
        return {a.value for a in named if isinstance(a, ast.Constant) and WORD.fullmatch(str(a.value))}
    return set()


def causes_in(path: pathlib.Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            found |= words_of(node, CODECS.get(path.name, ()))
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named = any(getattr(t, "attr", getattr(t, "id", "")) == "cause" for t in targets)
            if named and isinstance(node.value.value, str) and WORD.fullmatch(node.value.value):
                found.add(node.value.value)
    return found


def everything() -> dict[str, causes.Cause]:
    for room in ("middlewares", "services"):
        registry.load(room)
    return causes.declared()


def test_every_cause_in_the_source_is_declared() -> None:
    known = everything()
    used = {word: path.name for path in sources() for word in causes_in(path)}
    assert len(used) > 60, "the search finds nothing any more"
    missing = {word: file for word, file in used.items() if word not in known and word not in NEVER}
    assert missing == {}, "declare them: in edgerouter/causes.py, or with causes.declare(...) in the plugin's own file"


def test_the_page_is_the_enumeration() -> None:
    everything()
    page = (ROOT / "docs/causes.md").read_text()
    assert page == causes.page(), "write it anew: python -m edgerouter causes > docs/causes.md"


def test_errors_and_enumeration_say_the_same() -> None:
    known = everything()
    for cls in typing.cast("list[type[errors.EdgeError]]", [c for c in vars(errors).values() if isinstance(c, type)]):
        if cls is not errors.ConfigurationError:
            assert known[cls.cause].status == cls.status, cls
    for cause in known.values():
        assert cause.whose in (causes.CLIENT, causes.SERVER, causes.CONFIGURATION, causes.ROUTER)
        assert cause.meaning.endswith(".") and cause.remedy.endswith((".", "`."))
