"""What labels say, and which of them says it. Shapes only, apart from ``labels`` because the compiler makes no native
classes of structs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import msgspec

from edgerouter.config.dynamic import DynamicConfiguration, Model
from edgerouter.config.places import Path
from edgerouter.config.types import Problem


class ServerLabels(Model, frozen=True):
    """``loadbalancer.server.*``: the one server that a workload is. 0, "" and None: not given."""

    port: int = 0
    scheme: str = ""
    url: str = ""
    weight: int | None = None
    preserve_path: bool = False


class LabelResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a workload's labels say.

    ``enable``, ``port``, ``priority``: the workload-wide labels, None when absent (a bad ``enable`` counts as False).
    ``names_routers``: some label names a router, were it one that could not be used.
    ``docker`` and ``swarm``: what stands below, by lower-cased name. ``servers``: service name -> its one server.
    """

    enable: bool | None = None
    port: int | None = None
    priority: int | None = None
    names_routers: bool = False
    docker: dict[str, str] = {}
    swarm: dict[str, str] = {}
    configuration: DynamicConfiguration = DynamicConfiguration()
    servers: dict[str, ServerLabels] = {}
    problems: tuple[Problem, ...] = ()


class LabelPlaces(Mapping[Path, str]):
    """Which label speaks first of what. Worked out when somebody asks: most labels have no faults."""

    def __init__(self) -> None:
        self.labels: dict[Path, str] = {}  # lower-cased path -> the label

    @cached_property
    def _all(self) -> dict[Path, str]:
        found: dict[Path, str] = {}
        for at, label in self.labels.items():
            for length in range(len(at), 0, -1):
                found.setdefault(at[:length], f"label {label}")
        return found

    def __getitem__(self, at: Path) -> str:
        return self._all[at]

    def __iter__(self) -> Iterator[Path]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)
