"""The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): header <-> addresses. No I/O, no question of
trust: whether a peer may say who its client is decides the entry point.

Both versions are strict: a header that is not exactly what the document describes ends the connection, since what
follows it could not be trusted to be where the peer means it to be.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from edgerouter.errors import BadRequest

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
MAX_V1: Final = 107  # bytes, CRLF included (section 2.1)
MAX_V2_PAYLOAD: Final = 4096  # addresses and TLVs; the format allows 65535, no sender needs them

_TCP: Final = 1
_UDP: Final = 2
_INET: Final = 1
_INET6: Final = 2
_UNIX: Final = 3
_SIZES: Final[dict[int, int]] = {0: 0, _INET: 12, _INET6: 36, _UNIX: 216}


class ProxyHeader:
    """Who is behind the peer. ``consumed`` bytes of the data were the header.

    ``local``: the peer speaks for itself (LOCAL, UNKNOWN, or a family that has no IP address), use the socket's
    addresses. Otherwise addresses are IPv4 or IPv6 in their usual spelling, ports 0 to 65535.
    """

    def __init__(
        self,
        version: int,
        consumed: int = 0,
        source_address: str = "",
        source_port: int = 0,
        destination_address: str = "",
        destination_port: int = 0,
    ) -> None:
        self.version = version
        self.consumed = consumed
        self.source_address = source_address
        self.source_port = source_port
        self.destination_address = destination_address
        self.destination_port = destination_port

    @property
    def local(self) -> bool:
        """True when the header names no client."""
        return not self.source_address


def begins_header(data: bytes) -> bool:
    """False when ``data`` cannot become a header, whatever follows: the peer sent none."""
    return b"PROXY ".startswith(data[:6]) or SIGNATURE.startswith(data[:12])


def parse(data: bytes) -> ProxyHeader | None:
    """Read the header at the start of a connection; None: more is needed.

    Raises BadRequest with cause BAD_REQUEST_PROXY_PROTOCOL where ``data`` begins with anything else.
    """
    if data[:1] == b"P":
        return _parse_v1(data)
    if data[:12] == SIGNATURE[: len(data)]:
        return _parse_v2(data) if len(data) >= 16 else None
    raise _bad("the connection does not begin with a PROXY protocol header")


def encode_v1(source: str, source_port: int, destination: str, destination_port: int) -> bytes:
    """The readable form for TCP; ``PROXY UNKNOWN`` where there is no address. Raises ValueError for a bad one."""
    if not source:
        return b"PROXY UNKNOWN\r\n"
    from_ip, to_ip = _same_family(source, destination)
    name = "TCP4" if isinstance(from_ip, IPv4Address) else "TCP6"
    _check_ports(source_port, destination_port)
    return f"PROXY {name} {from_ip} {to_ip} {source_port} {destination_port}\r\n".encode("ascii")


def encode_v2(source: str, source_port: int, destination: str, destination_port: int, datagram: bool = False) -> bytes:
    """The binary form; LOCAL where there is no address. Raises ValueError for a bad one."""
    if not source:
        return SIGNATURE + b"\x20\x00\x00\x00"
    from_ip, to_ip = _same_family(source, destination)
    _check_ports(source_port, destination_port)
    family = _INET if isinstance(from_ip, IPv4Address) else _INET6
    addresses = from_ip.packed + to_ip.packed
    ports = source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big")
    kind = (family << 4) | (_UDP if datagram else _TCP)
    size = len(addresses) + len(ports)
    return SIGNATURE + bytes([0x21, kind]) + size.to_bytes(2, "big") + addresses + ports


def _bad(message: str) -> BadRequest:
    return BadRequest(message, cause="BAD_REQUEST_PROXY_PROTOCOL")


# -- version 1 --------------------------------------------------------------------------------------------------


def _parse_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n", 0, MAX_V1)
    if not b"PROXY ".startswith(data[:6]):
        raise _bad("the connection does not begin with a PROXY protocol header")
    if end < 0:
        if len(data) >= MAX_V1:
            raise _bad(f"a PROXY line longer than {MAX_V1} bytes")
        return None
    if data[end - 1] != 13:
        raise _bad("a PROXY line that ends in LF without CR")
    words = data[: end - 1].split(b" ")
    header = ProxyHeader(1, end + 1)
    if words[1] == b"UNKNOWN":  # whatever follows is to be ignored
        return header
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise _bad("a PROXY line needs TCP4, TCP6 or UNKNOWN, two addresses and two ports")
    six = words[1] == b"TCP6"
    header.source_address = _text_address(words[2], six)
    header.destination_address = _text_address(words[3], six)
    header.source_port = _text_port(words[4])
    header.destination_port = _text_port(words[5])
    return header


def _text_address(word: bytes, six: bool) -> str:
    try:
        text = word.decode("ascii")
        if "%" in text:
            raise ValueError("an address with a zone")
        return str(IPv6Address(text)) if six else str(IPv4Address(text))
    except ValueError as error:
        raise _bad(f"a PROXY line with a bad address: {error}") from error


def _text_port(word: bytes) -> int:
    if not word.isdigit() or len(word) > 5 or (word[0] == 48 and len(word) > 1) or int(word) > 65535:
        raise _bad("a PROXY line with a bad port")
    return int(word)


# -- version 2 --------------------------------------------------------------------------------------------------


def _parse_v2(data: bytes) -> ProxyHeader | None:
    version, command = data[12] >> 4, data[12] & 15
    family, protocol = data[13] >> 4, data[13] & 15
    size = int.from_bytes(data[14:16], "big")
    if version != 2 or command > 1:
        raise _bad("PROXY protocol: neither version 2 nor a command of it")
    if size > MAX_V2_PAYLOAD:
        raise _bad(f"PROXY protocol: a header longer than {MAX_V2_PAYLOAD} bytes")
    if family not in _SIZES or protocol > _UDP:
        raise _bad("PROXY protocol: an unknown address family or transport")
    if command == 1 and size < _SIZES[family]:
        raise _bad("PROXY protocol: a header too short for its addresses")
    end = 16 + size
    if len(data) < end:
        return None
    header = ProxyHeader(2, end)
    if command == 1 and protocol and family in (_INET, _INET6):
        _read_addresses(header, data, 4 if family == _INET else 16)
    _check_tlvs(data, 16 + (_SIZES[family] if command == 1 else size), end)
    return header


def _read_addresses(header: ProxyHeader, data: bytes, width: int) -> None:
    ports = 16 + 2 * width
    source, destination = data[16 : 16 + width], data[16 + width : ports]
    if width == 4:
        header.source_address, header.destination_address = str(IPv4Address(source)), str(IPv4Address(destination))
    else:
        header.source_address, header.destination_address = str(IPv6Address(source)), str(IPv6Address(destination))
    header.source_port = int.from_bytes(data[ports : ports + 2], "big")
    header.destination_port = int.from_bytes(data[ports + 2 : ports + 4], "big")


def _check_tlvs(data: bytes, at: int, end: int) -> None:
    """Their values are not used, but they must fill the header exactly (section 2.2)."""
    while at < end:
        if at + 3 > end:
            raise _bad("PROXY protocol: a TLV that is cut off")
        at += 3 + int.from_bytes(data[at + 1 : at + 3], "big")
    if at > end:
        raise _bad("PROXY protocol: a TLV longer than the header")


# -- encoding ---------------------------------------------------------------------------------------------------


def _same_family(source: str, destination: str) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]:
    """Both addresses as IPv4, or both as IPv6 (an IPv4 one is then mapped)."""
    from_ip, to_ip = _address(source), _address(destination)
    if isinstance(from_ip, IPv4Address) and isinstance(to_ip, IPv4Address):
        return from_ip, to_ip
    return _mapped(from_ip), _mapped(to_ip)


def _address(text: str) -> IPv4Address | IPv6Address:
    text = text.partition("%")[0]
    try:
        return IPv4Address(text)
    except AddressValueError:
        return IPv6Address(text)


def _mapped(address: IPv4Address | IPv6Address) -> IPv6Address:
    return IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed) if isinstance(address, IPv4Address) else address


def _check_ports(source: int, destination: int) -> None:
    if not (0 <= source <= 65535 and 0 <= destination <= 65535):
        raise ValueError("a port is a number from 0 to 65535")
