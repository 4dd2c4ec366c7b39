"""ipAllowList: lets only clients with listed addresses pass.

The client's address is the one that the connection comes from (after any PROXY header), unless ``ipStrategy`` says that
it is in X-Forwarded-For: there, only what the last trusted proxies wrote is true, so count from the right. A client
whose address X-Forwarded-For does not hold is refused. Who may not pass is answered ``rejectStatusCode``, cause
``ADDRESS_REFUSED``.

    labels:  edgerouter.http.middlewares.office.ipallowlist.sourcerange=127.0.0.1/32,192.168.1.7
             edgerouter.http.middlewares.office.ipallowlist.ipstrategy.depth=1

    http:
      middlewares:
        office:
          ipAllowList:
            sourceRange: [127.0.0.1/32, 192.168.1.7, "2001:db8::/32"]
            rejectStatusCode: 404
"""

from __future__ import annotations

from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._ip_list import AddressList
from edgerouter.middlewares._ip_list_options import Options
from edgerouter.registry import middleware


class IpAllowList(Middleware):
    """An address that is no address is in no range, so it is refused."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        self._list = AddressList("ipAllowList", options)

    def on_request(self, exchange: Exchange) -> Response | None:
        """See ``Middleware.on_request``."""
        address = self._list.address(exchange)
        return None if address in self._list else self._list.refuse(exchange, address)


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("ipAllowList", Options)(IpAllowList)
