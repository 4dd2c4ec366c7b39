"""One Ingress with all that it names -> its routers, services and middlewares. Pure.

Names are Traefik's: router ``namespace-ingress-host-path``, service ``namespace-service-port``. A fault of one path
leaves the others alone; a middleware that cannot be made is there all the same, refused: its routers answer 500.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from edgerouter.config.decode import Kinds, decode_middleware, decode_router, decode_service
from edgerouter.config.dynamic import Certificate, Middleware, Router, RouterTLS, Service
from edgerouter.config.fit_types import Plain
from edgerouter.config.nest import finish, grow
from edgerouter.config.types import Problem
from edgerouter.config.v1_middlewares import Step, is_true
from edgerouter.providers._default_rule import normalize
from edgerouter.providers._ingress_annotations import Asked, read
from edgerouter.providers._ingress_claims import Places
from edgerouter.providers._ingress_rules import MATCHERS, Unquotable, rule_of
from edgerouter.providers._ingress_services import Around, Balancer, Rules, give, make_balancer
from edgerouter.providers._ingress_steps import old_entry_points, path_steps, rule_type, shared_steps
from edgerouter.providers._ingress_tls import over_tls, read_secrets
from edgerouter.providers._ingress_weights import absent, read_weights, share
from edgerouter.providers._kubernetes_facts import (
    Backend,
    Ingress,
    KubernetesSecret,
    KubernetesService,
    Node,
    PathRule,
    Slice,
)

NOBODY: Final = Backend("")
DEFAULT_ROUTER: Final = "default-router"
_IT: Final = "it"
FROM_SPEC: Final = ("rule", "service", "parentrefs")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What of the provider's options decides."""

    provider: str
    kinds: Kinds
    ingress_class: str = ""
    allow_empty_services: bool = False
    allow_internal: bool = False
    cross_provider_namespaces: tuple[str, ...] | None = None
    strict_prefix: bool = True
    rules: Rules = Rules()


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """An Ingress and the facts that its answer depends on, by ``namespace/name``."""

    ingress: Ingress
    services: Mapping[str, KubernetesService] = {}
    slices: Mapping[str, tuple[Slice, ...]] = {}
    secrets: Mapping[str, KubernetesSecret] = {}
    nodes: tuple[Node, ...] = ()


class Asleep(msgspec.Struct, frozen=True):
    """Why a router has nobody behind it."""

    code: str
    reason: str
    fix: str


class Made(msgspec.Struct, kw_only=True):
    """What one Ingress comes to. ``path_of``: the path that a router is for; ``last``: routers for whatever is left;
    ``places``: both, in the routers' order."""

    routers: dict[str, Router] = {}
    services: dict[str, Service] = {}
    middlewares: dict[str, Middleware] = {}
    path_of: dict[str, PathRule] = {}
    last: set[str] = set()
    asleep: dict[str, Asleep] = {}
    servers: tuple[str, ...] = ()
    problems: list[Problem] = []
    certificates: dict[str, Certificate] = {}
    places: Places = ()

    @property
    def rooms(self) -> tuple[dict[str, Any], ...]:
        """What has a name that others could want: routers of paths, services and middlewares."""
        routers = {name: self.routers[name] for name, path in self.places if path is not None}
        return routers, self.services, self.middlewares


def read_one(reading: Reading, settings: Settings, mark: str = "") -> Made:
    """Return what the Ingress comes to; never raises for what it holds. ``mark`` is added to all names."""
    return _One(reading, settings, mark).made()


