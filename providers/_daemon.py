"""The life of a provider that follows a daemon: connect, yield what it says, keep it for starts without the daemon."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from edgerouter.clients.docker import TRANSPORT_ERRORS, DockerClient, checked
from edgerouter.contracts.snapshot import Provider, ProviderContext, Snapshot
from edgerouter.errors import ConfigurationError
from edgerouter.providers._daemon_options import DaemonOptions, connect
from edgerouter.providers._follow import Follow, UnfitDaemon
from edgerouter.providers._label_options import settings_of
from edgerouter.providers._last_known import load, marked, save, secret_words

log = logging.getLogger("edgerouter.providers")


_SOCKET: Final = {
    errno.ENOENT: "there is no such socket; start the daemon, and in a container mount it: "
    "-v /var/run/docker.sock:/var/run/docker.sock:ro",
    errno.EACCES: "this user may not open the socket; add its group: in a container "
    '--group-add "$(stat -c %g /var/run/docker.sock)"',
    errno.ECONNREFUSED: "nobody listens there; start the daemon",
}


def _system_error(error: BaseException | None) -> int:
    """The system's number for what went wrong; libraries wrap it several times."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _SOCKET:
            return error.errno
        error = error.__cause__ or error.__context__
    return 0


def said(error: BaseException, options: DaemonOptions) -> str:
    """Why the daemon cannot be reached, and what to do. One that wants a client certificate just hangs up (TLS 1.3
    tells it after the handshake)."""
    number = _system_error(error)
    if number and (options.endpoint.startswith("unix://") or number == errno.ECONNREFUSED):
        return _SOCKET[number]
    words = str(error) or type(error).__name__
    if options.tls is not None and not options.tls.cert and "disconnected" in words.lower():
        return f"{words}; if it wants a client certificate, name one: tls.cert and tls.key"
    return words


class DaemonProvider(Provider):
    """Follows a daemon, and keeps what it said. Heirs make the ``Follow``."""

    options: DaemonOptions

    def __init__(self, options: DaemonOptions, context: ProviderContext) -> None:
        """Raises ConfigurationError for an endpoint, constraint or default rule that cannot be used."""
        super().__init__(options, context)
        try:
            checked(options.endpoint)
        except ConfigurationError as error:
            raise ConfigurationError(f"providers.{context.name}.{error.message}") from error
        self._settings = settings_of(options, context)
        self._words = secret_words(context.kinds) if options.state_file else frozenset()
        self._recalled = False
        self._kept: Any = None

    def follow(self, client: DockerClient) -> Follow:
        """Make what follows the daemon."""
        raise NotImplementedError

    def watch(self) -> AsyncIterator[Snapshot]:
        """Yield at once and at every change; raises ConnectionError when the daemon or its event stream is lost."""
        return self._watch()

    async def _watch(self) -> AsyncIterator[Snapshot]:
        options = self.options
        client = connect(options)
        follow = self.follow(client)
        try:
            async for snapshot in follow.run(follow=options.watch):
                self._recalled = True
                yield snapshot
                await self._keep(follow)
        except TRANSPORT_ERRORS as error:
            recalled = self._recall(follow)
            if recalled is not None:
                yield recalled
            if isinstance(error, UnfitDaemon):
                raise
            raise ConnectionError(f"the Docker daemon at {options.endpoint}: {said(error, options)}") from error
        finally:
            await client.close()

    async def _keep(self, follow: Follow) -> None:
        if not self.options.state_file:
            return
        known = follow.known()
        if known == self._kept:
            return
        self._kept = known
        try:
            await asyncio.to_thread(save, self.options.state_file, known, self._words)
        except OSError as error:
            log.warning("%s: what is known cannot be kept in %s: %s", self.context.name, self.options.state_file, error)

    def _recall(self, follow: Follow) -> Snapshot | None:
        """What was known before the start, once, and only until the daemon has answered."""
        if self._recalled or not self.options.state_file:
            return None
        self._recalled = True
        found = load(self.options.state_file, follow.facts)
        if found is None:
            return None
        return marked(follow.decide(found[0]), found[1], f"providers.{self.context.name}")
