"""Labels of one item -> its routers and services; items -> one configuration. For every provider that reads labels.

An item is what carries labels: a container, a Swarm service, a catalogue entry. Which routers and services come to be
from labels alone, what they are called, who wins when two items define one name: that is decided here, on plain data.
How an item's address is found is the provider's; what a label means is ``config.labels``'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from edgerouter.config.dynamic import DynamicConfiguration, HttpConfiguration, Middleware, Router, Service
from edgerouter.config.types import Problem
from edgerouter.providers._default_rule import Template, TemplateError
from edgerouter.services.load_balancer import Options as LoadBalancerOptions
from edgerouter.services.load_balancer import ServerOptions

T = TypeVar("T", Router, Middleware)
_BALANCER: Final = "loadBalancer"
# A path that no socket has: such a server refuses at once, and its name says why wherever servers are shown.
NOWHERE: Final = "unix:/no-shared-network/"


class Wish(msgspec.Struct, frozen=True):
    """What labels say of one service's server. ``url`` replaces host and port."""

    port: int = 0
    scheme: str = "http"
    url: str = ""
    weight: int = 1
    preserve_path: bool = False


class Reach(msgspec.Struct, frozen=True):
    """Where an item is reached for one port: ``host:port`` pairs, or the code and the sentence that say why not."""

    addresses: tuple[str, ...] = ()
    code: str = ""
    reason: str = ""
    fix: str = ""
    warning: str = ""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One bearer of labels. ``asleep`` is the sentence that says why it takes no requests, "" while it does.

    ``keep_live``: its routers stay live without servers, as an empty service (503), whatever its state.
    """

    id: str
    title: str  # what people call it, for messages: "container web-1"
    name: str  # what its service is called where no label says so
    variables: Mapping[str, Any]  # for the default rule: Name, ContainerName, Labels
    configuration: DynamicConfiguration
    wishes: Mapping[str, Wish] = {}
    port: int = 0
    priority: int = 0
    created: str = ""  # text order is time order
    asleep: str = ""
    keep_live: bool = False
    names_routers: bool = False  # labels name routers, even if none of them could be used
    reach: Callable[[int], Reach]

    @property
    def live(self) -> bool:
        """True while its routers compete with those of others."""
        return not self.asleep or self.keep_live

    @property
    def says_nothing(self) -> bool:
        """True when no label names a router or a service."""
        http = self.configuration.http
        return not (self.names_routers or http.routers or http.services or self.wishes)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What one item alone would give. ``failed`` is the first reach that found nothing."""

    item: Item
    routers: dict[str, Router] = {}
    services: dict[str, Service] = {}
    middlewares: dict[str, Middleware] = {}
    problems: tuple[Problem, ...] = ()
    failed: Reach | None = None
    unused: dict[str, Router] = {}  # routers that are not made, for the ledger


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """All items together. The tables map an item's id to what became of it."""

    http: HttpConfiguration
    problems: tuple[Problem, ...]
    sleeping: dict[str, str]
    routers: dict[str, tuple[str, ...]]
    services: dict[str, tuple[str, ...]]
    shadowed: dict[str, str]  # id -> the sentence that says who won instead


def synthesize(item: Item, template: Template | None, source: str) -> Draft:
    """Return the item's routers and services, invented ones included; ``template`` None invents no rules."""
    builder = _Builder(item, template, source)
    http = item.configuration.http
    services = builder.services(http)
    routers = builder.routers(http, services)
    if builder.failed is not None and builder.failed.code == "NO_PORT" and item.says_nothing:
        # Not meant to be routed: a job, a worker. The ledger tells; nothing is reserved and nobody is alarmed.
        return Draft(item=item, middlewares=dict(http.middlewares), failed=builder.failed, unused=routers)
    return Draft(
        item=item,
        routers=routers,
        services=services,
        middlewares=dict(http.middlewares),
        problems=tuple(builder.problems),
        failed=builder.failed,
    )


