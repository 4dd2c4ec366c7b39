"""The cookie that keeps a client on its first choice: reading and writing it. Compiled.

A member is a server (its address) or a child service (its name). The value is what Traefik writes: the first 16 hex
digits of the member's SHA-256; its older form (FNV-1a, 64 bits, hex) and that of 1.x (the address itself) are read and
then written anew. With a key the value is followed by a point and a signature (120 bits of HMAC-SHA-256 over service
and member): unsigned ones are then ignored, unless ``acceptUnsigned``. Nothing but the configuration is needed to read
a value again, so cookies hold across workers, restarts and machines.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from hashlib import sha1, sha256
from typing import Final

from edgerouter.http.exchange import Exchange
from edgerouter.services._options import Cookie

_SAME_SITE: Final = {"none": "None", "lax": "Lax", "strict": "Strict"}
_NO_TOKEN: Final = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")  # RFC 9110 section 5.6.2
_NO_ATTRIBUTE: Final = re.compile(r"[^\x20-\x3a\x3c-\x7e]")  # RFC 6265 section 4.1.1


def cookie_name(given: str, service: str) -> str:
    """Return the cookie's name: as given, with "_" for what no name may hold, or made from the service's name."""
    if given:
        return str(_NO_TOKEN.sub("_", given))
    return f"_{sha1(f'_TRAEFIK_BACKEND_{service}'.encode(), usedforsecurity=False).hexdigest()[:5]}"


def value_of(member: str) -> str:
    """Return Traefik's value for a member."""
    return sha256(member.encode()).hexdigest()[:16]


def old_value_of(member: str) -> str:
    """Return the value that Traefik wrote before: FNV-1a of 64 bits, in hex without leading zeros."""
    state = 0xCBF29CE484222325
    for byte in member.encode():
        state = ((state ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{state:x}"


def _attributes(options: Cookie) -> str:
    """Raises ValueError for what browsers would not take."""
    path, domain = str(options.path), str(options.domain)
    for name, text in (("path", path), ("domain", domain)):
        if _NO_ATTRIBUTE.search(text):
            raise ValueError(f"sticky.cookie.{name}: {text!r} holds a character that no cookie may have")
    same_site = _SAME_SITE.get(str(options.same_site).lower(), "")
    if options.same_site and not same_site:
        raise ValueError(f"sticky.cookie.sameSite: {options.same_site!r} is none of none, lax, strict")
    parts = [f"; Path={path}" if path else "", f"; Domain={domain}" if domain else ""]
    if options.max_age:
        parts.append(f"; Max-Age={max(int(options.max_age), 0)}")
    parts.append("; HttpOnly" if options.http_only else "")
    parts.append("; Secure" if options.secure else "")
    parts.append(f"; SameSite={same_site}" if same_site else "")
    return "".join(parts)


class Stickiness:
    """One cookie and its members. ``member`` and ``line`` deal in indexes of the list that ``assign`` was given."""

    def __init__(self, options: Cookie, service: str) -> None:
        self.name = cookie_name(str(options.name), service)
        self._service = service
        self._attributes = _attributes(options)
        self._key = b"" if options.key is None else options.key.reveal().encode()
        if options.key is not None and len(self._key) < 16:
            raise ValueError("sticky.cookie.key: write at least 16 characters, e.g. of `openssl rand -hex 32`")
        self._unsigned = not self._key or bool(options.accept_unsigned)
        self._known: dict[str, int] = {}
        self._lines: list[str] = []
        self._current: list[str] = []

    def assign(self, members: list[list[str]]) -> None:
        """Set the members, each by its names: the first is written, all are read. Of equal ones the first counts."""
        self._known, self._lines, self._current = {}, [], []
        for index, names in enumerate(members):
            value = self._signed(value_of(names[0]))
            self._current.append(value)
            self._lines.append(f"{self.name}={value}{self._attributes}")
            for known in [value, *self._readable(names)]:
                self._known.setdefault(known, index)

    def member(self, exchange: Exchange) -> int:
        """Return the index of the member that the client's cookie names, -1 for none, or for one that is not known."""
        for field in exchange.request.headers.get_all("Cookie"):
            if self.name in field:
                index = self._find(field)
                if index >= 0:
                    return index
        return -1

    def line(self, exchange: Exchange, index: int) -> str:
        """Return the Set-Cookie value for a member, "" when the client has just that cookie."""
        value = f"{self.name}={self._current[index]}"
        for field in exchange.request.headers.get_all("Cookie"):
            if any(pair.strip() == value for pair in field.split(";")):
                return ""
        return self._lines[index]

    def _find(self, field: str) -> int:
        for pair in field.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self.name:
                index = self._known.get(value.strip('"'), -1)
                if index >= 0:
                    return index
        return -1

    def _signed(self, value: str) -> str:
        if not self._key:
            return value
        text = f"{self._service}\0{value}".encode()
        mac = urlsafe_b64encode(hmac.digest(self._key, text, "sha256")[:15])
        return f"{value}.{mac.decode()}"

    def _readable(self, names: list[str]) -> list[str]:
        if not self._unsigned:
            return []
        return [form for name in names for form in (value_of(name), old_value_of(name), name)]
