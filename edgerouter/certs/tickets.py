"""The secrets that keys of session tickets are made from: one is in use, the one before it is still understood."""

from __future__ import annotations

import secrets
from typing import Final

from edgerouter.config.types import Secret

LIFE: Final = 12 * 3600.0  # seconds that a secret seals; a ticket is good for two hours (OpenSSL's default)
_KEPT: Final = 2


class TicketSecrets:
    """``state`` is plain data and travels through a live upgrade: pairs of secret (hexadecimal) and time of birth (Unix
    seconds), the newest first."""

    def __init__(self, state: list[tuple[str, float]] | None = None) -> None:
        self.state = [(str(secret), float(born)) for secret, born in state or []]

    def due(self, now: float) -> bool:
        """True when ``current`` would give others than before."""
        return not self.state or now - self.state[0][1] >= LIFE

    def current(self, now: float) -> tuple[Secret, ...]:
        """The secrets in use now, the newest first."""
        if self.due(now):
            self.state = [(secrets.token_hex(32), now), *self.state][:_KEPT]
        return tuple(Secret(secret) for secret, _ in self.state)