class _Builder:
    """Builds one item's draft; collects its problems."""

    def __init__(self, item: Item, template: Template | None, source: str) -> None:
        self.item = item
        self.template = template
        self.source = source
        self.problems: list[Problem] = []
        self.failed: Reach | None = None
        self.bare = not (item.configuration.tcp or item.configuration.udp)

    def problem(self, path: str, message: str, hint: str = "", severity: str = "error") -> None:
        self.problems.append(Problem(path, f"{self.item.title}: {message}", hint, self.source, severity))

    def services(self, http: HttpConfiguration) -> dict[str, Service]:
        """Named services with this item's servers; one of the item's own name where none is named."""
        found = dict(http.services)
        names = [*found, *(name for name in self.item.wishes if name not in found)]
        if not names and self.bare:
            names = [self.item.name]
        made = {}
        for name in names:
            service = found.get(name, Service(_BALANCER, LoadBalancerOptions()))
            made[name] = self._with_servers(name, service)
        return made

    def _with_servers(self, name: str, service: Service) -> Service:
        if service.kind != _BALANCER or self.item.asleep:
            return service
        options = msgspec.structs.replace(service.options, servers=self._servers(name))
        return msgspec.structs.replace(service, options=options)

    def _servers(self, name: str) -> tuple[ServerOptions, ...]:
        wish = self.item.wishes.get(name, Wish())
        if wish.url:
            return (ServerOptions(url=wish.url, weight=wish.weight, preserve_path=wish.preserve_path),)
        reach = self.item.reach(wish.port or self.item.port)
        path = f"http.services.{name}"
        if reach.warning:
            self.problem(path, reach.warning, reach.fix, "warning")
        if not reach.addresses:
            self.failed = self.failed or reach
            self.problem(path, reach.reason, reach.fix)
        return tuple(
            ServerOptions(url=f"{wish.scheme}://{address}", weight=wish.weight, preserve_path=wish.preserve_path)
            for address in reach.addresses
        )

    def routers(self, http: HttpConfiguration, services: Mapping[str, Service]) -> dict[str, Router]:
        """Named routers, linked and with a rule; one named as the only service where none is named."""
        given = dict(http.routers)
        if self.item.names_routers:
            pass  # nothing is invented beside what was written, were it wrong
        elif not given and self.bare and len(services) == 1:
            given = {next(iter(services)): Router()}
        elif not given and len(services) > 1:
            hint = "write http.routers.NAME.rule and http.routers.NAME.service"
            self.problem("http.routers", f"{len(services)} services and no router: none is made", hint, "warning")
        made = {}
        for name, router in given.items():
            whole = self._complete(name, router, services)
            if whole is not None:
                made[name] = whole
        return made

    def _complete(self, name: str, router: Router, services: Mapping[str, Service]) -> Router | None:
        service = router.service or self._only(name, services)
        rule = router.rule or self._rule(name)
        if not service or not rule:
            return None
        priority = router.priority or self.item.priority
        return msgspec.structs.replace(router, service=service, rule=rule, priority=priority)

    def _only(self, name: str, services: Mapping[str, Service]) -> str:
        if len(services) == 1:
            return next(iter(services))
        names = ", ".join(sorted(services)) or "none"
        self.problem(
            f"http.routers.{name}",
            f"the router names no service and there are {len(services)} ({names})",
            f"add http.routers.{name}.service={next(iter(sorted(services)), 'NAME')}",
        )
        return ""

    def _rule(self, name: str) -> str:
        path = f"http.routers.{name}.rule"
        if self.template is None:
            self.problem(path, "the router has no rule", f"add http.routers.{name}.rule=Host(`example.com`)")
            return ""
        try:
            return self.template.render(self.item.variables)
        except TemplateError as error:
            self.problem(path, f"the default rule {self.template.source!r} gives none: {error}", f"write {path}=...")
            return ""


def merge(drafts: Iterable[Draft], source: str) -> Merged:
    """Put all drafts together: the newest live definition of a name wins, servers of equal services add up."""
    newest_first = sorted(drafts, key=lambda draft: (draft.item.live, draft.item.created, draft.item.id), reverse=True)
    merger = _Merger(newest_first, source)
    routers = merger.named("routers", lambda draft: draft.routers)
    middlewares = merger.named("middlewares", lambda draft: draft.middlewares)
    services = merger.services()
    return Merged(
        http=HttpConfiguration(
            routers=dict(sorted(routers.items())),
            services=dict(sorted(services.items())),
            middlewares=dict(sorted(middlewares.items())),
        ),
        problems=tuple(merger.problems),
        sleeping=merger.sleeping(),
        routers={key: tuple(names) for key, names in merger.routers_of.items()},
        services={key: tuple(names) for key, names in merger.services_of.items()},
        shadowed=merger.shadowed,
    )


