"""Plain data (from YAML, TOML, JSON, labels) -> ``DynamicConfiguration`` and problems, object by object.

One bad object never spoils another. A router that cannot be decoded is left out; a middleware or service that cannot
be decoded stays, marked ``refused``, so that what uses it fails closed. Names of plugins come in as a table of kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final, TypeVar

from edgerouter.config import absent, foreign
from edgerouter.config.dynamic import (
    Certificate,
    DynamicConfiguration,
    HttpConfiguration,
    Middleware,
    Router,
    ServersTransport,
    Service,
    ServiceMiddlewares,
    TlsConfiguration,
    TLSOptions,
    TLSStore,
)
from edgerouter.config.fit import boolean, dotted, fields_of, fit, fit_late, nearest, resolve
from edgerouter.config.fit_types import Fault, NoOptions
from edgerouter.config.late import Late
from edgerouter.config.places import Places, place_of
from edgerouter.config.static import StaticConfiguration
from edgerouter.config.types import Problem

T = TypeVar("T")
Kinds = Mapping[str, Mapping[str, Any]]  # {"middlewares": {kind: options class or None}, "services": {...}}
Path = tuple[str, ...]
_KNOWN: Final = {"middlewares": absent.MIDDLEWARES, "services": absent.SERVICES}
_LATER: Final = ("tcp", "udp")


def decode_dynamic(
    data: object, kinds: Kinds, source: str, positions: Places | None = None, templates: bool = False
) -> tuple[DynamicConfiguration, list[Problem]]:
    """Decode the whole of a provider's configuration; never raises for what ``data`` holds.

    ``source`` names the file or provider, ``positions`` the places of its parts (see ``config.places``).
    ``templates``: there may be Go templates in it, which nobody fills in; objects that hold one are refused.
    """
    reader = _Reader(kinds, source, positions, templates)
    return reader.configuration(data), reader.problems


def decode_router(name: str, data: object, kinds: Kinds, source: str) -> tuple[Router | None, list[Problem]]:
    """Decode one router alone, for who makes thousands of them one by one."""
    reader = _Reader(kinds, source, None)
    return reader._router(data, ("http", "routers", name)), reader.problems


def decode_service(name: str, data: object, kinds: Kinds, source: str) -> tuple[Service, list[Problem]]:
    """Decode one service alone; one that cannot be decoded is refused."""
    reader = _Reader(kinds, source, None)
    return reader._service(data, ("http", "services", name)), reader.problems


def decode_middleware(name: str, data: object, kinds: Kinds, source: str) -> tuple[Middleware, list[Problem]]:
    """Decode one middleware alone; one that cannot be decoded is refused."""
    reader = _Reader(kinds, source, None)
    return reader._middleware(data, ("http", "middlewares", name)), reader.problems


class _Reader:
    """Decodes one configuration; collects its problems."""

    def __init__(self, kinds: Kinds, source: str, places: Places | None, templates: bool = False) -> None:
        self.kinds = kinds
        self.templates = templates
        self.source = source
        self.places = places
        self.problems: list[Problem] = []
        self.late_transports: dict[str, Late] = {}

    def problem(self, path: Path, message: str, hint: str = "") -> None:
        place = place_of(self.places, path, self.source)
        self.problems.append(Problem(dotted(path), message, hint, place))

    def refuse(self, faults: list[Fault]) -> str:
        """Report faults; one sentence of them all for who asks why."""
        if not faults:
            return ""
        for fault in faults:
            self.problem(fault.path, fault.message, fault.hint)
        return "; ".join(f"{dotted(fault.path)}: {fault.message}" for fault in faults)

    def configuration(self, data: object) -> DynamicConfiguration:
        manifest = foreign.kubernetes_object(data)
        if manifest is not None:
            self.problem(("kind",), *manifest)
            return DynamicConfiguration()
        parts = self._parts(data, (), ("http", "tls", *_LATER))
        http, tls = self._http(parts.get("http")), self._tls(parts.get("tls"))
        tcp, udp = (self._later(parts.get(name), name) for name in _LATER)
        return DynamicConfiguration(http=http, tcp=tcp, udp=udp, tls=tls)

    def _parts(self, data: object, path: Path, names: tuple[str, ...]) -> dict[str, object]:
        """The sections of a mapping by their right names."""
        found: dict[str, object] = {}
        if data is None:
            return found
        right = _lowered(names)
        for key, value in self._mapping(data, path).items():
            name = right.get(key.lower())
            if name is None:
                self.problem((*path, key), f"unknown section {key!r}", _belongs(key, path) or nearest(key, names))
            elif name in found:
                self.problem((*path, key), f"{name} is given twice, in different case")
            else:
                found[name] = value
        return found

    def _mapping(self, data: object, path: Path) -> dict[str, object]:
        if data is None or data == "":
            return {}
        if isinstance(data, (dict, Mapping)):
            return {str(key): value for key, value in data.items()}
        self.problem(path, "expected names with values, got something else", "write name: value lines")
        return {}

    def _later(self, data: object, name: str) -> dict[str, Any]:
        made: dict[str, Any] = resolve(self._mapping(data, (name,)))
        if made:
            place = place_of(self.places, (name,), self.source)
            hint = f"leave it to another program for now: nothing listens for {name.upper()}"
            self.problems.append(Problem(name, f"{name} is read but not served yet", hint, place, "warning"))
        return made

    def _http(self, data: object) -> HttpConfiguration:
        parts = self._parts(data, ("http",), ("routers", "services", "middlewares", "serversTransports"))
        return HttpConfiguration(
            routers=self._objects(parts, "routers", self._router),
            services=self._objects(parts, "services", self._service),
            middlewares=self._objects(parts, "middlewares", self._middleware),
            servers_transports=self._objects(parts, "serversTransports", self._transport),
            late_transports=self.late_transports,
        )

    def _tls(self, data: object) -> TlsConfiguration:
        parts = self._parts(data, ("tls",), ("certificates", "stores", "options"))
        if not parts:
            return TlsConfiguration()
        refused: dict[str, str] = {}
        references: dict[str, Late] = {}

        def options(value: object, path: Path) -> TLSOptions | None:
            made, faults, late = fit_late(value, TLSOptions, path)
            if faults:
                refused[path[-1]] = self.refuse(faults)
            if late:
                references[path[-1]] = late
            return made

        return TlsConfiguration(
            certificates=tuple(self._certificates(parts.get("certificates"))),
            stores=self._objects(parts, "stores", self._store, "tls"),
            options=self._objects(parts, "options", options, "tls"),
            refused=refused,
            late=references,
        )

    def _certificates(self, data: object) -> Iterator[Certificate]:
        """A list; from labels and key-value stores names with values, the names being numbers."""
        path: Path = ("tls", "certificates")
        if isinstance(data, Mapping):
            data = list(data.values())
        if data is None or data == "":
            return
        if not isinstance(data, (list, tuple)):
            self.problem(path, "expected a list of certificates", "write - certFile: ... and keyFile: ... below it")
            return
        for index, value in enumerate(data):
            at = (*path, f"[{index}]")
            made, faults = fit(value, Certificate, at)
            self.refuse(faults)
            if made is not None and self._is_whole(made, at):
                yield made

    def _is_whole(self, made: Certificate, path: Path) -> bool:
        for name, value in (("certFile", made.cert_file), ("keyFile", made.key_file)):
            if not value.reveal():
                self.problem(
                    (*path, name), f"a certificate needs a {name}", f"write {name}: and a file's name, or a PEM text"
                )
                return False
        return True

    def _store(self, value: object, path: Path) -> TLSStore | None:
        store, faults = fit(value, TLSStore, path)
        self.refuse(faults)
        if path[-1] != "default":
            place = place_of(self.places, path, self.source)
            hint = "put its certificates into the store default"
            self.problems.append(Problem(dotted(path), "only the store default is used", hint, place, "warning"))
        return store

    def _objects(
        self,
        parts: dict[str, object],
        section: str,
        decode: Callable[[object, Path], T | None],
        room: str = "http",
    ) -> dict[str, T]:
        if section not in parts:
            return {}
        path = (room, section)
        made = {name: decode(value, (*path, name)) for name, value in self._mapping(parts.get(section), path).items()}
        return {name: item for name, item in made.items() if item is not None}

    def _router(self, value: object, path: Path) -> Router | None:
        if self._found(foreign.references_in(value), path) or self._template(value, path):
            return None
        router, faults = fit(value, Router, path)
        self.refuse([_said(fault, foreign.ROUTER.get(fault.path[-1].lower())) for fault in faults])
        return None if faults else router

    def _transport(self, value: object, path: Path) -> ServersTransport | None:
        if self._template(value, path):
            return None
        transport, faults, late = fit_late(value, ServersTransport, path)
        if late:
            self.late_transports[path[-1]] = late
        self.refuse([_said(fault, foreign.TRANSPORT.get(fault.path[-1].lower())) for fault in faults])
        return transport

    def _template(self, value: object, path: Path) -> str:
        if not self.templates:
            return ""
        found = foreign.templates_in({path[-1]: value})
        return self._found(found, path[:-1])

    def _found(self, found: tuple[Path, foreign.Said] | None, path: Path) -> str:
        """Report what was found below ``path``; one sentence of it, "" for nothing."""
        if found is None:
            return ""
        below, (message, hint) = found
        return self.refuse([Fault((*path, *below), message, hint)])

    def _middleware(self, value: object, path: Path) -> Middleware:
        template = self._template(value, path)
        if template:
            return Middleware("", None, template)
        kind, options, late, why = self._kind("middlewares", value, path)
        return Middleware("", None, why) if why else Middleware(kind, options, late=late)

    def _service(self, value: object, path: Path) -> Service:
        template = self._template(value, path)
        if template:
            return Service("", None, (), template)
        rest, listed, faults = _split_middlewares(value, path)
        kind, options, late, why = self._kind("services", rest, path)
        why = "; ".join(filter(None, (self.refuse(faults), why)))
        return Service("", None, listed, why) if why else Service(kind, options, listed, late=late)

    def _kind(self, room: str, value: object, path: Path) -> tuple[str, Any, Late, str]:
        """The one kind of a middleware or service with its options; or the reason why not."""
        if not isinstance(value, (dict, Mapping)):
            return "", None, (), self.refuse([Fault(path, f"expected the kind of {_one(room)} with its options")])
        given = {str(key): item for key, item in value.items() if boolean(item) is not False}
        if len(given) != 1:
            return "", None, (), self.refuse([_no_single_kind(room, given, path)])
        key, item = next(iter(given.items()))
        table = self.kinds.get(room, {})
        name = _lowered(tuple(table)).get(key.lower())
        if name is None:
            return "", None, (), self.refuse([_unknown_kind(room, key, table, path)])
        options, faults, late = fit_late(item, table[name] or NoOptions, (*path, name))
        return name, options, late, self.refuse([_replaced(fault, len(path)) for fault in faults])


@cache
def _lowered(names: tuple[str, ...]) -> dict[str, str]:
    """Names by their lower case."""
    return {name.lower(): name for name in names}


def _split_middlewares(value: object, path: Path) -> tuple[object, tuple[str, ...], list[Fault]]:
    """A service's own list of middlewares is no kind."""
    if not isinstance(value, (dict, Mapping)):
        return value, (), []
    listed = next((key for key in value if str(key).lower() == "middlewares"), None)
    if listed is None:
        return value, (), []
    names, faults = fit({"middlewares": value[listed]}, ServiceMiddlewares, path)
    return {key: item for key, item in value.items() if key != listed}, names.middlewares if names else (), faults


