"""Telling a URL of every certificate that cannot be had. Nobody waits for it, and its failure is a line in the log."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp

from edgerouter.certs.acme.state import Attempt

log = logging.getLogger("edgerouter.acme")


class Webhook:
    """One resolver's; ``url`` "" is none."""

    def __init__(self, resolver: str, url: str) -> None:
        self._resolver = resolver
        self._url = url
        self._telling: set[asyncio.Task[None]] = set()

    def tell(self, attempt: Attempt) -> None:
        """POST what failed, as JSON."""
        if not self._url:
            return
        task = asyncio.ensure_future(self._post(attempt))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def close(self) -> None:
        """Whatever is under way is dropped."""
        for task in self._telling:
            task.cancel()

    async def _post(self, attempt: Attempt) -> None:
        body: dict[str, Any] = {
            "resolver": self._resolver,
            "names": list(attempt.names),
            "code": attempt.code,
            "error": attempt.error,
            "fix": attempt.fix,
            "attempt": attempt.failures,
            "nextAttempt": attempt.next_attempt,
        }
        try:
            timeout = aiohttp.ClientTimeout(total=10)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.post(self._url, json=body) as answer:
                if answer.status >= 300:
                    log.warning("%s: the webhook did not take it: it answered %d", self._resolver, answer.status)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            log.warning("%s: the webhook did not take it: %s", self._resolver, type(error).__name__)
