"""Which methods a middleware overrides, as bits: what is not overridden is never called."""

from __future__ import annotations

from typing import Any, Final

from edgerouter.contracts.plugins import Middleware

LOOKED_AT: Final = 1
ON_REQUEST: Final = 2
ON_RESPONSE: Final = 4
ON_END: Final = 8
REQUEST_FILTER: Final = 16
RESPONSE_FILTER: Final = 32
ON_TRAILERS: Final = 64
WANTS_BODY: Final = 128  # ``needs_body`` or ``keep_body`` is set

_METHODS: Final = {
    "on_request": ON_REQUEST,
    "on_response": ON_RESPONSE,
    "on_end": ON_END,
    "request_filter": REQUEST_FILTER,
    "response_filter": RESPONSE_FILTER,
    "on_trailers": ON_TRAILERS,
}


def phases_of(step: Middleware) -> int:
    """The bits of ``step``; worked out once an instance, before anything else is asked of it."""
    if step.phases == 0:
        # Compiled code reads the native attributes, where a plugin's class attributes do not show: copy them there.
        dynamic: Any = step
        step.needs_body = int(dynamic.needs_body)
        step.keep_body = int(dynamic.keep_body)
        cls: Any = type(step)
        bits = LOOKED_AT | (WANTS_BODY if step.needs_body or step.keep_body else 0)
        for name, bit in _METHODS.items():
            if getattr(cls, name) is not getattr(Middleware, name):
                bits |= bit
        step.phases = bits
    return step.phases
