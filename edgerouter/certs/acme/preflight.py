"""What can be known to fail before an order is placed: names that do not exist, CAA records that forbid, addresses that
are not ours. An authority counts failed orders against us; a question to the DNS costs nothing. Blocking.
"""

from __future__ import annotations

import http.client
import secrets
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import dns.exception
import dns.name
import dns.resolver

from edgerouter.certs.acme.refused import Refused
from edgerouter.certs.acme.tokens import PATH, HttpProver

SECONDS: Final = 5.0
# The names by which well-known authorities are named in CAA records, by their directory's host.
_ISSUERS: Final = {
    "api.letsencrypt.org": "letsencrypt.org",
    "zerossl.com": "sectigo.com",
    "pki.goog": "pki.goog",
    "api.buypass.com": "buypass.com",
    "acme.ssl.com": "ssl.com",
}


def make_resolver(servers: Sequence[str]) -> dns.resolver.Resolver:
    """A resolver for ``host:port`` servers, or the system's."""
    resolver = dns.resolver.Resolver(configure=not servers)
    resolver.lifetime = SECONDS
    if servers:
        pairs = [server.rpartition(":") if ":" in server else (server, ":", "53") for server in servers]
        resolver.nameservers = [host.strip("[]") for host, _, _ in pairs]
        resolver.port = int(pairs[0][2])
    return resolver


class Preflight:
    """Looks at one name at a time. ``issuer``: the authority's name in CAA records, "" not to look at those. With
    ``pages`` the authority will come over HTTP, to ``port``, and we go first."""

    def __init__(self, issuer: str, servers: Sequence[str], pages: HttpProver | None, port: int = 80) -> None:
        self._resolver = make_resolver(servers)
        self._issuer = issuer
        self._pages = pages
        self._port = port

    def check(self, name: str, by_dns: bool) -> None:
        """Raises Refused with ``NXDOMAIN``, ``NO_ADDRESS``, ``CAA`` or ``NOT_US``. ``by_dns``: proved by a TXT record,
        so the name needs no address."""
        self._caa(name)
        if by_dns:
            return
        addresses = self._addresses(name)
        if self._pages is not None:
            for address in addresses:
                self._reach(name, address)

    def _ask(self, name: str, kind: str) -> list[str]:
        try:
            return [str(record) for record in self._resolver.resolve(name, kind, raise_on_no_answer=False)]
        except dns.resolver.NXDOMAIN as error:
            raise Refused("NXDOMAIN", f"{name} does not exist in the DNS") from error
        except dns.exception.DNSException as error:
            raise Refused("DNS", f"{name}: the DNS does not answer: {error}") from error

    def _addresses(self, name: str) -> list[str]:
        found = [*self._ask(name, "AAAA"), *self._ask(name, "A")]
        if not found:
            raise Refused("NO_ADDRESS", f"{name} has neither an A nor an AAAA record")
        return found

    def _caa(self, name: str) -> None:
        """RFC 8659 section 3: the records of the name, or of the nearest name above that has any."""
        if not self._issuer:
            return
        wild = name.startswith("*.")
        at = dns.name.from_text(name.removeprefix("*."))
        while len(at.labels) > 2:
            records = self._records(str(at))
            if records:
                self._allowed(name, str(at), records, wild)
                return
            at = at.parent()

    def _records(self, name: str) -> list[tuple[str, str]]:
        try:
            found = self._resolver.resolve(name, "CAA", raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            return []
        except dns.exception.DNSException:
            return []  # the authority will say it, if it sees the same
        return [(record.tag.decode().lower(), record.value.decode()) for record in found]

    def _allowed(self, name: str, at: str, records: list[tuple[str, str]], wild: bool) -> None:
        issue = [value for tag, value in records if tag == "issue"]
        if wild and any(tag == "issuewild" for tag, _ in records):
            issue = [value for tag, value in records if tag == "issuewild"]
        if issue and not any(value.partition(";")[0].strip().lower() == self._issuer for value in issue):
            said = ", ".join(repr(value) for value in issue)
            raise Refused("CAA", f"{name}: the CAA record of {at} allows {said}, not {self._issuer!r}")

    def _reach(self, name: str, address: str) -> None:
        """Ask for a token of our own the way that the authority will: whoever answers must be us."""
        assert self._pages is not None
        token, proof = secrets.token_urlsafe(24), secrets.token_urlsafe(16)
        self._pages.show(name, token, proof, "")
        try:
            connection = http.client.HTTPConnection(address, self._port, timeout=SECONDS)
            connection.request("GET", f"{PATH}{token}", headers={"Host": name, "Connection": "close"})
            body = connection.getresponse().read(200).decode("latin-1")
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise Refused(
                "NOT_US", f"{name} is {address}, and port {self._port} there does not answer: {error}"
            ) from error
        finally:
            self._pages.remove(name, token)
        if body.strip() != proof:
            raise Refused("NOT_US", f"{name} is {address}, and that is somebody else: our own token is not there")


def issuer_of(directory: str) -> str:
    """The name by which CAA records mean a well-known authority; "" for others."""
    host = urlsplit(directory).hostname or ""
    return next((name for end, name in _ISSUERS.items() if host == end or host.endswith(f".{end}") or end in host), "")
