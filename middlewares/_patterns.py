"""Patterns in options: Go's regular expressions (RE2), with an error that names the option."""

from __future__ import annotations

from edgerouter.rules import go_regex


def compile_pattern(option: str, pattern: str) -> go_regex.GoRegex:
    """Raises ValueError that names the option and the pattern."""
    try:
        return go_regex.compile(pattern)
    except ValueError as error:
        raise ValueError(f"{option}: {pattern!r}: {error}") from error
