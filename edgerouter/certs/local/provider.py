"""A resolver that signs by itself, as a provider: what routers want is there at once, and renewed long before its end.

Certificates live for days and are kept nowhere: a restart makes new ones. Only the root is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

from edgerouter.certs.acme import state
from edgerouter.certs.acme.authority import Issued
from edgerouter.certs.acme.lines import line
from edgerouter.certs.acme.ordering import known
from edgerouter.certs.acme.state import Attempt
from edgerouter.certs.acme.storage import Storage
from edgerouter.certs.acme.wanted import Names, Wanted
from edgerouter.certs.local.ca import LocalAuthority, open_authority
from edgerouter.config.dynamic import Certificate, DynamicConfiguration, TlsConfiguration
from edgerouter.config.resolvers import Local
from edgerouter.config.types import Secret
from edgerouter.contracts.snapshot import Provider, ProviderContext, Sample, Snapshot

LONGEST_SLEEP: Final = 3600.0


class LocalProvider(Provider):
    """One resolver. ``storage`` blocks; what it raises ends ``watch``, which the supervisor begins again."""

    def __init__(self, resolver: str, options: Local, storage: Storage) -> None:
        super().__init__(options, ProviderContext(name=f"{resolver}.local", kinds={}))
        self.resolver = resolver
        self._life = datetime.timedelta(seconds=float(options.life))
        self._storage = storage
        self._wanted: Mapping[Names, Wanted] = {}
        self._issued: dict[Names, tuple[Issued, Attempt]] = {}
        self._turn = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def want(self, wanted: Mapping[Names, Wanted], others: frozenset[Names]) -> None:
        """Routers want these. Called from any thread."""
        self._wanted = wanted
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the router ends
                self._loop.call_soon_threadsafe(self._turn.set)

    def retry(self, name: str) -> int:
        """Nothing here fails."""
        return 0

    def samples(self) -> list[Sample]:
        """Certificates of this kind are in ``edgerouter_tls_certs_not_after``."""
        return []

    def watch(self) -> AsyncIterator[Snapshot]:
        """Yield a certificate for all that is wanted, and again when that changes or one grows old."""
        return self._watch()

    async def _watch(self) -> AsyncIterator[Snapshot]:
        self._loop = asyncio.get_running_loop()
        authority = await asyncio.to_thread(open_authority, self._storage, self.resolver)
        while True:
            self._turn.clear()
            await asyncio.to_thread(self._issue, authority)
            yield self._snapshot()
            pause = min([LONGEST_SLEEP, *(one.next_attempt - time.time() for _, one in self._issued.values())])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(pause, 0.05)):
                    await self._turn.wait()

    def _issue(self, authority: LocalAuthority) -> None:
        now = time.time()
        wanted = self._wanted
        for names in [names for names in self._issued if names not in wanted]:
            del self._issued[names]
        for names, one in wanted.items():
            before = self._issued.get(names)
            if before is None or state.due(before[1], now):
                issued = authority.issue(names, self._life, datetime.datetime.fromtimestamp(now, datetime.UTC))
                self._issued[names] = (issued, known(issued, one.router))

    def _snapshot(self) -> Snapshot:
        pairs = [
            Certificate(cert_file=Secret(one.certificate), key_file=Secret(one.key))
            for _, (one, _) in sorted(self._issued.items())
        ]
        return Snapshot(
            configuration=DynamicConfiguration(tls=TlsConfiguration(certificates=tuple(pairs))),
            workloads=tuple(line(self.resolver, attempt) for _, (_, attempt) in sorted(self._issued.items())),
        )
