"""An authority that makes trouble: nonces that it refuses, orders that it limits."""

from __future__ import annotations

import calendar
import time
from pathlib import Path

from live.acme_relay import WORDS, Relay
from live.acme_rig import certified, edge, names, orders, routed
from pebble_ca import Pebble, free_port

WAIT = 8


def authority(folder: Path) -> Pebble:
    (folder / "authority").mkdir()
    return Pebble(folder / "authority", free_port(), free_port())


async def test_every_certificate_is_issued_where_three_of_five_nonces_are_refused(tmp_path: Path) -> None:
    hosts = [f"n{number}.example.com" for number in range(4)]
    with authority(tmp_path).running(PEBBLE_WFE_NONCEREJECT="60") as pebble:
        async with edge(tmp_path, pebble, routed("http://127.0.0.1:1", *hosts), tlsChallenge={}) as router:
            for host in hosts:
                assert await certified(router, host) == {host}
            assert not router.find_log("no certificate for"), "an attempt failed"
        assert orders(pebble) == len(hosts)
        fetched = (pebble.folder / "pebble.log").read_text().count("HEAD /nonce-plz")
        assert fetched > 4 * len(hosts), f"few were refused: {fetched} new ones were asked for"


async def test_a_limit_of_the_authority_is_told_in_its_words_and_waited_for(tmp_path: Path) -> None:
    """No name of the domain is ordered before; another account orders, even for the same domain; then all goes on."""
    limited = ["one.example.com", "two.example.com"]
    dynamic = routed("http://127.0.0.1:1", *limited, "three.example.com", three="other")
    with authority(tmp_path).running() as pebble:
        async with Relay(pebble, WAIT) as relay:
            others = {"other": {"storage": str(tmp_path / "other.json"), "caServer": pebble.directory}}
            acme = {"caServer": relay.directory, "tlsChallenge": {}, "concurrency": 1}
            async with edge(tmp_path, pebble, dynamic, others=others, **acme) as router:
                found = await names(router, {**dict.fromkeys(limited, "FAILED"), "three.example.com": "ISSUED"})
                for host in limited:
                    line = found[host]
                    assert line["code"] == "RATE_LIMITED" and WORDS in line["error"] and "wait" in line["fix"], line
                    moment = calendar.timegm(time.strptime(line["nextAttempt"], "%Y-%m-%dT%H:%M:%SZ"))
                    assert -1 <= moment - (relay.orders[0] + WAIT) < WAIT, (line, relay.orders)
                for host in limited:
                    assert await certified(router, host) == {host}
                refused, *allowed = relay.orders
                assert len(allowed) == len(limited) and min(allowed) >= refused + WAIT, relay.orders
        assert orders(pebble) == 3
