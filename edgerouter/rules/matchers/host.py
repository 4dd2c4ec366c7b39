"""``Host(`example.com`)``: the request's host, whatever its case, port or trailing dot.

``*`` is any host, even none; ``*.example.com`` is exactly one label more. International names in their punycode form.
"""

from __future__ import annotations

from sys import intern
from typing import Final

from edgerouter.http.exchange import Exchange
from edgerouter.registry import matcher
from edgerouter.rules.error import ArgumentError
from edgerouter.rules.predicates import HOST, HOST_UNDER, Clause, Need

_EXACT: Final = 0
_ONE_LABEL: Final = 1
_ANY: Final = 2


class Host(Clause):
    """Exact host, one label under a host, or any host."""

    def __init__(self, args: list[str]) -> None:
        name = plain_host(args[0])
        self.form = _EXACT
        self.host = name
        if name == "*":
            self.form = _ANY
        elif name.startswith("*."):
            self.form = _ONE_LABEL
            self.host = name[2:]
        self.host = intern(self.host)  # the codec's text for this host: found by identity
        if "*" in self.host and self.form != _ANY:
            raise ArgumentError(
                "a star stands alone or as the whole first label, as in *.example.com; or use HostRegexp"
            )

    def test(self, exchange: Exchange) -> bool:
        """Compare with ``request.host``, which is in lower case and bare."""
        if self.form == _EXACT:
            return exchange.request.host == self.host
        if self.form == _ANY:
            return True
        host = exchange.request.host
        dot = host.find(".")
        return dot > 0 and host[dot + 1 :] == self.host

    def need(self) -> Need | None:
        """The host, or the host above it."""
        if self.form == _ANY:
            return None
        return Need(HOST if self.form == _EXACT else HOST_UNDER, self.host, whole=True)


def plain_host(text: str) -> str:
    """Lower case, without port, brackets and trailing dot; raises ArgumentError."""
    if not text.isascii():
        raise ArgumentError(f"international names are written in punycode{_punycode(text)}")
    if "://" in text or "/" in text:
        raise ArgumentError("a host has no scheme and no path; match the path with PathPrefix")
    name = text.lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    if name.count(":") == 1:
        name = name.partition(":")[0]
    name = name.removesuffix(".")
    if not name or any(c.isspace() or c in "`,;{}()" for c in name):
        raise ArgumentError("this is not a host name; several hosts are written Host(`a`) || Host(`b`)")
    return name


def _punycode(text: str) -> str:
    try:
        return f": {text.encode('idna').decode()}"
    except UnicodeError:
        return ""


# Registered by a call: a decorated class would not be native when compiled.
matcher("Host", arity=1)(Host)
