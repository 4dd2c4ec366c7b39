"""What can be known to fail before an order is placed: names that do not exist, CAA records that forbid, addresses that
are not ours. An authority counts failed orders against us; a question to the DNS costs nothing. Blocking.
"""

from __future__ import annotations

import http.client
import secrets
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

import dns.exception
import dns.name
import dns.resolver

from edgerouter.certs.acme.authority import Prover
from edgerouter.certs.acme.refused import Refused
from edgerouter.certs.acme.tlsalpn import TlsProver
from edgerouter.certs.acme.tokens import PATH, HttpProver
from edgerouter.config.resolvers import Preflight as Options
from edgerouter.net.tls_contexts import ACME_PROTOCOL

SECONDS: Final = 5.0  # for the DNS, and until a connection is there
ANSWER: Final = 30.0  # seconds from there to the answer: at a start connections are there before workers serve them
Look = Callable[[str, str, int, str], str]


class Place(Protocol):
    """A prover's place for proofs that no authority has asked for."""

    def put(self, name: str, token: str, authorization: str) -> str:
        """Have it in place when this returns; what is to be seen there."""

    def remove(self, name: str, token: str) -> None:
        """Take it away."""


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
    """Looks at one name at a time. ``issuer``: the authority's name in CAA records, "" not to look at those.
    ``prover``: how names are proved; where the authority will come to the name's address, we go first."""

    def __init__(self, issuer: str, options: Options, prover: Prover | None = None) -> None:
        self.prover = prover
        self._resolver = make_resolver(options.resolvers)
        self._issuer = issuer
        self._options = options

    def check(self, name: str, by_dns: bool) -> None:
        """Raises Refused with ``NXDOMAIN``, ``NO_ADDRESS``, ``CAA`` or ``NOT_US``. ``by_dns``: proved by a TXT record,
        so the name needs no address."""
        self._caa(name)
        if by_dns:
            return
        addresses = self._addresses(name)
        if isinstance(self.prover, HttpProver):
            self._reach(name, addresses, self._options.http_port, self.prover, _page_at)
        elif isinstance(self.prover, TlsProver):
            self._reach(name, addresses, self._options.tls_port, self.prover, _certificate_at)

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

    @staticmethod
    def _reach(name: str, addresses: Sequence[str], port: int, prover: Place, look: Look) -> None:
        """Ask for a proof of our own the way that the authority will: whoever answers must be us."""
        token = secrets.token_urlsafe(24)
        try:
            proof = prover.put(name, token, secrets.token_urlsafe(16))
            for address in addresses:
                found = _looked(look, name, address, port, token)
                if found.strip() != proof.strip():
                    words = f"{name} is {address}, and that is somebody else: our own proof is not there"
                    raise Refused("NOT_US", words)
        finally:
            prover.remove(name, token)


def _looked(look: Look, name: str, address: str, port: int, token: str) -> str:
    try:
        return look(name, address, port, token)
    except (OSError, ValueError, http.client.HTTPException) as error:
        words = f"{name} is {address}, and port {port} there does not answer as this router does: {error}"
        raise Refused("NOT_US", words) from error


def _page_at(name: str, address: str, port: int, token: str) -> str:
    connection = http.client.HTTPConnection(address, port, timeout=SECONDS)
    try:
        connection.connect()
        connection.sock.settimeout(ANSWER)
        connection.request("GET", f"{PATH}{token}", headers={"Host": name, "Connection": "close"})
        return connection.getresponse().read(200).decode("latin-1")
    finally:
        connection.close()


def _certificate_at(name: str, address: str, port: int, token: str) -> str:
    """As RFC 8737 section 3 has the authority come."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([ACME_PROTOCOL])
    with socket.create_connection((address, port), SECONDS) as raw:
        raw.settimeout(ANSWER)
        with context.wrap_socket(raw, server_hostname=name) as tls:
            return ssl.DER_cert_to_PEM_cert(tls.getpeercert(True) or b"")


def issuer_of(directory: str) -> str:
    """The name by which CAA records mean a well-known authority; "" for others."""
    host = urlsplit(directory).hostname or ""
    return next((name for end, name in _ISSUERS.items() if host == end or host.endswith(f".{end}") or end in host), "")
