"""What branches of the service tree share: children by name, found at each request. Compiled."""

from __future__ import annotations

from collections.abc import Callable

from mypy_extensions import mypyc_attr

from edgerouter.contracts.plugins import PluginContext, Server, Service
from edgerouter.http.exchange import Exchange


@mypyc_attr(allow_interpreted_subclasses=True)
class Branch(Service):
    """``children``: (qualified name, weight) of those that may be chosen. A branch is down when all of them are."""

    def __init__(self, context: PluginContext, children: list[tuple[str, int]]) -> None:
        super().__init__(context.name)
        self.children = children
        self._find: Callable[[str], Service | None] = context.find_service
        self._busy = False

    def choose(self, exchange: Exchange) -> Server | None:
        """See ``Service.choose``: down to the leaf, whatever steps the nodes bring."""
        node: Service = self
        while True:
            child = node.below(exchange)
            if child is node:
                break
            node = child
        if node is not self:
            return node.choose(exchange)
        exchange.service = self.name
        return None

    def available(self) -> bool:
        """See ``Service.available``; a branch that is reached again through itself has nothing to offer."""
        if self._busy:
            return False
        self._busy = True
        try:
            return any(self.answers(name) for name, _ in self.children)
        finally:
            self._busy = False

    def answers(self, name: str) -> bool:
        """True when there is such a service and it can answer."""
        child = self._find(name)
        return child is not None and child.available()
