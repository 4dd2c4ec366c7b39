"""chain: several middlewares under one name, in order. Build puts the members in its place; nothing of it runs.

labels:  edgerouter.http.middlewares.usual.chain.middlewares=secure,strip

http:
  middlewares:
    usual:
      chain:
        middlewares: [secure, strip]
"""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.registry import middleware


class Options(Model, frozen=True):
    """Options of ``chain``."""

    # names of the middlewares, outermost first
    middlewares: tuple[str, ...] = ()


@middleware("chain", Options)
class Chain(Middleware):
    """A chain that reaches a worker was not expanded: the router must not be served without its members."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        raise ValueError(f"chain: {context.name} was not replaced by its members {', '.join(options.middlewares)}")
