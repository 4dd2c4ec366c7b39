"""The options of ``compress``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.middlewares._codings import CODINGS


class Options(Model, frozen=True):
    """Options of ``compress``."""

    # what is offered, the most wanted first: gzip, br, zstd
    encodings: tuple[str, ...] = CODINGS
    # the coding for clients that send no Accept-Encoding; empty: none
    default_encoding: str = ""
    # smaller bodies stay as they are
    min_response_body_bytes: int = 1024
    # media types that stay as they are
    excluded_content_types: tuple[str, ...] = ()
    # the only media types that are compressed
    included_content_types: tuple[str, ...] = ()
