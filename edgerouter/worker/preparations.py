"""What a kind of middleware must have done before its first request, once a worker: ``prepare``, a static method of its
class, in a thread. A table with such a middleware is served only afterwards, so no request ever waits for it.

On a worker that serves already the loop goes on meanwhile (``giving_way``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from edgerouter.registry import Plugin
from edgerouter.worker.giving_way import giving_way

log = logging.getLogger("edgerouter.worker")


class Preparations:
    """Each is made once in the life of a worker."""

    def __init__(self, plugins: dict[str, Plugin]) -> None:
        self._plugins = plugins
        self._done: set[Callable[[], None]] = set()

    async def make(self, kinds: Iterable[str]) -> None:
        """Prepare these kinds of middlewares. One that fails is told; its routers answer with the same fault."""
        for kind in sorted(set(kinds)):
            plugin = self._plugins.get(kind)
            prepare = getattr(plugin.cls, "prepare", None) if plugin is not None else None
            if prepare is not None and prepare not in self._done:
                self._done.add(prepare)
                await asyncio.get_running_loop().run_in_executor(None, _run, kind, prepare)


def _run(kind: str, prepare: Callable[[], None]) -> None:
    try:
        with giving_way():
            prepare()
    except Exception as error:  # a plugin may be anybody's
        log.error("middlewares of kind %s cannot be prepared: %s", kind, error)