def _one(room: str) -> str:
    return f"a {room[:-1]}"


def _no_single_kind(room: str, given: dict[str, object], path: Path) -> Fault:
    if not given:
        return Fault(
            path, f"{_one(room)} needs a kind, and this one has none", "name its kind, e.g. " + _EXAMPLES[room]
        )
    kinds = " and ".join(sorted(given))
    return Fault(path, f"{_one(room)} has one kind, and this one has {len(given)}: {kinds}", "give each its own name")


_EXAMPLES: Final = {"middlewares": "stripPrefix", "services": "loadBalancer"}


def _said(fault: Fault, said: foreign.Said | None) -> Fault:
    """The fault in the words of who knows where the unknown option comes from."""
    return Fault(fault.path, *said) if said is not None and fault.message.startswith("unknown option") else fault


def _unknown_kind(room: str, key: str, table: Mapping[str, Any], path: Path) -> Fault:
    elsewhere = foreign.MIDDLEWARES.get(key.lower()) if room == "middlewares" else None
    if elsewhere is not None:
        return Fault((*path, key), *elsewhere)
    known = absent.spelled(key, _KNOWN[room])
    if known:
        return Fault((*path, key), f"the {room[:-1]} {known} is not there yet", f"there is: {', '.join(sorted(table))}")
    return Fault((*path, key), f"unknown kind of {room[:-1]} {key!r}", nearest(key, table))


def _replaced(fault: Fault, depth: int) -> Fault:
    """A fault over an option that earlier versions had says what stands in its place."""
    hint = absent.REMOVED_MIDDLEWARE_OPTIONS.get(dotted(fault.path[depth:]).lower())
    if hint is not None:
        return Fault(fault.path, "this option was removed", hint)
    elsewhere = foreign.option(fault.path[depth:], fault.message)
    return fault if elsewhere is None else Fault(fault.path, *elsewhere)


def _belongs(key: str, path: Path) -> str:
    """Static options in a dynamic file are a usual mistake."""
    if not path and key.lower() in fields_of(StaticConfiguration):
        return "this belongs into the static configuration"
    return ""
