"""Connections that wait for a certificate before their handshake: who waits, who wakes them, and what floods cost."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme
from proxy_rig import Rig

from edgerouter.net.tls_contexts import TlsOptions, TlsSettings
from edgerouter.net.tls_demand import (
    MOST_ASKED,
    MOST_ASKED_OF_ONE,
    MOST_OF_ONE,
    MOST_PARKED,
    MOST_REFUSED,
    Parked,
    TlsDemand,
)
from edgerouter.net.tls_names import CertificateTable, HostOptions, ServedCertificate

KEYS = trustme.KeyType.ECDSA
CA = trustme.CA(key_type=KEYS)


def certificate(name: str) -> ServedCertificate:
    leaf = CA.issue_cert(name, key_type=KEYS)
    chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
    return ServedCertificate(name, (name,), (leaf.private_key_pem.bytes() + chain).decode())


DEFAULT, NEW = certificate("default.test"), certificate("new.test")


class Waiting(Parked):
    """One that only notes that it may go on."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__()
        self.server_name, self.client_address = name, address
        self.gone_on = 0

    def go_on(self) -> None:
        self.gone_on += 1


def demand() -> tuple[TlsDemand, list[str]]:
    made, asked = TlsDemand(), list[str]()
    made.ask = lambda name, point: asked.append(f"{name} {point}")
    return made, asked


def test_a_name_is_asked_about_once_and_all_its_connections_go_on_together() -> None:
    one, asked = demand()
    fronts = [Waiting("a.test", f"192.0.2.{number}") for number in range(3)]
    assert all(one.park(front, "web", 10.0) for front in fronts) and asked == ["a.test web"]
    one.arrived(CertificateTable([certificate("b.test")]))
    assert [front.gone_on for front in fronts] == [0, 0, 0]
    one.arrived(CertificateTable([certificate("a.test")]))
    one.arrived(CertificateTable([certificate("a.test")]))
    assert [front.gone_on for front in fronts] == [1, 1, 1]


def test_a_refused_name_waits_no_more_until_its_time() -> None:
    one, asked = demand()
    front, again = Waiting("a.test", "192.0.2.1"), Waiting("a.test", "192.0.2.1")
    assert one.park(front, "web", 10.0)
    one.refused("a.test", 10.0, 60.0)
    assert front.gone_on == 1
    assert not one.park(again, "web", 69.9) and asked == ["a.test web"]
    assert one.park(again, "web", 70.1) and len(asked) == 2
    one.leave(again)
    one.refused("a.test", 70.2, 1.0)
    assert again.gone_on == 0


@pytest.mark.parametrize("name", ["", "localhost", f"{'a' * 250}.test"])
def test_what_no_certificate_is_ordered_for_does_not_wait(name: str) -> None:
    one, asked = demand()
    assert not one.park(Waiting(name, "192.0.2.1"), "web", 10.0) and asked == []


def test_one_address_keeps_a_few_waiting_and_all_together_not_many_more() -> None:
    one, _ = demand()
    greedy = [one.park(Waiting("a.test", "192.0.2.1"), "web", 10.0) for _ in range(50)]
    assert greedy.count(True) == MOST_OF_ONE
    many = [Waiting("a.test", f"198.51.100.{number}") for number in range(200)]
    assert [one.park(front, "web", 10.0) for front in many].count(True) == MOST_PARKED - MOST_OF_ONE
    one.refused("a.test", 10.0, 1.0)
    assert one.park(Waiting("a.test", "192.0.2.1"), "web", 12.0), "all have their places again"


def test_of_ten_thousand_names_in_a_second_few_are_asked_about() -> None:
    one, asked = demand()
    for number in range(10_000):
        if one.park(Waiting(f"n{number}.test", "192.0.2.1"), "web", 10.0):
            one.refused(f"n{number}.test", 10.0, 60.0)
    assert len(asked) == MOST_ASKED_OF_ONE
    assert one.park(Waiting("good.test", "192.0.2.2"), "web", 10.0), "others have their turn"
    for number in range(10_000):
        if one.park(Waiting(f"o{number}.test", f"198.51.100.{number % 200}"), "web", 10.0):
            one.refused(f"o{number}.test", 10.0, 60.0)
    assert len(asked) == MOST_ASKED
    assert one.park(Waiting("later.test", "192.0.2.1"), "web", 11.0)
    for number in range(2 * MOST_REFUSED):
        one.refused(f"m{number}.test", 10.0, 60.0)
    assert len(one._refused) == MOST_REFUSED


# -- real connections -------------------------------------------------------------------------------------------------


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = await Rig.start(echo)
    serve(rig)
    rig.engine.doors.hosts = {"web": HostOptions()}
    yield rig
    await rig.stop()


def serve(rig: Rig, *certificates: ServedCertificate) -> None:
    doors = rig.engine.doors
    doors.table = CertificateTable(certificates, DEFAULT)
    doors.options = {"default": TlsOptions(TlsSettings(), doors.table)}
    doors.demand.arrived(doors.table)


async def served(rig: Rig, name: str = "new.test") -> str:
    """The name in the certificate that a client gets, after a request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    context.check_hostname = False
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, ssl=context, server_hostname=name)
    writer.write(b"GET / HTTP/1.1\r\nHost: new.test\r\n\r\n")
    assert b"200" in await asyncio.wait_for(reader.readline(), 20)
    found = writer.get_extra_info("peercert")["subjectAltName"][0][1]
    writer.transport.abort()
    return str(found)


async def test_a_certificate_that_comes_in_time_is_served_to_who_waits_for_it(rig: Rig) -> None:
    asked = asyncio.Event()
    rig.engine.doors.demand.points = {"web": 60.0}
    rig.engine.doors.demand.ask = lambda name, point: asked.set()
    client = asyncio.ensure_future(served(rig))
    await asyncio.wait_for(asked.wait(), 20)
    serve(rig, NEW)
    assert await client == "new.test"


async def test_who_waits_in_vain_gets_the_default_certificate(rig: Rig) -> None:
    asked: list[str] = []
    rig.engine.doors.demand.points = {"web": 0.2}
    rig.engine.doors.demand.ask = lambda name, point: asked.append(name)
    assert await served(rig) == "default.test"
    assert await served(rig) == "default.test" and asked == ["new.test"], "one is enough for a while"
    rig.engine.doors.demand.points = {}
    assert await served(rig, "other.test") == "default.test" and asked == ["new.test"]


async def test_a_client_that_leaves_while_it_waits_leaves_its_place(rig: Rig) -> None:
    asked = asyncio.Event()
    demand = rig.engine.doors.demand
    demand.points, demand.ask = {"web": 60.0}, lambda name, point: asked.set()
    client = asyncio.ensure_future(served(rig))
    await asyncio.wait_for(asked.wait(), 20)
    client.cancel()
    async with asyncio.timeout(20):
        while demand._count:
            await asyncio.sleep(0.01)