class _One:
    """The work on one Ingress."""

    def __init__(self, reading: Reading, settings: Settings, mark: str) -> None:
        self.reading = reading
        self.mark = mark
        self.settings = settings
        self.ingress = reading.ingress
        self.asked = read(reading.ingress.annotations, "router")
        self.result = Made()
        self.balancers: dict[tuple[Backend, str], tuple[str, Balancer]] = {}

    def made(self) -> Made:
        """Do everything."""
        template, shared = self._template(), self._shared()
        if template is not None:
            self._paths(template, shared)
            self._default(template, shared)
        secrets = read_secrets(self.ingress, self._secret)
        self.result.certificates = secrets.certificates
        self.result.problems += secrets.problems
        self._oversize()
        self._report(self.asked)
        result = self.result
        result.places = tuple((name, result.path_of.get(name)) for name in result.routers)
        return result

    def _report(self, asked: Asked, title: str = "") -> None:
        title = title or f"ingress {self.ingress.key}"
        for problem in asked.problems:
            self.result.problems.append(msgspec.structs.replace(problem, path=f"{title}: {problem.path}"))

    def _problem(self, path: str, message: str, hint: str = "", severity: str = "error") -> None:
        self.result.problems.append(Problem(f"ingress {self.ingress.key}: {path}", message, hint, "", severity))

    def _oversize(self) -> None:
        for name in self.ingress.oversize:
            self._problem(f"annotations.{name}", "this annotation is longer than 64 KiB and is not read", "shorten it")

    def _template(self) -> Router | None:
        """The router that annotations describe, without rule and service; None when they cannot be understood."""
        root: dict[str, Any] = {}
        for path, value in self.asked.today.items():
            if path in FROM_SPEC:
                written = self.asked.written[path]
                self._problem(f"annotations.{written}", "an Ingress says this by its spec", "remove the annotation")
            elif path not in ("pathmatcher", "rulesyntax"):  # rules are made here, in today's syntax
                parts = tuple(f"[{part}]" if part.isdigit() else part for part in path.split("."))
                grow(root, parts, Plain(value.strip()))
        if "entrypoints" in self.asked.old:
            root.setdefault("entryPoints", old_entry_points(self.asked))
        if "priority" in self.asked.old:
            root.setdefault("priority", Plain(self.asked.old["priority"].strip()))
        if not root:
            return Router()
        router, problems = decode_router(_IT, finish(root), self.settings.kinds, "annotations")
        for problem in problems:
            option = problem.path.removeprefix(f"http.routers.{_IT}.")
            written = self.asked.written.get(option.lower(), f"router.{option}")
            self._problem(f"annotations.{written}", problem.message, problem.hint)
        return router if router is not None and self._allowed(router) else None

    def _allowed(self, router: Router) -> bool:
        inner = next((name for name in router.middlewares if name.endswith("@internal")), "")
        if inner and not self.settings.allow_internal:
            self._problem("annotations.router.middlewares", f"annotations may not use {inner}", "define it in a file")
            return False
        options = router.tls.options if router.tls is not None else ""
        return self._may_name("annotations.router", (*router.middlewares, options))

    def _may_name(self, place: str, names: Iterable[str]) -> bool:
        """Whether this namespace may use what other providers define; a problem when not."""
        allowed = self.settings.cross_provider_namespaces
        own = f"@{self.settings.provider}"
        foreign = next((name for name in names if "@" in name and not name.endswith(own)), "")
        if not foreign or allowed is None or self.ingress.namespace in allowed:
            return True
        hint = f"add {self.ingress.namespace} to providers.kubernetesIngress.crossProviderNamespaces"
        self._problem(place, f"this namespace may not use {foreign}", hint)
        return False

    def _shared(self) -> tuple[str, ...]:
        """Middlewares that 1.x's annotations make for all paths; their names."""
        return self._middlewares(self._name(), shared_steps(self.asked, self._secret))

    def _secret(self, name: str) -> KubernetesSecret | None:
        return self.reading.secrets.get(f"{self.ingress.namespace}/{name}")

    def _middlewares(self, owner: str, steps: list[Step] | tuple[Step, ...]) -> tuple[str, ...]:
        names = []
        for name, kind, options in steps:
            full = f"{owner}-{name}"
            names.append(full)
            if full not in self.result.middlewares:
                self.result.middlewares[full] = self._middleware(full, kind, options)
        return tuple(names)

    def _middleware(self, name: str, kind: str, options: dict[str, Any]) -> Middleware:
        if not kind:
            return Middleware("", None, str(options["why"]))
        plain = {kind: _plain(options)}
        made, problems = decode_middleware(name, plain, self.settings.kinds, "annotations")
        for problem in problems:
            self._problem(f"middleware {name}", f"{problem.path.rpartition('.')[2]}: {problem.message}", problem.hint)
        return made

    def _name(self, *parts: str) -> str:
        return self._named("-".join([self.ingress.namespace, self.ingress.name, *parts]))

    def _named(self, text: str) -> str:
        return normalize(text) + self.mark

    def _paths(self, template: Router, shared: tuple[str, ...]) -> None:
        weights = read_weights(self.asked)
        places: dict[PathRule, list[Backend]] = {}
        for path in self.ingress.paths:
            kind = path.kind
            if kind not in ("Exact", "Prefix", "ImplementationSpecific"):
                self._problem(
                    f"path {path.path}", f"unknown pathType {kind!r}", "write Exact, Prefix or ImplementationSpecific"
                )
                continue
            if kind == "Prefix" and not self.settings.strict_prefix:
                kind = "ImplementationSpecific"
            backends = places.setdefault(PathRule(path.host, path.path, kind, NOBODY), [])
            if path.backend not in backends:
                backends.append(path.backend)
        for place, backends in places.items():
            self._path(place, backends, template, shared, weights)
        absent(self.asked, weights, [path.backend.service for path in self.ingress.paths])

    def _path(
        self,
        place: PathRule,
        backends: list[Backend],
        template: Router,
        shared: tuple[str, ...],
        weights: dict[str, int],
    ) -> None:
        try:
            rule = rule_of(place, self._matcher())
        except Unquotable as error:
            self._problem(f"path {place.path[:60]}", str(error), "leave these characters out")
            return
        name = self._free(self._name(f"{place.host}{place.path}"), repr(place))
        service, around = self._service(name, place, backends, weights)
        steps = self._middlewares(name, path_steps(self.asked, place))
        names = self._add(name, template, rule, (*shared, *steps, *around), service, place.host)
        self.result.path_of.update(dict.fromkeys(names, place))
        if name in self.result.asleep:
            self.result.asleep.update(dict.fromkeys(names, self.result.asleep[name]))

    def _add(
        self, name: str, template: Router, rule: str, steps: tuple[str, ...], service: str, host: str = ""
    ) -> tuple[str, ...]:
        """Enter a router; a second one, for TLS, where ``spec.tls`` asks for it. Return their names."""
        middlewares = (*template.middlewares, *steps)
        router = msgspec.structs.replace(template, rule=rule, middlewares=middlewares, service=service)
        self.result.routers[name] = router
        if router.tls is not None or not over_tls(self.ingress, host):
            return (name,)
        secure = self._free(f"{name}-tls", rule)
        self.result.routers[secure] = msgspec.structs.replace(router, tls=RouterTLS())
        return name, secure

    def _matcher(self) -> str:
        asked = self.asked.today.get("pathmatcher", "").strip()
        if asked and asked not in MATCHERS:
            hint = f"write one of {', '.join(MATCHERS)}"
            self._problem("annotations.router.pathmatcher", f"unknown matcher {asked[:40]!r}", hint)
            asked = ""
        return asked or rule_type(self.asked)[0] or "PathPrefix"

    def _free(self, name: str, unique: str) -> str:
        """The name, or, where another path's router has it, one that ``unique`` tells apart."""
        if name not in self.result.routers:
            return name
        return f"{name}-{hashlib.sha256(unique.encode()).hexdigest()[:10]}"

    def _service(
        self, router: str, place: PathRule, backends: list[Backend], weights: dict[str, int]
    ) -> tuple[str, tuple[str, ...]]:
        """The service of a path, and the middlewares that its Service asks for."""
        if len(backends) == 1:
            return self._single(router, backends[0])
        shares = share(self.asked, weights, [backend.service for backend in backends], place.path)
        children = []
        awake = 0
        for backend in backends:
            name, balancer = self._balancer(backend)
            awake += not balancer.code
            children.append({"name": name, "weight": shares[backend.service]})
        if not awake:
            self._sleep(router, self._balancer(backends[0])[1])
        self._enter(router, {"weighted": {"services": children}}, ())
        return router, ()

    def _single(self, router: str, backend: Backend) -> tuple[str, tuple[str, ...]]:
        name, balancer = self._balancer(backend)
        if balancer.code:
            self._sleep(router, balancer)
        return name, ()

    def _sleep(self, router: str, balancer: Balancer) -> None:
        if balancer.code == "NO_ENDPOINTS" and self.settings.allow_empty_services:
            return
        self.result.asleep[router] = Asleep(balancer.code, balancer.reason, balancer.fix)

    def _balancer(self, backend: Backend) -> tuple[str, Balancer]:
        """The load balancer of a backend, entered once."""
        protocol = self.asked.old.get("protocol", "")
        known = self.balancers.get((backend, protocol))
        if known is not None:
            return known
        ingress, reading = self.ingress, self.reading
        key = f"{ingress.namespace}/{backend.service}"
        around = Around(service=reading.services.get(key), slices=reading.slices.get(key, ()), nodes=reading.nodes)
        balancer = make_balancer(ingress.namespace, backend, around, self.settings.rules, protocol)
        name = self._named(f"{ingress.namespace}-{backend.service}-{backend.port}")
        if protocol or "preserve-host" in self.asked.old:
            # The Ingress changes how the service is reached: it gets a service of its own.
            name = self._name(backend.service, str(backend.port))
        if name in self.result.services:  # web with the port http-a, and web-http with the port a
            name = f"{name}~{hashlib.sha256(repr(backend).encode()).hexdigest()[:10]}"
        if "preserve-host" in self.asked.old:
            give(balancer.options, "passHostHeader", is_true(self.asked.old["preserve-host"]))
        elif not self.settings.rules.pass_host:
            give(balancer.options, "passHostHeader", False)
        for problem in balancer.problems:
            self.result.problems.append(msgspec.structs.replace(problem, path=f"service {key}: {problem.path}"))
        steps = (*balancer.middlewares, *self._middlewares(name, balancer.steps))
        transport = next((str(item) for key, item in balancer.options.items() if key.lower() == "serverstransport"), "")
        if self._may_name(f"service {key}: annotations.service", (*balancer.middlewares, transport)):
            self._enter(name, {"loadBalancer": balancer.options}, steps)
        else:
            self.result.services[name] = Service("", None, (), "its annotations name what this namespace may not use")
        self.result.servers += tuple(server["url"] for server in balancer.options["servers"])
        self.balancers[(backend, protocol)] = (name, balancer)
        return name, balancer

    def _enter(self, name: str, plain: dict[str, Any], middlewares: tuple[str, ...]) -> None:
        given = {**plain, "middlewares": list(middlewares)} if middlewares else plain
        made, problems = decode_service(name, given, self.settings.kinds, "annotations")
        for problem in problems:
            self._problem(f"service {name}", f"{problem.path.rpartition('.')[2]}: {problem.message}", problem.hint)
        self.result.services[name] = made

    def _default(self, template: Router, shared: tuple[str, ...]) -> None:
        """``spec.defaultBackend``: for the rest of this Ingress's hosts, or, without rules, of the whole cluster."""
        backend = self.ingress.default
        if backend is None:
            return
        if not self.ingress.hosts:
            name = DEFAULT_ROUTER
            service, steps = self._single(name, backend)
            names = self._add(name, template, "PathPrefix(`/`)", (*shared, *steps), service)
            self.result.last.update(names)
            if name in self.result.asleep:
                self.result.asleep.update(dict.fromkeys(names, self.result.asleep[name]))
            return
        for host in self.ingress.hosts:
            place = PathRule(host, "/", "ImplementationSpecific", NOBODY)
            taken = any(
                path.host == host and path.path == "/" and path.kind != "Exact" for path in self.result.path_of.values()
            )
            if not taken:
                self._path(place, [backend], template, shared, {})


def _plain(value: Any) -> Any:
    """Text of annotations is read leniently, as that of labels."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return Plain(value) if isinstance(value, str) else value
