"""ipWhiteList: the old name of ipAllowList; it answers 403 and has no ``rejectStatusCode``.

It works and gives a warning: write ``ipAllowList``.

    labels:  edgerouter.http.middlewares.office.ipwhitelist.sourcerange=127.0.0.1/32,192.168.1.7

    http:
      middlewares:
        office:
          ipWhiteList:
            sourceRange: [127.0.0.1/32, 192.168.1.7]
"""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares import _ip_list
from edgerouter.middlewares._addresses import IPStrategy
from edgerouter.registry import middleware


class Options(Model, frozen=True):
    """Options of ``ipWhiteList``."""

    # addresses and CIDR ranges that may pass
    source_range: tuple[str, ...] = ()
    ip_strategy: IPStrategy | None = None

    def warnings(self) -> tuple[str, ...]:
        """See ``config.effect.warnings``."""
        return ("ipWhiteList is the old name; write ipAllowList",)


@middleware("ipWhiteList", Options)
class IpWhiteList(Middleware):
    """As ``IpAllowList``."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        same = _ip_list.Options(source_range=options.source_range, ip_strategy=options.ip_strategy)
        self._list = _ip_list.AddressList("ipWhiteList", same)

    def on_request(self, exchange: Exchange) -> Response | None:
        """See ``Middleware.on_request``."""
        address = self._list.address(exchange)
        return None if address in self._list else self._list.refuse(exchange, address)
