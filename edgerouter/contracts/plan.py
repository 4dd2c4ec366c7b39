"""The Plan: what ``build`` makes of all snapshots and ``publish`` sends to workers. Plain data, entry by entry.

A worker gets only entries whose content changed, by key. Options travel as plain data (msgpack) with secrets in
clear, over an inherited socketpair; a worker decodes them against the same options classes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edgerouter.config.types import Secret


class RouterEntry(msgspec.Struct, frozen=True, tag="router", array_like=False, omit_defaults=True):
    """``name`` and all names in it are qualified (``web@docker``). ``key`` numbers it in the metrics memory, stable
    while the router exists. ``refused``: broken, answers 500 with this sentence. ``asleep``: answers 503, tried last.
    ``tls``: True matches TLS connections only, False plain ones only. ``tls_options``: those that it asks for itself;
    a connection that was made with others is told so (421)."""

    name: str
    entry_points: tuple[str, ...]
    rule: str
    priority: int
    middlewares: tuple[str, ...]
    service: str
    key: int
    tls: bool = False
    refused: str = ""
    asleep: str = ""
    access_log: bool = True
    metrics: bool = True
    rule_syntax: str = "v3"
    tls_options: str = ""


class MiddlewareEntry(msgspec.Struct, frozen=True, tag="middleware", omit_defaults=True):
    """``options`` is the plain-data form of the kind's options class."""

    name: str
    kind: str
    options: Any


class ServerEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """``url`` is ``http://host:port``, ``https://host:port`` or ``unix:/path``."""

    url: str
    weight: int = 1
    up: bool = True
    preserve_path: bool = False
    fenced: bool = False


class ServiceEntry(msgspec.Struct, frozen=True, tag="service", omit_defaults=True):
    """``servers`` is apart from ``options`` so that a change of servers alone is a small delta. ``key`` as for
    routers. ``refused`` as for routers."""

    name: str
    kind: str
    options: Any
    key: int
    servers: tuple[ServerEntry, ...] = ()
    middlewares: tuple[str, ...] = ()
    refused: str = ""


class TransportEntry(msgspec.Struct, frozen=True, tag="transport", omit_defaults=True):
    """How servers are reached: ``options`` is the plain-data form of ``config.dynamic.ServersTransport``. ``version``
    is another one when what stands in the files that it names has changed."""

    name: str
    options: Any
    version: str = ""


class CertificateEntry(msgspec.Struct, frozen=True, tag="certificate", omit_defaults=True):
    """``name`` is its fingerprint, ``pem`` key and chain. ``default``: served where no name fits. ``challenge``: only
    for authorities that ask by ``acme-tls/1``. ``place`` orders those with one name: the lowest is served."""

    name: str
    names: tuple[str, ...]
    pem: Secret
    place: int = 0
    default: bool = False
    challenge: bool = False


class TlsOptionsEntry(msgspec.Struct, frozen=True, tag="tlsOptions", omit_defaults=True):
    """TLS options in OpenSSL's words; see ``net.tls_contexts.TlsSettings``. ``ticket_keys`` are in hexadecimal, the
    newest first. ``refused``: handshakes for its hosts fail, and this sentence says why."""

    name: str
    lowest: int = 0
    highest: int = 0
    ciphers: str = ""
    curves: str = ""
    client_auth: str = ""
    authorities: str = ""
    sni_strict: bool = False
    protocols: tuple[str, ...] = ()
    tickets: bool = True
    ticket_keys: tuple[Secret, ...] = ()
    session_name: str = ""
    refused: str = ""


class TlsHostsEntry(msgspec.Struct, frozen=True, tag="tlsHosts", omit_defaults=True):
    """An entry point (``name``) with TLS routers, and those of its hosts whose options are not the default ones.
    ``wait``: seconds that connections wait for a certificate that may be had on demand; 0: there are none."""

    name: str
    hosts: tuple[tuple[str, str], ...] = ()
    wait: float = 0.0


Entry = (
    RouterEntry | MiddlewareEntry | ServiceEntry | TransportEntry | CertificateEntry | TlsOptionsEntry | TlsHostsEntry
)


def entry_key(entry: Entry) -> str:
    """``router:web@docker`` and so on: unique in a Plan."""
    return f"{type(entry).__name__[:-5].lower()}:{entry.name}"


class Plan(msgspec.Struct, frozen=True):
    """All entries by key, and each entry's content hash."""

    entries: dict[str, Entry]
    hashes: dict[str, int]
    entry_points: dict[str, int] = {}  # entry point name -> key in the metrics memory
