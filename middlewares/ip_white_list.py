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

from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._ip_list import AddressList
from edgerouter.middlewares._ip_list_options import Options as ListOptions
from edgerouter.middlewares._ip_white_list_options import Options
from edgerouter.registry import middleware

__all__ = ["IpWhiteList", "Options"]


class IpWhiteList(Middleware):
    """As ``IpAllowList``."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        same = ListOptions(source_range=options.source_range, ip_strategy=options.ip_strategy)
        self._list = AddressList("ipWhiteList", same)

    def on_request(self, exchange: Exchange) -> Response | None:
        """See ``Middleware.on_request``."""
        address = self._list.address(exchange)
        return None if address in self._list else self._list.refuse(exchange, address)


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("ipWhiteList", Options)(IpWhiteList)
