"""The options of ``timeouts``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Duration


class Options(Model, frozen=True):
    """Options of ``timeouts``; 0 is no limit."""

    # until a connection to the server stands
    connect: Duration = Duration(0)
    # from the request's end to the response's head
    first_byte: Duration = Duration(0)
    # longest time in which no byte of a body comes
    idle: Duration = Duration(0)
    # the whole exchange
    total: Duration = Duration(0)
