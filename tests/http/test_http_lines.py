"""Header lines as bytes, and headers edited without an index beside a plain list that is edited the same way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from librt.strings import BytesWriter

from edgerouter.http.headers import Field, Headers
from edgerouter.http.lines import ALL, FieldName, field_name, find_line, line_end, name_bit, names_in

NAMES = ["A", "a", "B", "Bc", "X-Forwarded-For", "x-a", "Connection", "Date"]


def test_a_bit_is_the_same_in_any_case_and_they_are_many() -> None:
    names = [f"x-{first}{rest}" for first in "abcdefghijklmnop" for rest in ("", "field", "Other-Name", "length-9")]
    assert all(field_name(name).bit == field_name(name.upper()).bit for name in names)
    assert len({field_name(name).bit for name in names}) > 15
    assert all(bin(field_name(name).bit & (1 << 64) - 1).count("1") == 1 for name in names)
    assert name_bit(b"..Host: x", 2, 6) == FieldName("hOsT").bit


@pytest.mark.parametrize("name", ["", "no token", "a:", "\xe9"])
def test_what_is_no_name_stands_nowhere(name: str) -> None:
    assert FieldName(name).bit == 0


def test_names_of_whole_lines() -> None:
    assert names_in(b"A: 1\r\nB: 2\r\n") == field_name("a").bit | field_name("b").bit
    assert names_in(b"") == 0
    assert names_in(b": 1\r\n") == ALL


@given(st.lists(st.sampled_from([b"", b"1", b"12345678", b"a: b", b"0123456789012345"]), max_size=6), st.integers(0, 9))
def test_line_ends(values: list[bytes], at: int) -> None:
    block = b"".join(b"N: " + value + b"\r\n" for value in values)
    at = min(at, len(block))
    found = block.find(b"\n", at) + 1
    assert line_end(block, at) == (found or len(block))


def test_a_line_is_found_by_its_whole_name_only() -> None:
    block = b"Bc: 1\r\nX: B: 2\r\nb: 3\r\n"
    assert find_line(block, b"b", 0) == block.index(b"b: 3")
    assert find_line(block, b"c", 0) == -1
    assert find_line(block, b"b", len(block)) == -1


EDITS = st.lists(
    st.tuples(st.sampled_from(["set", "put", "add", "remove", "get", "all", "index", "block"]), st.sampled_from(NAMES)),
    max_size=12,
)
LINES = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["1", "", "two words"]), st.booleans()), max_size=8)


@given(LINES, EDITS)
def test_edits_are_those_of_a_plain_list(lines: list[tuple[str, str, bool]], edits: list[tuple[str, str]]) -> None:
    """``cut`` lines are not part of the message; with an index and without one the same comes out."""
    raw, cuts, model = b"", [], []
    for name, value, cut in lines:
        line = f"{name}: {value}\r\n".encode()
        if cut:
            cuts += [len(raw), len(raw) + len(line)]
        else:
            model.append((name, value))
        raw += line
    headers = Headers(raw, cuts)
    for number, (edit, name) in enumerate(edits):
        apply(headers, model, edit, name, str(number))
    out = BytesWriter()
    headers.write_to(out)
    assert out.getvalue() == b"".join(f"{name}: {value}\r\n".encode() for name, value in model)
    assert headers.items() == model
    assert headers.copy().items() == model


def apply(headers: Headers, model: list[tuple[str, str]], edit: str, name: str, value: str) -> None:
    """One edit or question to both."""
    known = [pair[1] for pair in model if pair[0].lower() == name.lower()]
    if edit == "get":
        assert headers.get(name) == (known[0] if known else None) and (name in headers) == bool(known)
    elif edit == "all":
        assert headers.get_all(name) == known
    elif edit == "index":
        assert headers.items() == model
    elif edit == "block":
        headers.add_block(f"{name}: {value}\r\nZ: 1\r\n".encode())
        model += [(name, value), ("Z", "1")]
    else:
        if edit != "add":
            model[:] = [pair for pair in model if pair[0].lower() != name.lower()]
        if edit == "remove":
            assert headers.remove(name) == bool(known)
            return
        if edit == "put":
            headers.put(Field(name, value))
        elif edit == "set":
            headers.set(name, value)
        else:
            headers.add(name, value)
        model.append((name, value))
