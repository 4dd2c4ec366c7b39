"""Hashes of passwords as ``htpasswd`` makes them: which kind one is, and whether a password belongs to it. Pure.

bcrypt (``-B``), MD5 of Apache and of Unix (``-m``, ``$apr1$`` and ``$1$``) and SHA-1 (``-s``). bcrypt takes tens of
milliseconds and MD5 about one, by design: call ``matches`` in a thread for those that are ``is_slow``.
"""

from __future__ import annotations

import base64
import hmac
from hashlib import md5, sha1
from typing import Final

import bcrypt

_BCRYPT: Final = ("$2y$", "$2b$", "$2a$")
_MD5: Final = ("$apr1$", "$1$")
_SHA: Final = "{SHA}"
_DIGITS: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ORDER: Final = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))


def is_known(stored: str) -> bool:
    """True for a hash that can be checked."""
    if stored.startswith(_BCRYPT):
        return len(stored) == 60
    return stored.startswith((*_MD5, _SHA))


def is_slow(stored: str) -> bool:
    """True when checking takes longer than an event loop may wait."""
    return not stored.startswith(_SHA)


def matches(password: bytes, stored: str) -> bool:
    """True when the password is the one that the hash was made of; takes the same time either way."""
    if stored.startswith(_BCRYPT):
        return _matches_bcrypt(password, stored)
    if stored.startswith(_SHA):
        made = _SHA + base64.b64encode(sha1(password, usedforsecurity=False).digest()).decode()
    else:
        made = md5_crypt(password, stored)
    return hmac.compare_digest(made.encode(), stored.encode())


def _matches_bcrypt(password: bytes, stored: str) -> bool:
    try:
        return bcrypt.checkpw(password[:72], stored.encode())  # htpasswd and Go look at 72 bytes, too
    except ValueError:
        return False


def md5_crypt(password: bytes, stored: str) -> str:
    """The hash of the password with the salt of ``stored``: ``$apr1$salt$...`` or ``$1$salt$...``."""
    _, magic, salt_text, *_ = [*stored.split("$"), "", "", ""]
    salt = salt_text.encode()[:8]
    inner = _md5(password + salt + password)
    context = password + b"$" + magic.encode() + b"$" + salt
    context += (inner * (len(password) // 16 + 1))[: len(password)]
    bits = len(password)
    while bits:
        context += b"\0" if bits & 1 else password[:1]
        bits >>= 1
    final = _md5(context)
    for turn in range(1000):
        data = password if turn & 1 else final
        data += salt if turn % 3 else b""
        data += password if turn % 7 else b""
        final = _md5(data + (final if turn & 1 else password))
    return f"${magic}${salt.decode()}${_encode(final)}"


def _md5(data: bytes) -> bytes:
    return md5(data, usedforsecurity=False).digest()


def _encode(final: bytes) -> str:
    text = "".join(_digits(final[a] << 16 | final[b] << 8 | final[c], 4) for a, b, c in _ORDER)
    return text + _digits(final[11], 2)


def _digits(number: int, count: int) -> str:
    return "".join(_DIGITS[number >> 6 * place & 63] for place in range(count))
