"""Which media type the first 512 bytes of a body have (WHATWG MIME Sniffing, sections 6 and 7, as Go's
``http.DetectContentType`` reads them). Pure."""

from __future__ import annotations

import re
from typing import Final

LENGTH: Final = 512

_SPACE: Final = b"\t\n\x0c\r "
_TAGS: Final = re.compile(
    rb"<(?:!DOCTYPE HTML|HTML|HEAD|SCRIPT|IFRAME|H1|DIV|FONT|TABLE|A|STYLE|TITLE|B|BODY|BR|P|!--)[ >]", re.IGNORECASE
)
_SIGNATURES: Final[list[tuple[re.Pattern[bytes], str]]] = [
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"%PDF-", "application/pdf"),
        (rb"%!PS-Adobe-", "application/postscript"),
        (rb"\xfe\xff..", "text/plain; charset=utf-16be"),
        (rb"\xff\xfe..", "text/plain; charset=utf-16le"),
        (rb"\xef\xbb\xbf.", "text/plain; charset=utf-8"),
        (rb"\x00\x00\x01\x00", "image/x-icon"),
        (rb"\x00\x00\x02\x00", "image/x-icon"),
        (rb"BM", "image/bmp"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF....WEBPVP", "image/webp"),
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"FORM....AIFF", "audio/aiff"),
        (rb"ID3", "audio/mpeg"),
        (rb"OggS\x00", "application/ogg"),
        (rb"MThd\x00\x00\x00\x06", "audio/midi"),
        (rb"RIFF....AVI ", "video/avi"),
        (rb"RIFF....WAVE", "audio/wave"),
        (rb"\x1a\x45\xdf\xa3", "video/webm"),
        (rb".{34}LP", "application/vnd.ms-fontobject"),
        (rb"\x00\x01\x00\x00", "font/ttf"),
        (rb"OTTO", "font/otf"),
        (rb"ttcf", "font/collection"),
        (rb"wOFF", "font/woff"),
        (rb"wOF2", "font/woff2"),
        (rb"\x1f\x8b\x08", "application/x-gzip"),
        (rb"PK\x03\x04", "application/zip"),
        (rb"Rar!\x1a\x07\x00", "application/x-rar-compressed"),
        (rb"Rar!\x1a\x07\x01\x00", "application/x-rar-compressed"),
        (rb"\x00\x61\x73\x6d", "application/wasm"),
    )
]
_BINARY: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")


def media_type_of(data: bytes) -> str:
    """Never fails: text without a sign is ``text/plain``, everything else ``application/octet-stream``."""
    data = data[:LENGTH]
    text = data.lstrip(_SPACE)
    if _TAGS.match(text):
        return "text/html; charset=utf-8"
    if text.startswith(b"<?xml"):
        return "text/xml; charset=utf-8"
    for pattern, kind in _SIGNATURES:
        if pattern.match(data):
            return kind
    if _is_mp4(data):
        return "video/mp4"
    return "application/octet-stream" if _BINARY.search(text) else "text/plain; charset=utf-8"


def _is_mp4(data: bytes) -> bool:
    """A box ``ftyp`` at the start whose brands name mp4."""
    size = int.from_bytes(data[:4], "big")
    if len(data) < 12 or size % 4 or len(data) < size or data[4:8] != b"ftyp":
        return False
    return any(data[place : place + 3] == b"mp4" for place in range(8, size, 4) if place != 12)
