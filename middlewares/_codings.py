"""Content codings: which one a client takes, and the compressors. Nothing here knows of responses.

Levels and windows are chosen so that a step of 16 KB takes well under a millisecond and a stream less than a megabyte
(zlib 0.3): 200 compressed streams at once must not be what a small machine dies of.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, Final

from edgerouter.http.headers import Headers
from edgerouter.middlewares._fields import weighted
from edgerouter.middlewares._pipe import Work

_GZIP_LEVEL: Final = 5
_BROTLI_QUALITY: Final = 4
_ZSTD_LEVEL: Final = 3
_WINDOW_LOG: Final = 17  # 128 KB
_GZIP_WINDOW: Final = 31  # 15 bits, with gzip's header

Maker = Callable[[], Work]


class Gzip(Work):
    """RFC 1952."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)

    def feed(self, data: bytes) -> bytes:
        """See ``Work``."""
        return self._stream.compress(data)

    def flush(self) -> bytes:
        """See ``Work``."""
        return self._stream.flush(zlib.Z_SYNC_FLUSH)

    def end(self, trailers: Headers | None) -> bytes:
        """See ``Work``."""
        return self._stream.flush()


class Brotli(Work):
    """RFC 7932."""

    def __init__(self, brotli: Any) -> None:
        self._stream = brotli.Compressor(quality=_BROTLI_QUALITY, lgwin=_WINDOW_LOG)

    def feed(self, data: bytes) -> bytes:
        """See ``Work``."""
        return bytes(self._stream.process(data))

    def flush(self) -> bytes:
        """See ``Work``."""
        return bytes(self._stream.flush())

    def end(self, trailers: Headers | None) -> bytes:
        """See ``Work``."""
        return bytes(self._stream.finish())


class Zstd(Work):
    """RFC 8878; the window is within the 8 MB that RFC 9659 allows."""

    def __init__(self, zstd: Any) -> None:
        parameter = zstd.CompressionParameter
        options = {parameter.compression_level: _ZSTD_LEVEL, parameter.window_log: _WINDOW_LOG}
        self._stream = zstd.ZstdCompressor(options=options)

    def feed(self, data: bytes) -> bytes:
        """See ``Work``."""
        return bytes(self._stream.compress(data))

    def flush(self) -> bytes:
        """See ``Work``."""
        return bytes(self._stream.flush(self._stream.FLUSH_BLOCK))

    def end(self, trailers: Headers | None) -> bytes:
        """See ``Work``."""
        return bytes(self._stream.flush(self._stream.FLUSH_FRAME))


CODINGS: Final = ("gzip", "br", "zstd")
_MODULES: Final = {"br": ("brotli",), "zstd": ("compression.zstd", "backports.zstd")}
_PACKAGES: Final = {"br": "brotli", "zstd": "backports.zstd"}


def maker(name: str) -> Maker:
    """What makes compressors of this coding. Raises ValueError where it is unknown or its package is not installed."""
    if name == "gzip":
        return Gzip
    if name not in _MODULES:
        raise ValueError(f"there is no encoding {name!r}; write {', '.join(CODINGS)}")
    return partial(Brotli if name == "br" else Zstd, _library(name))


def _library(name: str) -> Any:
    for module in _MODULES[name]:
        with suppress(ImportError):
            return import_module(module)
    raise ValueError(f"the encoding {name} needs the Python package {_PACKAGES[name]}, which is not installed")


def choose(lines: list[str], offered: tuple[str, ...], default: str) -> str:
    """The coding for these Accept-Encoding fields, "" for none (RFC 9110 section 12.5.3).

    The highest weight wins, among equals the first offered. Without the field the ``default`` is used; an asterisk
    means the default too, or the first offered that is not named.
    """
    if not lines:
        return default
    accepted = weighted(lines)
    best, weight = "", accepted.get("identity", 0.0)
    rest = accepted.get("*", 0.0)
    order = sorted(offered, key=lambda name: name != default) if rest and default else offered
    for name in order:
        quality = accepted.get(name, accepted.get("x-gzip", rest) if name == "gzip" else rest)
        if quality > weight or (quality == weight > 0.0 and not best):
            best, weight = name, quality
    return best
