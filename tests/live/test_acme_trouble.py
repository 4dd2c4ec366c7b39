"""An authority that is not simple: nonces that it refuses, orders that it limits, accounts that it must know, profiles,
several chains."""

from __future__ import annotations

import asyncio
import base64
import calendar
import json
import time
from pathlib import Path
from typing import Any

from cryptography import x509
from live.acme_relay import WORDS, Relay
from live.acme_rig import certificate_of, certified, edge, names, orders, routed
from live.toolbox import fetch
from pebble_ca import Pebble, free_port, with_renewal_information

from edgerouter.certs.acme.stores.file import FileStorage

WAIT = 8


def authority(folder: Path, *program: str, **more: Any) -> Pebble:
    (folder / "authority").mkdir()
    return Pebble(folder / "authority", free_port(), free_port(), *program, **more)


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
                found = await names(router, dict.fromkeys(limited, "FAILED"))
                for host in limited:
                    line = found[host]
                    assert line["code"] == "RATE_LIMITED" and WORDS in line["error"] and "wait" in line["fix"], line
                    moment = calendar.timegm(time.strptime(line["nextAttempt"], "%Y-%m-%dT%H:%M:%SZ"))
                    assert -1 <= moment - (relay.orders[0] + WAIT) < WAIT, (line, relay.orders)
                await names(router, {"three.example.com": "ISSUED"})
                for host in limited:
                    assert await certified(router, host) == {host}
                refused, *allowed = relay.orders
                assert len(allowed) == len(limited) and min(allowed) >= refused + WAIT, relay.orders
        assert orders(pebble) == 3


async def test_external_accounts_profiles_and_chains_are_the_resolvers_options(tmp_path: Path) -> None:
    key, wrong = (base64.urlsafe_b64encode(letter * 48).decode().rstrip("=") for letter in (b"k", b"w"))
    lives = {"long": 90, "short": 6}
    profiles = {name: {"description": name, "validityPeriod": days * 86_400} for name, days in lives.items()}
    more = {"externalAccountBindingRequired": True, "externalAccountMACKeys": {"kid": key}, "profiles": profiles}
    hosts = {"a.example.com": "le", "b.example.com": "bare", "c.example.com": "wrong", "d.example.com": "profile"}
    dynamic = routed("http://127.0.0.1:1", *hosts, **{host[0]: resolver for host, resolver in hosts.items()})
    with authority(tmp_path, with_renewal_information(), **more).running(PEBBLE_ALTERNATE_ROOTS="1") as pebble:
        chain = pebble.root(1).subject.rfc4514_string().rpartition("CN=")[2]
        good = {"kid": "kid", "hmacEncoded": key}
        others = {
            "bare": {"eab": None, "storage": str(tmp_path / "bare.json")},
            "wrong": {"eab": {"kid": "kid", "hmacEncoded": wrong}, "storage": str(tmp_path / "wrong.json")},
            "profile": {"profile": "none", "storage": str(tmp_path / "profile.json")},
        }
        acme = {"tlsChallenge": {}, "eab": good, "profile": "short", "preferredChain": chain, "keyType": "RSA2048"}
        async with edge(tmp_path, pebble, dynamic, 1, others=others, **acme) as router:
            assert await certified(router, "a.example.com") == {"a.example.com"}
            found = await names(router, {host: "FAILED" for host, resolver in hosts.items() if resolver != "le"})
            assert found["b.example.com"]["code"] == "EAB_REQUIRED", found["b.example.com"]
            assert found["c.example.com"]["code"] in ("UNAUTHORIZED", "MALFORMED"), found["c.example.com"]
            assert found["d.example.com"]["code"] == "MALFORMED" and "profile" in found["d.example.com"]["error"]
            leaf = await asyncio.to_thread(certificate_of, router.port("websecure"), "a.example.com")
            assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days in (5, 6)
            assert getattr(leaf.public_key(), "key_size", 0) == 2048
            kept = json.loads(FileStorage(str(tmp_path / "acme.json")).get("le/certificates/a.example.com") or "")
            last = x509.load_pem_x509_certificates(kept["certificate"].encode())[-1]
            assert chain in last.issuer.rfc4514_string()
            shown = json.dumps(found) + router.log_text()
            shown += (await fetch(router.port("traefik"), "/api/problems")).body.decode()
            assert key not in shown and wrong not in shown
        assert orders(pebble) == 1
