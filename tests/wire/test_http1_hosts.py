"""What is kept of Host fields: found where it stands, never mistaken for another, and bounded."""

from __future__ import annotations

import pytest

from edgerouter.errors import EdgeError
from edgerouter.wire import http1, http1_hosts
from edgerouter.wire.http1_hosts import authority_at


def at(data: bytes, place: int, end: int) -> str:
    return authority_at(data, place, end).text


@pytest.mark.parametrize("size", [1, 3, 7, 8, 9, 15, 16, 17, 24, 31, 200])
def test_a_host_that_repeats_is_found_wherever_it_stands(size: int) -> None:
    host = (b"a-name.of-some-length." * 10)[: size - 1] + b"x"
    for _ in range(20):
        first = authority_at(host, 0, size)
        assert first.raw == host and first.text == first.host == host.decode()
    for lead in range(9):
        found = authority_at(b"y" * lead + host + b"z" * lead, lead, lead + size)
        assert found.text == host.decode() and (found is first or size < 8)


@pytest.mark.parametrize("size", [8, 9, 16, 17, 30])
def test_hosts_that_differ_in_one_byte_are_told_apart(size: int) -> None:
    host = (b"www.example.org-and-more-of-it")[:size]
    for _ in range(2):
        assert at(host, 0, size) == host.decode()
        for place in range(size):
            other = host[:place] + b"Q" + host[place + 1 :]
            assert at(other, 0, size) == other.decode()
        assert at(host + b"1", 0, size + 1) == host.decode() + "1"


def test_two_hosts_of_one_place_both_stay_right() -> None:
    """More names than places: some share one, whatever the hash is."""
    names = [b"host-%d.example.test" % i for i in range(3000)]
    for _ in range(2):
        assert all(at(b"Host: " + name + b"\r\n", 6, 6 + len(name)) == name.decode() for name in names)


def test_made_up_hosts_pass_by_one_that_repeats() -> None:
    """And what is kept of them is bounded: a place each, or none."""
    found = 0
    for i in range(20_000):
        name = b"made-up-%d.test" % i
        assert at(name, 0, len(name)) == name.decode()
        usual = authority_at(b"www.acme.example", 0, 16)
        found += authority_at(b"www.acme.example", 0, 16) is usual
    assert found > 19_000 and len(http1_hosts._KEPT.places) == 512


def test_a_bad_host_is_refused_each_time() -> None:
    for _ in range(2):
        for host in (b"bad host.test", b"a,b.example", b"some.name:port"):
            with pytest.raises(EdgeError) as caught:
                http1.RequestParser(http1.Limits()).parse(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            assert caught.value.cause == "BAD_REQUEST_HOST"


@pytest.mark.parametrize(
    "head", [b"GET /p/q?r HTTP/1.1\r\nHost: h\r\n", b"GET /a/../p?r HTTP/1.1\r\nX: 1\r\nHost: h\r\n"]
)
def test_the_target_is_what_was_received_whatever_becomes_of_the_request(head: bytes) -> None:
    request = http1.RequestParser(http1.Limits()).parse(head + b"\r\n")
    assert request is not None
    request.path, request.query, request.method = "/other", "", "POST"
    assert request.target == head.split(b" ")[1]
    assert request.target is request.target
