"""The options of ``responseCache``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Duration


class Options(Model, frozen=True):
    """Options of ``responseCache``."""

    # bytes that each worker keeps for each router
    max_bytes: int = 64 * 1024 * 1024
    # larger responses are not kept
    max_entry_bytes: int = 8 * 1024 * 1024
    # how long responses are fresh that say nothing of it; 0: they are not kept
    default_ttl: Duration = Duration(0)
    # how long stale responses are used while the server is asked
    stale_while_revalidate: Duration = Duration(0)
    # how long stale responses are used when the server fails
    stale_if_error: Duration = Duration(0)
    # request fields that are part of the key
    key_headers: tuple[str, ...] = ()
    # what clients say in Cache-Control and Pragma does not count
    ignore_client: bool = False
    # say in Cache-Status what happened
    cache_status: bool = True
