"""What the HTTP/1.1 codec's files share: framings, limits, byte tables. No parsing here, and no I/O in any of them."""

from __future__ import annotations

from typing import Final

NONE: Final = 0  # no body
LENGTH: Final = 1  # Content-Length
CHUNKED: Final = 2  # Transfer-Encoding: chunked
UNTIL_CLOSE: Final = 3  # responses only: the connection's end is the body's end

MAX_LENGTH_DIGITS: Final = 18  # of a Content-Length: below 2**63 whatever they are

_TOKEN_CHARS: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# A table holds one class for each byte value; looking it up is one load in compiled code.
TOKEN: Final = bytes(1 if c in _TOKEN_CHARS else 0 for c in range(256))  # RFC 9110 section 5.6.2
VALUE: Final = bytes(1 if c == 9 or (c >= 32 and c != 127) else 0 for c in range(256))  # RFC 9110 section 5.5
LOWER: Final = bytes(c + 32 if 65 <= c <= 90 else c for c in range(256))


class Limits:
    """What one head, body framing or path may be, per entry point.

    ``max_head_bytes``  start line and fields together, in bytes (Traefik ``http.maxHeaderBytes``)
    ``max_lines``       field lines of one head
    ``max_trailer_bytes``  trailer section, in bytes
    ``max_extension_bytes``  chunk extensions of one body, in bytes beyond what its payload amounts to
    ``sanitize_path``   collapse ``//``, ``/./`` and ``/../`` (Traefik ``http.sanitizePath``)
    ``underscores``     fields with ``_`` in their name: ``keep``, ``delete`` or ``reject``
                        (Traefik ``http.underscoreHeadersStrategy``)
    """

    def __init__(
        self,
        max_head_bytes: int = 1048576,
        max_lines: int = 200,
        max_trailer_bytes: int = 16384,
        max_extension_bytes: int = 16384,
        sanitize_path: bool = True,
        underscores: str = "keep",
    ) -> None:
        self.max_head_bytes = max_head_bytes
        self.max_lines = max_lines
        self.max_trailer_bytes = max_trailer_bytes
        self.max_extension_bytes = max_extension_bytes
        self.sanitize_path = sanitize_path
        self.underscores = underscores
