"""``ClientIP(`10.0.0.0/8`)``: the peer's address, alone or in a network; never what X-Forwarded-For says."""

from __future__ import annotations

import ipaddress
from typing import Final

from edgerouter.http.exchange import Exchange
from edgerouter.registry import matcher
from edgerouter.rules.error import ArgumentError
from edgerouter.rules.predicates import Clause

_MOST: Final = 1024  # addresses remembered; peers come back, and reading an address costs more than all else here
_numbers: Final[dict[str, tuple[int, int]]] = {}


class ClientIP(Clause):
    """An address or a network; an IPv4 address and its IPv6-mapped form are the same."""

    def __init__(self, args: list[str]) -> None:
        network = _network(args[0])
        self.bits = network.max_prefixlen
        self.shift = network.max_prefixlen - network.prefixlen
        self.prefix = int(network.network_address) >> self.shift

    def test(self, exchange: Exchange) -> bool:
        """Compare with the peer of the connection, or of its PROXY header."""
        bits, number = _number(exchange.client_address)
        return bits == self.bits and number >> self.shift == self.prefix


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ArgumentError(f"{text!r} is no IP address and no network such as 10.0.0.0/8") from None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def _number(text: str) -> tuple[int, int]:
    """How many bits the address has (0: it is none), and its number."""
    known = _numbers.get(text)
    if known is not None:
        return known
    if len(_numbers) >= _MOST:
        _numbers.clear()
    known = _read(text)
    _numbers[text] = known
    return known


def _read(text: str) -> tuple[int, int]:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return (0, 0)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return (address.max_prefixlen, int(address))


matcher("ClientIP", arity=1)(ClientIP)  # by a call: a decorated class would not be native when compiled
