"""Listening sockets: even spread, a foreign holder is named, and closing in order resets nobody."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

import pytest

from edgerouter.config.static import Address, parse_address
from edgerouter.control.sockets import Opened, close_all, open_all, refuse_new
from edgerouter.errors import ConfigurationError


def accept_all(sock: socket.socket) -> list[socket.socket]:
    accepted = []
    while True:
        try:
            accepted.append(sock.accept()[0])
        except BlockingIOError:
            return accepted


def connect(entry: Opened, timeout: float = 5.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", entry.port), timeout=timeout)


@pytest.fixture
def opened() -> Iterator[list[Opened]]:
    entries = open_all({"web": Address("127.0.0.1", 0), "udp": Address("", 0, "udp")}, slots=4)
    yield entries
    close_all(entries)


def test_every_slot_has_its_socket_and_gets_its_share(opened: list[Opened]) -> None:
    (web,) = opened
    assert (web.name, len(web.sockets), len(set(web.fds))) == ("web", 4, 4)
    clients = [connect(web) for _ in range(200)]
    shares = [accept_all(sock) for sock in web.sockets]
    assert sum(map(len, shares)) == 200
    assert all(len(share) >= 20 for share in shares)
    for sock in [*clients, *(sock for share in shares for sock in share)]:
        sock.close()


@pytest.mark.parametrize("shares_port", [False, True])
def test_a_port_in_use_is_named_with_its_holder(shares_port: bool) -> None:
    with socket.socket() as foreign:
        if shares_port:
            foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        foreign.bind(("127.0.0.1", 0))
        foreign.listen()
        port = foreign.getsockname()[1]
        with pytest.raises(ConfigurationError) as raised:
            open_all({"web": Address("127.0.0.1", port)}, slots=2)
    for part in ("entryPoints.web.address", str(port), f"pid {os.getpid()}", "python"):
        assert part in raised.value.message


def test_all_or_nothing() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    with pytest.raises(ConfigurationError, match=r"entryPoints\.bad"):
        open_all({"good": Address("127.0.0.1", free), "bad": Address("192.0.2.1", 0)}, slots=2)
    with socket.socket() as again:
        again.bind(("127.0.0.1", free))
        again.listen()


def test_a_host_that_is_not_known_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no-such-host"):
        open_all({"web": Address("no-such-host.invalid", 0)}, slots=1)


@pytest.mark.parametrize("text", [":0", "[::]:0", "0.0.0.0:0"])
def test_no_host_is_every_interface(text: str) -> None:
    entries = open_all({"web": parse_address(text)}, slots=2)
    with connect(entries[0]):
        pass
    close_all(entries)


def test_the_end_resets_nobody_and_hands_the_port_on(opened: list[Opened]) -> None:
    (web,) = opened
    queued = [connect(web) for _ in range(40)]
    refuse_new(opened)
    with pytest.raises(TimeoutError):
        connect(web, timeout=0.2)
    accepted = [sock for listening in web.sockets for sock in accept_all(listening)]
    assert len(accepted) == 40
    late = socket.socket()
    late.setblocking(False)
    assert late.connect_ex(("127.0.0.1", web.port)) != 0  # its SYN is dropped, it will repeat it
    close_all(opened)
    for client in queued:
        client.sendall(b"x")
    readable = set()
    while len(readable) < 40:
        ready, _, _ = select.select([s for s in accepted if s not in readable], [], [], 5)
        assert ready
        readable.update(ready)
    with socket.socket() as successor:
        successor.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        successor.bind(("127.0.0.1", web.port))
        successor.listen()
        successor.settimeout(10)
        successor.accept()[0].close()
    for sock in [late, *queued, *accepted]:
        sock.close()
