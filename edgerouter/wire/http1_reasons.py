"""Reason phrases of the registered status codes (RFC 9110 section 15 and the IANA registry), as bytes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

# RFC 9110 renamed two of what Python 3.11 knows; 425 and others are the same.
_RENAMED: Final[dict[int, bytes]] = {413: b"Content Too Large", 422: b"Unprocessable Content"}
_EXTRA: Final[dict[int, bytes]] = {499: b"Client Closed Request"}


def _table() -> dict[int, bytes]:
    table = {int(status): status.phrase.encode() for status in HTTPStatus}
    table.update(_RENAMED)
    table.update(_EXTRA)
    return table


def _lines(reasons: dict[int, bytes]) -> list[bytes]:
    known = ((status, reasons.get(status)) for status in range(1000))
    return [b"" if reason is None else b"HTTP/1.1 %d %b\r\n" % (status, reason) for status, reason in known]


STATUS_LINES: Final = _lines(_table())  # index: the status; empty where it is not registered
