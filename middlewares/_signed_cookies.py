"""Cookies that only whoever has the key can make: a value, until when it counts, and what it is for. Pure.

They can be read by the browser's user, and hold nothing that the user may not know. A cookie made for one purpose is
none for another, nor under another name.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import blake2b
from typing import Any

import msgspec


class CookieSigner:
    """``secret`` of 32 characters or more; the same on all machines that must understand each other's cookies."""

    def __init__(self, secret: str, who: str) -> None:
        self._key = blake2b(secret.encode(), digest_size=32, person=b"edgerouter").digest() + who.encode()

    def make(self, purpose: str, values: dict[str, Any], ends: float) -> str:
        """A value for a cookie that counts until ``ends`` (Unix seconds)."""
        body = _encode(msgspec.json.encode({**values, "ends": ends}))
        return f"{body}.{self._sign(purpose, body)}"

    def read(self, purpose: str, cookie: str, now: float) -> dict[str, Any] | None:
        """The values; None for a cookie that is not ours, or counts no more."""
        body, _, sign = cookie.rpartition(".")
        if not hmac.compare_digest(sign.encode("latin-1", "replace"), self._sign(purpose, body).encode()):
            return None
        try:
            values = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except (msgspec.DecodeError, binascii.Error, ValueError):
            return None
        return values if isinstance(values, dict) and now < values.get("ends", 0) else None

    def _sign(self, purpose: str, body: str) -> str:
        data = f"{purpose}\n{body}".encode("latin-1", "replace")
        return _encode(hmac.new(self._key, data, "sha256").digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
