"""The record of a DNS-01 challenge, and waiting until it is seen (RFC 8555 section 8.4)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

import dns.exception
import dns.resolver

from edgerouter.certs.acme.challenges import DNS
from edgerouter.certs.acme.preflight import make_resolver
from edgerouter.certs.acme.refused import Refused
from edgerouter.config.resolvers import DnsChallenge


class Writer(Protocol):
    """Somebody who can write TXT records; ``name`` lies in the zone that is to be changed. Methods raise Refused with
    the code ``DNS_PROVIDER``."""

    def present(self, name: str, record: str, value: str) -> None:
        """Add ``record`` (absolute, with its dot) with ``value``."""

    def cleanup(self, name: str, record: str, value: str) -> None:
        """Take it away."""


def record_of(name: str) -> str:
    """``_acme-challenge.example.com.``; a wildcard's is that of the name below it."""
    return f"_acme-challenge.{name.removeprefix('*.')}."


def canonical(record: str, resolver: dns.resolver.Resolver) -> str:
    """The name that a record's CNAMEs lead to (RFC 1034 section 3.6.2); the record itself where there are none."""
    try:
        found = resolver.resolve(record, "TXT", raise_on_no_answer=False).canonical_name
    except dns.resolver.NXDOMAIN as nothing:
        found = nothing.canonical_name
    except dns.exception.DNSException:
        return record
    return str(found).lower()


def variable(environment: Mapping[str, str], name: str, fallback: str = "") -> str:
    """A variable, or the contents of the file that ``NAME_FILE`` names, as lego reads them."""
    file = environment.get(f"{name}_FILE")
    if file:
        try:
            with open(file, encoding="utf-8") as source:
                return source.read().strip()
        except OSError as error:
            raise Refused("DNS_PROVIDER", f"{name}_FILE: {file!r} cannot be read: {error.strerror}") from error
    return environment.get(name, fallback)


class DnsProver:
    """See ``authority.Prover``."""

    type = DNS

    def __init__(self, options: DnsChallenge, writer: Writer) -> None:
        self._options = options
        self._writer = writer
        self._shown: dict[tuple[str, str], tuple[str, str, str]] = {}

    def show(self, name: str, token: str, authorization: str, validation: str) -> None:
        """Write the record and wait until the DNS has it. Where a CNAME stands in its place, what that names is
        written: so zones that no program may change leave their proofs to one that may be (as lego does)."""
        own = record_of(name)
        record = canonical(own, make_resolver(self._options.resolvers))
        zone = name.removeprefix("*.") if record == own else record.rstrip(".")
        self._shown[(name, token)] = (zone, record, validation)
        self._writer.present(zone, record, validation)
        wait = self._options.propagation
        time.sleep(float(wait.delay_before_checks))
        if not wait.disable_checks:
            self._await(record, validation, float(wait.timeout))

    def remove(self, name: str, token: str) -> None:
        """See ``authority.Prover.remove``; a record that stays does no harm."""
        zone, record, value = self._shown.pop((name, token), ("", "", ""))
        if record:
            try:
                self._writer.cleanup(zone, record, value)
            except Refused:
                return

    def _await(self, record: str, value: str, seconds: float) -> None:
        resolver = make_resolver(self._options.resolvers)
        end, pause = time.monotonic() + seconds, 0.2
        while True:
            try:
                answer = resolver.resolve(record, "TXT", raise_on_no_answer=False)
                if any(value.encode() in entry.strings for entry in answer):
                    return
            except dns.exception.DNSException:
                pass  # not there yet
            if time.monotonic() > end:
                raise Refused("DNS_PROPAGATION", f"{record} is not seen in the DNS after {seconds:.0f} s")
            time.sleep(pause)
            pause = min(5.0, pause * 1.5)
