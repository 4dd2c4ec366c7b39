"""Value types of the configuration that are more than text and numbers: durations, secrets, problems."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER: Final = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
MASK: Final = "***"


class Duration(float):
    """Seconds. Read from a bare number (seconds) or Go's form (``1h30m``, ``500ms``), as Traefik reads them."""

    @staticmethod
    def parse(value: object) -> Duration:
        """Raises ValueError that says what is expected."""
        text = str(value).strip()
        sign = -1.0 if text.startswith("-") else 1.0
        digits = text.removeprefix("-") if sign < 0 else text.removeprefix("+")
        parts = _PART.findall(digits)
        seconds = math.nan
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            seconds = float(value)
        elif _NUMBER.fullmatch(digits):
            seconds = sign * float(digits)
        elif parts and "".join(n + u for n, u in parts) == digits:
            seconds = sign * sum(float(n) * _UNITS[u] for n, u in parts)
        if not math.isfinite(seconds):
            raise ValueError(f"expected a duration such as 10s, 1m30s or a number of seconds, got {text!r}")
        return Duration(seconds)


class Secret:
    """Text that is never shown: ``str()``, ``repr()`` and every encoder but the Plan's print ``***``."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))


class Problem(msgspec.Struct, frozen=True, order=True):
    """A fault of the configuration, as a value.

    ``path`` names the object and option (``http.routers.web.rule``, a label, a file and line), ``message`` says what
    is wrong, ``hint`` what to write instead; ``source`` is the provider or file. Never quotes contents of files.
    """

    path: str
    message: str
    hint: str = ""
    source: str = ""
    severity: str = "error"  # or "warning"


def decode_hook(kind: type, value: Any) -> Any:
    """msgspec's hook for the types of this file; raises ValueError or NotImplementedError."""
    if kind is Duration:
        return Duration.parse(value)
    if kind is Secret:
        return value if isinstance(value, Secret) else Secret(str(value))
    raise NotImplementedError(kind)


def hide_hook(value: Any) -> Any:
    """Encode for people: secrets as ``***``, durations as seconds."""
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, Duration):
        return float(value)
    raise NotImplementedError(type(value))


def reveal_hook(value: Any) -> Any:
    """Encode for workers, over a private socket: secrets in clear."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Duration):
        return float(value)
    raise NotImplementedError(type(value))
