"""The options of ``addresses``: shapes only. Apart from what is compiled."""

from __future__ import annotations

import msgspec

from edgerouter.config.dynamic import Model


class IPStrategy(Model, frozen=True):
    """Which address is the client's; without it, the one that the connection comes from."""

    # take the nth address of X-Forwarded-For, counted from the right; 0: do not
    depth: int = 0
    # take the first address of X-Forwarded-For, from the right, that is not in these ranges
    excluded_ips: tuple[str, ...] = msgspec.field(default=(), name="excludedIPs")
    # IPv6 addresses of one subnet with a prefix of so many bits count as one client
    ipv6_subnet: int | None = None
