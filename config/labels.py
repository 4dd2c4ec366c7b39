"""Labels of a container or service -> dynamic configuration, and what a label provider handles itself.

``edgerouter.http.routers.web.rule=...`` mirrors the file's structure; ``traefik.`` means the same. Pure: which
container, which network and which default rule is the providers' matter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from edgerouter.config.decode import Kinds, decode_dynamic
from edgerouter.config.dynamic import DynamicConfiguration, Service
from edgerouter.config.fit import boolean, closest, dotted, fit
from edgerouter.config.fit_types import Plain
from edgerouter.config.label_types import LabelPlaces, LabelResult, ServerLabels
from edgerouter.config.legacy_labels import may_be_old, modernize
from edgerouter.config.nest import MOST_PARTS, child, finish, grow, same, split
from edgerouter.config.places import Path, lowered
from edgerouter.config.types import Problem

_SECTIONS: Final = ("http", "tcp", "udp", "tls")
_APART: Final = ("enable", "port", "priority", "docker", "swarm")
_OTHERS: Final = ("consulcatalog", "nomad", "ecs", "tags", "domain")
_WHOLE: Final = re.compile(r"[-+]?\d{1,19}")
_FILE_ONLY: Final = ("weighted", "mirroring", "failover", "highestrandomweight")


def decode_labels(
    labels: Mapping[str, str],
    kinds: Kinds,
    prefixes: tuple[str, ...] = ("edgerouter", "traefik"),
    name: str = "service",
) -> LabelResult:
    """Decode all labels of one workload; never raises for what they hold.

    ``name`` is what the workload's service is called where labels of Traefik 1.x do not name one.
    Of two prefixes that give one path, the first of ``prefixes`` wins. A bad label spoils its own object only;
    a problem's ``source`` is the label.
    """
    reader = _Labels(labels, prefixes)
    names_routers = any(map(_names_router, reader.written))
    reader.modernize(name)
    tree = reader.tree()
    servers, refused = reader.servers(tree)
    configuration, problems = decode_dynamic(tree, kinds, "labels", reader.places)
    return LabelResult(
        enable=reader.enable(),
        port=reader.number("port", 1, 65535),
        priority=reader.number("priority", -(2**63), 2**63 - 1001),
        names_routers=names_routers,
        docker=reader.below("docker"),
        swarm=reader.below("swarm"),
        configuration=_with_refused(configuration, refused),
        servers=servers,
        problems=(*reader.problems, *problems),
    )


def _with_refused(configuration: DynamicConfiguration, refused: dict[str, str]) -> DynamicConfiguration:
    if not refused:
        return configuration
    broken = {name: Service("", None, (), why) for name, why in refused.items()}
    http = configuration.http
    http = msgspec.structs.replace(http, services={**http.services, **broken})
    return msgspec.structs.replace(configuration, http=http)


class _Labels:
    """The labels that count, by path below the prefix."""

    def __init__(self, labels: Mapping[str, str], prefixes: tuple[str, ...]) -> None:
        self.problems: list[Problem] = []
        self.places = LabelPlaces()
        self.paths: dict[Path, tuple[Path, str]] = {}  # lower-cased path -> path as written, value
        self.written: dict[Path, str] = {}  # lower-cased path -> the label
        self.old: set[Path] = set()  # of Traefik 1.x
        ours: dict[str, list[tuple[str, str]]] = {prefix: [] for prefix in prefixes}
        for label in labels:
            head, dot, rest = label.partition(".")
            if dot and (known := ours.get(head.lower())) is not None:
                known.append((label, rest))
        for prefix in prefixes:
            for label, rest in sorted(ours[prefix]):
                self._take(label, rest, labels[label])

    def problem(self, path: str, label: str, message: str, hint: str = "", severity: str = "error") -> None:
        self.problems.append(Problem(path, message, hint, f"label {label}", severity))

    def _take(self, label: str, rest: str, value: str) -> None:
        path = split(rest)
        at = lowered(path)
        before = self.written.get(at)
        if before is None:
            self.paths[at] = (path, value)
            self.written[at] = label
        elif self.paths[at][1] != value:
            self.problem(
                rest, label, f"not used, because {before} says something else", "keep one of the two", "warning"
            )

    def modernize(self, name: str) -> None:
        """Put today's labels beside those of Traefik 1.x; those that say today's form already win."""
        if not any(map(may_be_old, self.paths)):
            return
        modern = modernize({dotted(path): value for path, value in self.paths.values()}, name)
        prefix = "edgerouter"
        for said in modern.said:
            at = lowered(split(said.label))
            label = self.written[at]
            prefix = label.partition(".")[0]
            self.old.add(at)
            if said.fault:
                severity = "error" if said.label.lower().endswith("frontend.rule") else "warning"
                self.problem(said.label, label, said.fault, "", severity)
            else:
                self.problem(said.label, label, "a label of Traefik 1.x", f"write {prefix}.{said.today}", "warning")
        for text, value in modern.labels.items():
            at = lowered(split(text))
            if at not in self.paths:
                self.paths[at] = (split(text), value)
                self.written[at] = f"{prefix}.{text}"

    def enable(self) -> bool | None:
        at = ("enable",)
        if at not in self.paths:
            return None
        made = boolean(self.paths[at][1].strip())
        if made is None:
            self.problem(
                "enable", self.written[at], "expected true or false; it counts as false", "write true or false"
            )
        return bool(made)

    def number(self, name: str, least: int, most: int) -> int | None:
        at = (name,)
        if at not in self.paths:
            return None
        text = self.paths[at][1].strip()
        if _WHOLE.fullmatch(text) and least <= int(text) <= most:
            return int(text)
        self.problem(name, self.written[at], f"expected a whole number from {least} to {most}, got {text[:40]!r}")
        return None

    def below(self, name: str) -> dict[str, str]:
        return {".".join(at[1:]): value for at, (_, value) in self.paths.items() if at[0] == name and len(at) > 1}

    def tree(self) -> dict[str, Any]:
        """All of http, tcp, udp and tls as the nested data that a file would hold."""
        root: dict[str, Any] = {}
        for at, (path, value) in self.paths.items():
            if self._counts(at):
                grow(root, path, Plain(value.strip()))
                self.places.labels[at] = self.written[at]
        grown: dict[str, Any] = finish(root)
        return grown

    def _counts(self, at: Path) -> bool:
        """Whether a label is configuration; a label that cannot be is named here."""
        if len(at) > MOST_PARTS:
            self.problem(dotted(at)[:100], self.written[at][:100], f"more than {MOST_PARTS} parts", "", "warning")
            return False
        if at[0] in _SECTIONS:
            hint = _unfit(at)
            if hint:
                self.problem(dotted(at), self.written[at], "not possible with labels", hint)
            return not hint
        if at[0] not in _APART and at[0] not in _OTHERS and at not in self.old:
            hint = closest(at[0], (*_SECTIONS, *_APART))
            self.problem(dotted(at), self.written[at], "unknown label", hint, "warning")
        return False

    def servers(self, tree: dict[str, Any]) -> tuple[dict[str, ServerLabels], dict[str, str]]:
        """Take ``loadbalancer.server`` out of the services; and take out services that labels cannot make."""
        found: dict[str, ServerLabels] = {}
        refused: dict[str, str] = {}
        http = child(tree, "http")
        services = child(http, "services")
        for name in list(services):
            why = self._server(name, services[name], found)
            if why:
                refused[name] = why
                del services[name]
        return found, refused

    def _server(self, name: str, service: Any, found: dict[str, ServerLabels]) -> str:
        path = ("http", "services", name)
        if not isinstance(service, dict):
            return ""
        for kind in service:
            if kind.lower() in _FILE_ONLY:
                return self._refuse((*path, kind), "this kind of service cannot be made with labels", "use a file")
        balancer = child(service, "loadbalancer")
        if same(balancer, "servers") in balancer:
            at: Path = (*path, "loadBalancer", "servers")
            return self._refuse(at, "a workload is one server", "write loadbalancer.server.port, or .url")
        key = same(balancer, "server")
        if key not in balancer:
            return ""
        at = (*path, "loadBalancer", "server")
        server, faults = fit(balancer.pop(key), ServerLabels, at)
        why = [self._refuse(fault.path, fault.message, fault.hint) for fault in faults]
        if server is None:
            return "; ".join(why)
        if server.url and (server.port or server.scheme):
            return self._refuse((*at, "url"), "url stands alone", "leave out port and scheme, or url")
        if not 0 <= server.port <= 65535:
            return self._refuse((*at, "port"), f"expected a port from 1 to 65535, got {server.port}")
        found[name] = server
        return ""

    def _refuse(self, path: Path, message: str, hint: str = "") -> str:
        at = lowered(path)
        label = next((self.places[at[:n]] for n in range(len(at), 0, -1) if at[:n] in self.places), "labels")
        self.problems.append(Problem(dotted(path), message, hint, label))
        return f"{dotted(path)}: {message}"


def _names_router(at: Path) -> bool:
    return (at[:2] == ("http", "routers") and len(at) > 2) or at[:2] == ("frontend", "rule")


def _unfit(at: Path) -> str:
    """Why a path of a section is not for labels; "" when it is."""
    if at[0] == "tls" and at[1:3] != ("stores", "default"):
        return "only tls.stores.default can be set with labels; use a file"
    if at[0] in ("http", "tcp") and at[1:2] == ("serverstransports",):
        return "use a file"
    if len(at) > 2 and not at[2]:
        return "write a name between the dots"
    return ""
