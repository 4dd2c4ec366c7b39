"""Options for an authority of a test, and the page of proofs that it asks for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from aiohttp import web
from pebble_ca import Pebble

from edgerouter.certs.acme.tokens import Tokens
from edgerouter.config.resolvers import Acme


@contextlib.contextmanager
def serving(tokens: Tokens, port: int) -> Iterator[None]:
    """The page of proofs on a port, in a thread of its own: the authority asks while the test waits for it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> web.AppRunner:
        runner = web.AppRunner(tokens.app())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def options(pebble: Pebble, **more: Any) -> Acme:
    return Acme(ca_server=pebble.directory, ca_certificates=(str(pebble.ca),), email="a@example.com", **more)
