"""ipDenyList: keeps clients with listed addresses out; all others pass.

The client's address is found as ``ipAllowList`` finds it. A client whose address cannot be told, because
X-Forwarded-For does not hold what ``ipStrategy`` asks for, is refused as well: else leaving the field out would be
enough to get in. Who may not pass is answered ``rejectStatusCode``, cause ``ADDRESS_REFUSED``.

    labels:  edgerouter.http.middlewares.shun.ipdenylist.sourcerange=203.0.113.0/24

    http:
      middlewares:
        shun:
          ipDenyList:
            sourceRange: [203.0.113.0/24, "2001:db8::/32"]
            ipStrategy:
              excludedIPs: [10.0.0.0/8]
"""

from __future__ import annotations

from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._addresses import packed
from edgerouter.middlewares._ip_list import AddressList
from edgerouter.middlewares._ip_list_options import Options
from edgerouter.registry import middleware


class IpDenyList(Middleware):
    """Refuses who is listed, and who hides."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        self._list = AddressList("ipDenyList", options)

    def on_request(self, exchange: Exchange) -> Response | None:
        """See ``Middleware.on_request``."""
        address = self._list.address(exchange)
        refused = address in self._list or not packed(address)
        return self._list.refuse(exchange, address) if refused else None


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("ipDenyList", Options)(IpDenyList)
