"""The writers of TXT records that are built in: a program, a web hook, dynamic updates of the DNS itself (RFC 2136).

exec      EXEC_PATH: called as ``PATH present|cleanup RECORD VALUE``
httpreq   HTTPREQ_ENDPOINT (+ HTTPREQ_USERNAME, HTTPREQ_PASSWORD): POST /present and /cleanup, {"fqdn", "value"}
rfc2136   RFC2136_NAMESERVER, RFC2136_TSIG_KEY, RFC2136_TSIG_SECRET, RFC2136_TSIG_ALGORITHM, RFC2136_TTL, RFC2136_ZONE
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import dns.exception
import dns.name
import dns.query
import dns.resolver
import dns.tsigkeyring
import dns.update
import requests

from edgerouter.certs.acme.dns01.lexicon import ALIASES, PROVIDERS, Lexicon
from edgerouter.certs.acme.dns01.record import Writer, variable
from edgerouter.certs.acme.refused import Refused, place_of

_SECONDS: Final = 60.0


def _refused(words: str) -> Refused:
    return Refused("DNS_PROVIDER", words)


class Exec:
    """A program of the operator's."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._path = variable(environment, "EXEC_PATH")
        if not self._path:
            raise _refused("dnsChallenge.provider is exec, and EXEC_PATH is not set")

    def present(self, name: str, record: str, value: str) -> None:
        """See ``Writer.present``."""
        self._run("present", record, value)

    def cleanup(self, name: str, record: str, value: str) -> None:
        """See ``Writer.cleanup``."""
        self._run("cleanup", record, value)

    def _run(self, *words: str) -> None:
        try:
            done = subprocess.run([self._path, *words], capture_output=True, text=True, timeout=_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _refused(f"{self._path}: {error}") from error
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["it says nothing"]
            raise _refused(f"{self._path} {words[0]} ended with code {done.returncode}: {last[0][:200]}")


class HttpRequest:
    """A web hook of the operator's."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._endpoint = variable(environment, "HTTPREQ_ENDPOINT").rstrip("/")
        user = variable(environment, "HTTPREQ_USERNAME")
        self._login = (user, variable(environment, "HTTPREQ_PASSWORD")) if user else None
        if not self._endpoint:
            raise _refused("dnsChallenge.provider is httpreq, and HTTPREQ_ENDPOINT is not set")

    def present(self, name: str, record: str, value: str) -> None:
        """See ``Writer.present``."""
        self._post("present", record, value)

    def cleanup(self, name: str, record: str, value: str) -> None:
        """See ``Writer.cleanup``."""
        self._post("cleanup", record, value)

    def _post(self, what: str, record: str, value: str) -> None:
        body = {"fqdn": record, "value": value}
        place = f"{place_of(self._endpoint)}/{what}"
        try:
            answer = requests.post(f"{self._endpoint}/{what}", json=body, auth=self._login, timeout=_SECONDS)
        except (requests.RequestException, ValueError) as error:
            raise _refused(f"{place} does not answer: {type(error).__name__}") from error
        if answer.status_code >= 300:
            raise _refused(f"{place} answered {answer.status_code}")


class DynamicUpdate:
    """RFC 2136 with TSIG (RFC 8945)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        server = variable(environment, "RFC2136_NAMESERVER")
        if not server:
            raise _refused("dnsChallenge.provider is rfc2136, and RFC2136_NAMESERVER is not set")
        parts = urlsplit(f"//{server if server.count(':') < 2 or server.startswith('[') else f'[{server}]'}")
        key, secret = variable(environment, "RFC2136_TSIG_KEY"), variable(environment, "RFC2136_TSIG_SECRET")
        algorithm = variable(environment, "RFC2136_TSIG_ALGORITHM", "hmac-sha256.")
        self._zone = variable(environment, "RFC2136_ZONE")
        try:
            self._server, self._port = parts.hostname or "", parts.port or 53
            self._ttl = int(variable(environment, "RFC2136_TTL", "120"))
        except ValueError:
            raise _refused("RFC2136_NAMESERVER is host:port, and RFC2136_TTL seconds: one is neither") from None
        try:
            self._ring = dns.tsigkeyring.from_text({key: secret}) if key else None
            self._algorithm = dns.name.from_text(algorithm.rstrip(".") + ".")
        except (ValueError, dns.exception.DNSException):
            raise _refused("RFC2136_TSIG_SECRET is not base64, or RFC2136_TSIG_KEY no name") from None

    def present(self, name: str, record: str, value: str) -> None:
        """See ``Writer.present``."""
        self._send(record, lambda update, at: update.add(at, self._ttl, "TXT", f'"{value}"'))

    def cleanup(self, name: str, record: str, value: str) -> None:
        """See ``Writer.cleanup``."""
        self._send(record, lambda update, at: update.delete(at, "TXT", f'"{value}"'))

    def _send(self, record: str, change: Callable[[dns.update.UpdateMessage, dns.name.Name], None]) -> None:
        at = dns.name.from_text(record)
        try:
            address = str(socket.getaddrinfo(self._server, self._port, type=socket.SOCK_STREAM)[0][4][0])
            zone = dns.name.from_text(self._zone) if self._zone else self._zone_of(at, address)
            update = dns.update.UpdateMessage(zone, keyring=self._ring, keyalgorithm=self._algorithm)
            change(update, at)
            answer = dns.query.tcp(update, address, timeout=_SECONDS, port=self._port)
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
            raise _refused(f"the name server {self._server}:{self._port}: {error or type(error).__name__}") from error
        if answer.rcode():
            raise _refused(f"the name server {self._server} refused the update: {dns.rcode.to_text(answer.rcode())}")

    def _zone_of(self, at: dns.name.Name, address: str) -> dns.name.Name:
        """The nearest name above that has a SOA record at that server."""
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = [address], self._port
        return dns.resolver.zone_for_name(at, resolver=resolver)


_WRITERS: Final[dict[str, Callable[[Mapping[str, str]], Writer]]] = {
    "exec": Exec,
    "httpreq": HttpRequest,
    "rfc2136": DynamicUpdate,
}


def make_writer(provider: str, environment: Mapping[str, str] = os.environ) -> Writer:
    """Raises Refused for a provider that is not there, or that lacks a variable."""
    make = _WRITERS.get(provider)
    known = ALIASES.get(provider, provider)
    if make is None and known in PROVIDERS:
        return Lexicon(known, environment)
    if make is None:
        names = ", ".join(sorted({*_WRITERS, *PROVIDERS}))
        raise _refused(f"there is no DNS provider {provider!r}; there are: {names}; exec and httpreq reach any other")
    return make(environment)
