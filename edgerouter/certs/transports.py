"""The files of serversTransports: what is wrong with them, and which contents workers shall have read.

Workers read authorities and keys themselves, so that no key travels in a Plan; here they are tried first, and a mistake
is a named problem before somebody's request meets it. Of the contents a hash goes into the Plan: workers read anew what
it says has changed. Files that cannot be used any more leave the hash as it was, and workers go on with what they read.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from edgerouter.certs.read import Mark, Unreadable, mark, text_of
from edgerouter.clients.references import Limits, Resolver, is_text, references
from edgerouter.config.dynamic import CertificatePair, ServersTransport
from edgerouter.config.late import put
from edgerouter.config.types import Problem, Secret
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.build_plain import revealed
from edgerouter.control.build_services import DEFAULT_TRANSPORT
from edgerouter.worker.upstream_tls import tls_context

_KEPT = "; connections go on with what was read before"


class Tried(msgspec.Struct, frozen=True):
    """``asked``: the options and the marks of their files. ``version`` is "" where nothing stands in files."""

    asked: tuple[bytes, tuple[tuple[str, Mark], ...]]
    version: str = ""
    error: str = ""


class TransportFiles:
    """``own`` is the static configuration's. ``marks`` and ``problems`` are those of the last ``load``."""

    def __init__(self, limits: Limits, own: ServersTransport | None = None) -> None:
        self._limits = limits
        self._own = own or ServersTransport()
        self._known: dict[str, Tried] = {}
        self.marks: dict[str, Mark] = {}
        self.problems: list[Problem] = []

    def load(self, snapshots: Mapping[str, Snapshot]) -> dict[str, str]:
        """The version of each transport that has files, by qualified name. Never raises for what they hold."""
        known: dict[str, Tried] = {}
        self.marks, self.problems = {}, []
        for name, path, provider, plain in self._all(snapshots):
            if self._limits.barred(provider, plain) is not None:
                continue  # the build says so
            resolver = Resolver()
            try:
                options = resolver.typed(plain, ServersTransport)
            except ValueError:
                self.marks.update(_marks(plain, None))
                continue  # the same
            known[name] = self._try(name, plain, options)
            error = resolver.masked(known[name].error)
            if error:
                kept = _KEPT if known[name].version else ""
                self.problems.append(Problem(path, f"it cannot be used: {error}{kept}", "", provider))
        self._known = known
        return {name: tried.version for name, tried in known.items() if tried.version}

    def _all(self, snapshots: Mapping[str, Snapshot]) -> Iterator[tuple[str, str, str, Any]]:
        yield DEFAULT_TRANSPORT, "serversTransport", "", revealed(self._own)
        for provider, snapshot in sorted(snapshots.items()):
            http = snapshot.configuration.http
            for name, transport in http.servers_transports.items():
                plain = put(revealed(transport), http.late_transports.get(name, ()))
                yield f"{name}@{provider}", f"http.serversTransports.{name}", provider, plain

    def _try(self, name: str, plain: Any, options: ServersTransport) -> Tried:
        marks = _marks(plain, options)
        self.marks.update(marks)
        asked = (sha256(msgspec.msgpack.encode(plain)).digest(), tuple(sorted(marks.items())))
        before = self._known.get(name)
        if before is not None and before.asked == asked:
            return before
        try:
            read, version = _read(options)
            tls_context(read, system=False)
        except (Unreadable, ValueError, ssl.SSLError, OSError) as error:
            return Tried(asked, "" if before is None else before.version, str(error))
        return Tried(asked, version if marks else "")


def _places(options: ServersTransport) -> Iterator[tuple[str, str]]:
    """(option, what stands there) of all that may be a file's name."""
    for index, authority in enumerate(options.root_cas):
        yield f"rootCAs[{index}]", authority
    for index, pair in enumerate(options.certificates):
        yield f"certificates[{index}].certFile", pair.cert_file.reveal()
        yield f"certificates[{index}].keyFile", pair.key_file.reveal()


def _marks(plain: Any, options: ServersTransport | None) -> dict[str, Mark]:
    named = [name for kind, name in references(plain) if kind == "file"]
    named += [value for _, value in _places(options) if not is_text(value)] if options is not None else []
    return {name: mark(name) for name in named}


def _read(options: ServersTransport) -> tuple[ServersTransport, str]:
    """The options with texts in the place of files' names, and the version of these texts. Raises Unreadable."""
    texts = {what: text_of(value, what) for what, value in _places(options)}
    authorities = tuple(texts[f"rootCAs[{index}]"] for index in range(len(options.root_cas)))
    pairs = tuple(
        CertificatePair(
            cert_file=Secret(texts[f"certificates[{index}].certFile"]),
            key_file=Secret(texts[f"certificates[{index}].keyFile"]),
        )
        for index in range(len(options.certificates))
    )
    version = sha256(msgspec.msgpack.encode(list(texts.values()))).hexdigest()[:16]
    return msgspec.structs.replace(options, root_cas=authorities, certificates=pairs), version
