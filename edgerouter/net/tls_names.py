"""Which name belongs to what: certificates and TLS options by exact name, by wildcard, or the default. Plain tables in
constant time; no sockets, no ``ssl``."""

from __future__ import annotations

from collections.abc import Iterable

DEFAULT_OPTIONS = "default"


class ServedCertificate:
    """``id`` tells one certificate from every other; ``pem`` is the key and the chain."""

    def __init__(self, id: str, names: tuple[str, ...], pem: str) -> None:
        self.id = id
        self.names = names
        self.pem = pem


class CertificateTable:
    """Replaced whole when something changes. Of two certificates with one name the first that was given is served."""

    def __init__(
        self,
        certificates: Iterable[ServedCertificate] = (),
        default: ServedCertificate | None = None,
        challenges: Iterable[ServedCertificate] = (),
    ) -> None:
        self.default = default
        self._exact: dict[str, ServedCertificate] = {}
        self._under: dict[str, ServedCertificate] = {}
        self._challenges: dict[str, ServedCertificate] = {}
        for certificate in certificates:
            for name in certificate.names:
                if name.startswith("*."):
                    self._under.setdefault(name[2:], certificate)
                else:
                    self._exact.setdefault(name, certificate)
        for certificate in challenges:
            for name in certificate.names:
                self._challenges.setdefault(name, certificate)

    def find(self, name: str) -> ServedCertificate | None:
        """The certificate that bears the name (in lower case): exactly, or by a wildcard for its first label."""
        found = self._exact.get(name)
        if found is None:
            dot = name.find(".")
            if dot > 0:
                found = self._under.get(name[dot + 1 :])
        return found

    def challenge(self, name: str) -> ServedCertificate | None:
        """The certificate that answers an authority's question about the name (RFC 8737)."""
        return self._challenges.get(name)


class HostOptions:
    """Hosts of one entry point whose TLS options are not the default ones."""

    def __init__(self, hosts: Iterable[tuple[str, str]] = ()) -> None:
        self._exact: dict[str, str] = {}
        self._under: dict[str, str] = {}
        for host, options in hosts:
            if host.startswith("*."):
                self._under[host[2:]] = options
            else:
                self._exact[host] = options

    def of(self, host: str) -> str:
        """The options of a host (in lower case, without port and trailing dot)."""
        found = self._exact.get(host)
        if found is None:
            dot = host.find(".")
            if dot > 0:
                found = self._under.get(host[dot + 1 :])
        return DEFAULT_OPTIONS if found is None else found
