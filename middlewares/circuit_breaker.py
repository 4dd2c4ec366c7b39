"""circuitBreaker: answers at once instead of waiting for servers that fail, until they are likely to be well again.

Three states. *Standby*: requests pass, their responses are counted over the last ten seconds, by all workers together;
when ``expression`` is true, the breaker is *tripped*: for ``fallbackDuration`` every request is answered with
``responseCode`` (cause ``BREAKER_OPEN``), or by ``fallbackService``. Then it is *recovering*: over ``recoveryDuration``
a growing share of the requests passes; the expression true again: tripped, else standby.

The expression compares, with ``> >= < <= == !=``, joined by ``&&``, ``||`` and parentheses:
  NetworkErrorRatio()                       share of responses 502 and 504, failures to reach a server included
  ResponseCodeRatio(from, to, divFrom, divTo)  codes from <= code < to, divided by those from divFrom to divTo
  LatencyAtQuantileMS(50.0)                 milliseconds until the response's head, at that quantile
  RequestThreshold()                        number of responses

It is looked at when a response comes, at most once a ``checkPeriod``. Requests whose client left are not counted. One
breaker for each router; it survives configuration changes that leave its options alone.

    labels:  edgerouter.http.middlewares.guard.circuitbreaker.expression=NetworkErrorRatio() > 0.5

    http:
      middlewares:
        guard:
          circuitBreaker:
            expression: LatencyAtQuantileMS(50.0) > 500 || ResponseCodeRatio(500, 600, 0, 600) > 0.25
            fallbackDuration: 10s
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from http import HTTPStatus
from typing import Final

from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._breaker_expression import Expression
from edgerouter.middlewares._breaker_window import GENERATION, Window
from edgerouter.middlewares._circuit_breaker_options import Options
from edgerouter.proxy.failures import answer
from edgerouter.registry import middleware
from edgerouter.telemetry.records import RecordBusy, SharedRecords

__all__ = ["CircuitBreaker", "Options"]

STANDBY: Final = 0
TRIPPED: Final = 1
RECOVERING: Final = 2

# shared words of the record, after the window's generation; times in microseconds of the clock
_STATE: Final = 1
_SINCE: Final = 2
_UNTIL: Final = 3
_NEXT_CHECK: Final = 4
_SHARED_WORDS: Final = 5


class CircuitBreaker(Middleware):
    """The state is in a record that all workers share; an instance holds only its share of a recovery."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        _check(options)
        self._expression = Expression(options.expression)
        self._window = Window(self._expression)
        shared: SharedRecords = context.shared or SharedRecords()
        digest = blake2b(repr(options).encode(), digest_size=8).hexdigest()
        name = f"breaker/{context.router}/{context.name}/{digest}"
        self._record = shared.record(name, _SHARED_WORDS, self._window.part_words)
        self._window.attach(self._record)
        self._now: Callable[[], float] = context.now
        self._slot = context.slot
        self._options = options
        self._who = f"circuit breaker {context.name}"
        self._due = 0.0  # of a request in recovery: passes when 1 is reached

    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """See ``Middleware.on_request``."""
        if self._record.get(_STATE) != STANDBY and not self._passes():
            return self._fallback(exchange)
        if self._expression.uses_latency:
            exchange.keep(self._slot, self._now())
        return None

    def on_response(self, exchange: Exchange) -> None:
        """Count it; look at the expression when that is due. See ``Middleware.on_response``."""
        response = exchange.response
        state = self._record.get(_STATE)
        if response is None or state == TRIPPED:
            return
        now = self._now()
        begun = exchange.slot(self._slot)
        self._window.count(now, response.status, now - begun if isinstance(begun, float) else 0.0)
        if now * 1e6 >= self._record.get(_NEXT_CHECK):
            try:
                self._look(now, state)
            except RecordBusy:
                return  # another worker is at it, or was stopped: the next response looks

    def state(self) -> int:
        """Return STANDBY, TRIPPED or RECOVERING, as all workers see it."""
        return int(self._record.get(_STATE))

    # -- states -------------------------------------------------------------------------------------------------

    def _look(self, now: float, seen: int) -> None:
        record = self._record
        with record.lock:
            if now * 1e6 < record.get(_NEXT_CHECK):
                return
            record.set(_NEXT_CHECK, int((now + self._options.check_period) * 1e6))
        if self._expression.test(self._window.sums(now)):
            self._move(seen, TRIPPED, now, self._options.fallback_duration)

    def _move(self, seen: int, state: int, now: float, seconds: float) -> None:
        """From the state that was seen to another, unless some other worker was first."""
        record = self._record
        with record.lock:
            if record.get(_STATE) != seen:
                return
            if state == TRIPPED:
                record.set(GENERATION, record.get(GENERATION) + 1)
            record.set(_SINCE, int(now * 1e6))
            record.set(_UNTIL, int((now + seconds) * 1e6))
            record.set(_STATE, state)

    def _passes(self) -> bool:
        """Not in standby: True when this request may pass all the same."""
        record = self._record
        now = self._now()
        state = record.get(_STATE)
        ended = now * 1e6 >= record.get(_UNTIL)
        if state == TRIPPED and not ended:
            return False
        try:
            if state == TRIPPED:
                self._due = 0.0
                self._move(TRIPPED, RECOVERING, now, self._options.recovery_duration)
            elif ended:
                self._move(RECOVERING, STANDBY, now, 0.0)
                return True
        except RecordBusy:
            return False
        return self._has_turn(now)

    def _has_turn(self, now: float) -> bool:
        elapsed = now - self._record.get(_SINCE) / 1e6
        self._due += max(0.0, elapsed) / self._options.recovery_duration
        if self._due < 1:
            return False
        self._due -= 1
        return True

    def _fallback(self, exchange: Exchange) -> Response | Awaitable[Response]:
        left = max(0.0, self._record.get(_UNTIL) / 1e6 - self._now())
        word = "tripped" if self._record.get(_STATE) == TRIPPED else "recovering"
        detail = f"{self._who} is {word} for another {left:.1f} s"
        if self._options.fallback_service:
            exchange.detail = detail
            return exchange.fetch(self._options.fallback_service, exchange.request)
        code = self._options.response_code
        return answer(exchange, code, "BREAKER_OPEN", detail, HTTPStatus(code).phrase if code in _CODES else str(code))


_CODES: Final = frozenset(int(status) for status in HTTPStatus)


def _check(options: Options) -> None:
    """Raises ValueError for what cannot be meant."""
    if not options.expression.strip():
        raise ValueError("circuitBreaker: expression is empty; write e.g. expression: NetworkErrorRatio() > 0.5")
    for name in ("check_period", "fallback_duration", "recovery_duration"):
        if getattr(options, name) <= 0:
            shown = name.split("_")[0] + name.split("_")[1].title()
            raise ValueError(f"circuitBreaker: {shown} must be more than 0; write e.g. 10s")
    if not 200 <= options.response_code <= 599:
        raise ValueError(f"circuitBreaker: responseCode: {options.response_code} is no status; write e.g. 503")


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("circuitBreaker", Options)(CircuitBreaker)
