"""What the lists of addresses share: options, the look-up, and the answer to who may not pass."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from edgerouter.causes import CLIENT, declare
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._addresses import ClientAddress, Ranges
from edgerouter.middlewares._ip_list_options import Options
from edgerouter.proxy.failures import answer

declare(
    "ADDRESS_REFUSED",
    403,
    CLIENT,
    "The client's address may not pass ipAllowList or ipDenyList.",
    "Add its range, or set ipStrategy when the router stands behind another proxy; CauseDetail names the address.",
)

_STATUSES: Final = {int(status): status.phrase for status in HTTPStatus}


class AddressList:
    """``kind`` is the middleware's name, for messages. Raises ValueError."""

    def __init__(self, kind: str, options: Options) -> None:
        if not options.source_range:
            raise ValueError(f"{kind}: sourceRange is empty; write addresses or ranges, e.g. sourceRange: [10.0.0.0/8]")
        if options.reject_status_code not in _STATUSES:
            raise ValueError(f"{kind}: rejectStatusCode: {options.reject_status_code} is no status; write e.g. 403")
        self._kind = kind
        self._status = options.reject_status_code
        self._client = ClientAddress(f"{kind}: ipStrategy", options.ip_strategy)
        self._ranges = Ranges(f"{kind}: sourceRange", options.source_range)

    def address(self, exchange: Exchange) -> str:
        """The client's address; "" when it cannot be told."""
        return self._client.of(exchange)

    def __contains__(self, address: str) -> bool:
        return address in self._ranges

    def refuse(self, exchange: Exchange, address: str) -> Response:
        """The answer, with its cause."""
        who = f"the address {address!r} may not pass" if address else "X-Forwarded-For does not hold the address"
        return answer(exchange, self._status, "ADDRESS_REFUSED", f"{self._kind}: {who}", _STATUSES[self._status])
