"""IP addresses of clients: ranges in options, and the address that stands for a client (Traefik's ``ipStrategy``).

Which address is believed is decided here once for all middlewares. X-Forwarded-For of a peer that the entry point does
not trust never gets here: the entry point deletes it.
"""

from __future__ import annotations

import ipaddress
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final

from edgerouter.http.exchange import Exchange
from edgerouter.middlewares._addresses_options import IPStrategy

_MAPPED: Final = b"\0" * 10 + b"\xff\xff"  # ::ffff:1.2.3.4 is 1.2.3.4


def packed(address: str) -> bytes:
    """4 or 16 bytes of an address, zone left out, IPv4 in IPv6 as IPv4; b"" for what is none."""
    try:
        if ":" not in address:
            return inet_pton(AF_INET, address)
        data = inet_pton(AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return b""
    return data[12:] if data.startswith(_MAPPED) else data


class Ranges:
    """Addresses and CIDR ranges. Raises ValueError that names the option and the bad one."""

    def __init__(self, option: str, texts: tuple[str, ...]) -> None:
        self._networks: dict[int, list[tuple[int, int]]] = {4: [], 16: []}
        for text in texts:
            try:
                network = ipaddress.ip_network(text.strip(), strict=False)
            except ValueError:
                raise ValueError(
                    f"{option}: {text!r} is no address and no range; write 192.168.1.7 or 192.168.1.0/24"
                ) from None
            size = network.max_prefixlen // 8
            self._networks[size].append((int(network.network_address), int(network.netmask)))

    def __contains__(self, address: str) -> bool:
        data = packed(address)
        if not data:
            return False
        number = int.from_bytes(data, "big")
        return any(number & mask == network for network, mask in self._networks[len(data)])


class ClientAddress:
    """Finds the address by a strategy. Raises ValueError for options that cannot be meant."""

    def __init__(self, option: str, strategy: IPStrategy | None) -> None:
        strategy = strategy or IPStrategy()
        if strategy.depth < 0:
            raise ValueError(f"{option}.depth: {strategy.depth} is less than 0; count from 1 at the right")
        self._depth = strategy.depth
        self._excluded = Ranges(f"{option}.excludedIPs", strategy.excluded_ips) if strategy.excluded_ips else None
        bits = strategy.ipv6_subnet
        if bits is not None and not 0 <= bits <= 128:
            raise ValueError(f"{option}.ipv6Subnet: {bits} is no number of bits; write e.g. 64")
        self._mask = None if bits is None else ((1 << bits) - 1) << (128 - bits)

    def of(self, exchange: Exchange) -> str:
        """The address, "" when X-Forwarded-For does not hold it."""
        if self._depth:
            found = self._nth(exchange)
        elif self._excluded is not None:
            found = self._first_other(exchange, self._excluded)
        else:
            found = exchange.client_address
        return found if self._mask is None else self._subnet(found, self._mask)

    def _nth(self, exchange: Exchange) -> str:
        forwarded = _forwarded_for(exchange)
        return forwarded[-self._depth] if len(forwarded) >= self._depth else ""

    def _first_other(self, exchange: Exchange, excluded: Ranges) -> str:
        return next((item for item in reversed(_forwarded_for(exchange)) if item and item not in excluded), "")

    def _subnet(self, address: str, mask: int) -> str:
        data = packed(address)
        if len(data) != 16:
            return address
        return str(ipaddress.IPv6Address(int.from_bytes(data, "big") & mask))


def _forwarded_for(exchange: Exchange) -> list[str]:
    lines = exchange.request.headers.get_all("X-Forwarded-For")
    return [item.strip() for item in ",".join(lines).split(",")] if lines else []
