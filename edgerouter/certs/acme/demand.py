"""Names that clients ask for and no router spells out: who may have a certificate, and what became of the others.

Anybody can send a ClientHello with any name, so each name is asked about once and its refusal is remembered; questions
are bounded in number and per second, memory in entries, and what is shown is the last few. On the loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
import msgspec

from edgerouter.certs.acme.codes import FIXES
from edgerouter.certs.acme.numbers import Numbers
from edgerouter.certs.acme.open_rules import may_take
from edgerouter.certs.acme.refused import place_of
from edgerouter.certs.acme.state import REFUSED
from edgerouter.certs.acme.wanted import is_name
from edgerouter.config.resolvers import OnDemand
from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import Workload

ASK_SECONDS: Final = 5.0
LEAST_WAIT: Final = 0.1  # a worker looks that often
MOST_ASKING: Final = 16  # questions that are open at once
MOST_A_SECOND: Final = 50  # names that are looked into in a second: more than one address gets from all workers
MOST_REMEMBERED: Final = 10_000  # refusals
SHOWN: Final = 20  # refusals that are listed
SHOWN_EVERY: Final = 10.0  # seconds: each list is a new configuration
# Seconds until a name is worth asking for again; the answers of the ask URL are remembered that long.
_AGAIN: Final = {"ASK_DENIED": 60.0, "ASK_UNREACHABLE": 10.0, "NO_ROUTER": 10.0, "BAD_NAME": 60.0, "BUSY": 1.0}
log = logging.getLogger("edgerouter.acme")


class Verdict(msgspec.Struct, frozen=True):
    """``code`` is "" when the name may have a certificate; ``until``: when it is worth asking again (Unix seconds)."""

    code: str = ""
    words: str = ""
    until: float = 0.0


ALLOWED: Final = Verdict()


class Demand:
    """One resolver's. ``shown`` is called when there is something new to show. ``rules`` are the open ones by entry
    point, replaced by assignment; ``closed``: until when the budget is spent (Unix seconds)."""

    def __init__(self, resolver: str, options: OnDemand, numbers: Numbers, shown: Callable[[], None]) -> None:
        self.rules: Mapping[str, tuple[str, ...]] = {}
        self.closed = 0.0
        self._resolver = resolver
        self._options = options
        self._numbers = numbers
        self._shown = shown
        self._refused: dict[str, Verdict] = {}
        self._listed: dict[str, Verdict] = {}
        self._asking = 0
        self._second = 0
        self._this_second = 0
        self._trouble = ""
        self._next_list = 0.0
        self._list_awaited = False

    @property
    def wait(self) -> float:
        """Seconds that a connection waits."""
        return max(LEAST_WAIT, float(self._options.wait))

    def takes(self, name: str, point: str = "") -> bool:
        """True when a router of this entry point, or of any, may take the name."""
        places = (self.rules.get(point, ()),) if point else self.rules.values()
        return is_name(name) and "*" not in name and any(may_take(rule, name) for rules in places for rule in rules)

    async def verdict(self, name: str, point: str) -> Verdict:
        """Whether a name that a client of this entry point asks for may have a certificate."""
        now = time.time()
        known = self._refused.get(name)
        if known is not None and known.until > now:
            return known
        if not self._room(now):  # first of all: even the rules take time, where there are thousands
            self._numbers.demand("BUSY")
            return Verdict("BUSY", until=now + _AGAIN["BUSY"])
        if not is_name(name) or "*" in name:  # counted, and shown nowhere: it may hold anything
            self._numbers.demand("BAD_NAME")
            return Verdict("BAD_NAME", until=now + _AGAIN["BAD_NAME"])
        if not self.takes(name, point):
            words = f"no router of {point} whose rule may take it has this resolver"
            return self._refuse(name, "NO_ROUTER", words, now)
        if self.closed > now:
            words = "the budget of new certificates on demand is spent"
            return self._refuse(name, "ON_DEMAND_BUDGET", words, now, self.closed - now)
        found = await self.asked(name)
        if found.code:
            verdict = self._refuse(name, found.code, found.words, now)
            _keep(self._refused, MOST_REMEMBERED, name, verdict)
            return verdict
        self._numbers.demand("ALLOWED")
        return found

    def _refuse(self, name: str, code: str, words: str, now: float, seconds: float = 0.0) -> Verdict:
        """Count and list it."""
        verdict = Verdict(code, words, now + (seconds or _AGAIN[code]))
        self._numbers.demand(code)
        _keep(self._listed, SHOWN, name, verdict)
        self._show()
        return verdict

    def nobody(self, name: str) -> Verdict:
        """Of a certificate that is to be renewed: no router takes its name any more."""
        return Verdict("NO_ROUTER", f"no router whose rule may take {name} has this resolver")

    def forget(self, name: str) -> None:
        """It has a certificate now, or is about to have one."""
        self._refused.pop(name, None)
        if self._listed.pop(name, None) is not None:
            self._show()

    async def asked(self, name: str) -> Verdict:
        """The ask URL's answer, whatever it said before."""
        self._asking += 1
        try:
            found = await self._ask(name)
        finally:
            self._asking -= 1
        self._tell_trouble(found.words if found.code == "ASK_UNREACHABLE" else "")
        return found

    async def _ask(self, name: str) -> Verdict:
        try:
            timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(self._options.ask, params={"domain": name}, allow_redirects=False) as answer,
            ):
                status = answer.status
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            return Verdict("ASK_UNREACHABLE", f"{place_of(self._options.ask)} does not answer: {type(error).__name__}")
        if status == 200:
            return ALLOWED
        if status >= 500:
            return Verdict("ASK_UNREACHABLE", f"{place_of(self._options.ask)} answered {status}")
        return Verdict("ASK_DENIED", f"{place_of(self._options.ask)} answered {status}, and only 200 is a yes")

    # -- what is shown ----------------------------------------------------------------------------------------------

    def workloads(self) -> tuple[Workload, ...]:
        """The last refusals. Lines have places, not names: the ledger remembers what leaves it."""
        detail = {"resolver": self._resolver}
        return tuple(
            Workload(
                id=f"{self._resolver}:refused:{place}",
                name=name,
                kind="certificate",
                verdict=f"{REFUSED}_{verdict.code}",
                reason=verdict.words,
                fix=FIXES[verdict.code],
                detail=detail | {"names": name},
            )
            for place, (name, verdict) in enumerate(self._listed.items())
        )

    def problems(self) -> tuple[Problem, ...]:
        """The ask URL, while it does not answer."""
        if not self._trouble:
            return ()
        path = f"certificatesResolvers.{self._resolver}.acme.onDemand.ask"
        return (Problem(path, self._trouble, FIXES["ASK_UNREACHABLE"], f"{self._resolver}.acme", "warning"),)

    def _tell_trouble(self, words: str) -> None:
        if words and not self._trouble:
            log.warning("%s: no name gets a certificate on demand: %s", self._resolver, words)
        if bool(words) != bool(self._trouble):
            self._trouble = words
            self._show()

    def _show(self) -> None:
        """At once, or when the time has come."""
        loop = asyncio.get_running_loop()
        if not self._list_awaited:
            self._list_awaited = True
            loop.call_at(max(loop.time(), self._next_list), self._list)

    def _list(self) -> None:
        self._list_awaited = False
        self._next_list = asyncio.get_running_loop().time() + SHOWN_EVERY
        self._shown()

    def _room(self, now: float) -> bool:
        if int(now) != self._second:
            self._second, self._this_second = int(now), 0
        self._this_second += 1
        return self._asking < MOST_ASKING and self._this_second <= MOST_A_SECOND


def _keep(verdicts: dict[str, Verdict], most: int, name: str, verdict: Verdict) -> None:
    """As the newest; beyond the bound the oldest is forgotten."""
    verdicts.pop(name, None)
    if len(verdicts) >= most:
        del verdicts[next(iter(verdicts))]
    verdicts[name] = verdict