class _Merger:
    """Merges drafts that come newest live one first; collects problems and who got what."""

    def __init__(self, drafts: list[Draft], source: str) -> None:
        self.drafts = drafts
        self.source = source
        self.problems: list[Problem] = []
        self.shadowed: dict[str, str] = {}
        self.routers_of: dict[str, list[str]] = {draft.item.id: [] for draft in drafts}
        self.services_of: dict[str, list[str]] = {draft.item.id: [] for draft in drafts}

    def named(self, section: str, read: Callable[[Draft], Mapping[str, T]]) -> dict[str, T]:
        """The winner of each name; losers that are live and differ get a Problem."""
        won: dict[str, tuple[T, Item]] = {}
        for draft in self.drafts:
            for name, value in read(draft).items():
                value_won, winner = won.setdefault(name, (value, draft.item))
                if value == value_won:
                    if section == "routers":
                        self.routers_of[draft.item.id].append(name)
                else:
                    self._lost(f"http.{section}.{name}", draft.item, winner)
        return {name: value for name, (value, _) in won.items()}

    def _lost(self, path: str, loser: Item, winner: Item) -> None:
        if not loser.live and winner.live:
            return  # an older version that has stopped: the normal way of a replacement
        message = f"{loser.title} defines it differently from {winner.title}, which is newer and wins"
        self.shadowed.setdefault(loser.id, f"{path}: {message}")
        self.problems.append(Problem(path, message, "use another name, or the same labels on both", self.source))

    def services(self) -> dict[str, Service]:
        """Services by name: the winner's options with the servers of all whose options are equal."""
        won: dict[str, tuple[Service, Item]] = {}
        servers: dict[str, list[tuple[tuple[str, str], ServerOptions]]] = {}
        for draft in self.drafts:
            for name, service in draft.services.items():
                bare = _bare(service)
                bare_won, winner = won.setdefault(name, (bare, draft.item))
                if bare != bare_won:
                    self._lost(f"http.services.{name}", draft.item, winner)
                    continue
                self.services_of[draft.item.id].append(name)
                age = (draft.item.created, draft.item.id)
                servers.setdefault(name, []).extend((age, server) for server in _servers_of(service))
        return {name: self._filled(name, service, servers.get(name, [])) for name, (service, _) in won.items()}

    def _filled(self, name: str, service: Service, servers: list[tuple[tuple[str, str], ServerOptions]]) -> Service:
        if service.kind != _BALANCER:
            return service
        by_url = {server.url: server for _, server in sorted(servers, key=lambda pair: (pair[0], pair[1].url))}
        found = tuple(by_url.values()) or self._unreachable(name)
        return msgspec.structs.replace(service, options=msgspec.structs.replace(service.options, servers=found))

    def _unreachable(self, name: str) -> tuple[ServerOptions, ...]:
        """A server that refuses at once, where live items have the service and none shares a network with us."""
        for draft in self.drafts:
            failed = draft.failed
            if name in draft.services and failed is not None and failed.code == "NO_SHARED_NETWORK":
                return (ServerOptions(url=f"{NOWHERE}{draft.item.name}"),)
        return ()

    def sleeping(self) -> dict[str, str]:
        """Routers that only items define which take no requests, each with the newest one's reason."""
        awake = {name for draft in self.drafts if draft.item.live for name in draft.routers}
        found: dict[str, str] = {}
        for draft in self.drafts:
            for name in draft.routers:
                if name not in awake:
                    found.setdefault(name, draft.item.asleep)
        return found


def _bare(service: Service) -> Service:
    if service.kind != _BALANCER:
        return service
    return msgspec.structs.replace(service, options=msgspec.structs.replace(service.options, servers=()))


def _servers_of(service: Service) -> tuple[ServerOptions, ...]:
    return tuple(service.options.servers) if service.kind == _BALANCER else ()
