"""How many client connections an entry point may hold, over all workers together, and how many of them one address.

Counted in the records that all workers share: each worker writes its own words, sums are exact, and what a worker that
was killed held is zeroed. ``maxConnections`` is never exceeded: a connection is counted first and refused when the sum
is beyond. Addresses are counted in two tables by two keyed hashes of the address (IPv6: of its /64 network), and one is
refused only when both its places say so: memory is bounded, nobody can choose whose place to fill, and with n busy
addresses one is refused wrongly with a chance of about (n / 32768) squared.
"""

from __future__ import annotations

import os
import sys
import time
from hashlib import blake2b
from typing import Final

from edgerouter.telemetry.records import RecordBusy, SharedRecord, SharedRecords

TOO_MANY: Final = "TOO_MANY_CONNECTIONS"
TOO_MANY_PER_IP: Final = "TOO_MANY_CONNECTIONS_PER_IP"
_PLACES: Final = 32768
_TOLD_SECONDS: Final = 10.0  # between two lines of the log about one entry point


class ConnectionLimits:
    """Limits of one entry point; 0 is none. ``enter`` and ``leave`` are called once a connection."""

    def __init__(self, records: SharedRecords, name: str, most: int, most_per_ip: int) -> None:
        self._name = name
        self._most = most
        self._most_per_ip = most_per_ip
        self._all = records.record(f"connections/{name}", 0, 1, 1)
        self._by_ip: SharedRecord | None = None
        self._key = b""
        if most_per_ip:
            self._by_ip = records.record(f"connections-per-ip/{name}", 1, 2 * _PLACES, 2 * _PLACES)
            self._key = _common_key(self._by_ip)
        self._refused = 0
        self._told = 0.0

    def enter(self, address: str) -> str:
        """Count a connection of this peer; the cause when it is one too many, and is not counted."""
        self._all.add(0, 1)
        if self._most and self._all.total(0) > self._most:
            self._all.add(0, -1)
            return self._refuse(TOO_MANY, f"maxConnections ({self._most})")
        by_ip = self._by_ip
        if by_ip is not None:
            places = self._places(address)
            for place in places:
                by_ip.add(place, 1)
            if all(by_ip.total(place) > self._most_per_ip for place in places):
                self.leave(address)
                return self._refuse(TOO_MANY_PER_IP, f"maxConnectionsPerIP ({self._most_per_ip}) of {address}")
        return ""

    def leave(self, address: str) -> None:
        """A connection that was counted is closed."""
        self._all.add(0, -1)
        if self._by_ip is not None:
            for place in self._places(address):
                self._by_ip.add(place, -1)

    def _places(self, address: str) -> tuple[int, int]:
        digest = blake2b(_counted_as(address).encode(), digest_size=4, key=self._key).digest()
        first, second = int.from_bytes(digest[:2], "little"), int.from_bytes(digest[2:], "little")
        return first % _PLACES, _PLACES + second % _PLACES

    def _refuse(self, cause: str, limit: str) -> str:
        self._refused += 1
        now = time.monotonic()
        if now - self._told > _TOLD_SECONDS:
            self._told = now
            text = f"edgerouter: entry point {self._name}: {limit} reached; {self._refused} connections closed so far"
            print(text, file=sys.stderr)
        return cause


def _counted_as(address: str) -> str:
    """The address; of IPv6 the first four groups: who has one address there has all that begin so."""
    if ":" not in address:
        return address
    head, gap, _ = address.partition("::")
    groups = head.split(":") if head else []
    if gap:
        groups += ["0"] * (4 - len(groups))
    if "." in address:
        return address.rpartition(":")[2]  # an IPv4 address in IPv6 clothes
    return ":".join(groups[:4])


def _common_key(record: SharedRecord) -> bytes:
    """A secret that all workers have: the first one makes it up."""
    for _ in range(100):
        try:
            with record.lock:
                if record.get(0) == 0:
                    record.set(0, int.from_bytes(os.urandom(7), "little") | 1)
        except RecordBusy:
            continue
        break
    return record.get(0).to_bytes(8, "little")
