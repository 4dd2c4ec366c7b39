"""Typed objects -> the plain data that travels in a Plan, and the same with secrets hidden; content hashes. Pure."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import msgspec

from edgerouter.config.types import MASK, Secret, hide_hook, reveal_hook
from edgerouter.contracts.plan import Entry

_reveal: Final = msgspec.msgpack.Encoder(enc_hook=reveal_hook)
_hide: Final = msgspec.msgpack.Encoder(enc_hook=hide_hook)


def revealed(value: Any) -> Any:
    """Plain data as a worker decodes it, secrets in clear; a copy of its own."""
    return msgspec.msgpack.decode(_reveal.encode(value))


def hidden(value: Any) -> Any:
    """Plain data for people, secrets as ``***``."""
    return msgspec.msgpack.decode(_hide.encode(value))


def masked(text: str, options: Any) -> str:
    """``text``, a plugin's own words about these options, without the secrets in them."""
    found: set[str] = set()

    def collect(value: Any) -> Any:
        if isinstance(value, Secret):
            found.add(value.reveal())
        return hide_hook(value)

    msgspec.msgpack.Encoder(enc_hook=collect).encode(options)
    for secret in sorted(found - {""}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def content_hash(entry: Entry) -> int:
    """64 bits of the entry's content: the same in every process and after an upgrade."""
    return int.from_bytes(blake2b(_reveal.encode(entry), digest_size=8).digest(), "big")
