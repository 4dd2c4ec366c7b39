"""TLS-ALPN-01 (RFC 8737): the challenges' certificates that every worker of every router must have before the authority
looks. They travel as certificates of the store ``acme-tls/1`` in the resolver's snapshots.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from edgerouter.certs.acme.challenges import TLS, challenge_certificate
from edgerouter.certs.acme.refused import Refused
from edgerouter.certs.acme.storage import StorageError
from edgerouter.certs.acme.together import Together
from edgerouter.config.dynamic import Certificate
from edgerouter.config.types import Secret
from edgerouter.contracts.certificates import CHALLENGE_STORE
from edgerouter.contracts.snapshot import Workload

LIVE_SECONDS: Final = 15.0  # until a challenge's certificate must be in every worker
LOOK_SECONDS: Final = 1.0  # between two looks at what other routers are about to be asked for
OTHERS_SECONDS: Final = 3 * LOOK_SECONDS  # until other routers have what one of them put down
Pair = tuple[str, str]


class OpenChallenges:
    """Those of now, on the loop: ``own`` by name, ``others`` from the storage that is shared."""

    def __init__(self, resolver: str, changed: Callable[[], None]) -> None:
        self._resolver = resolver
        self._changed = changed
        self._own: dict[str, Pair] = {}
        self._others: dict[str, Pair] = {}
        self._awaited: dict[str, list[threading.Event]] = {}

    def set(self, name: str, pair: Pair | None, live: threading.Event) -> None:
        """Publish a challenge's certificate, or take it away; ``live`` is set when every worker has it."""
        if pair is None:
            self._own.pop(name, None)
        else:
            self._own[name] = pair
            self._awaited.setdefault(pair[0], []).append(live)
        self._changed()

    def follow(self, others: dict[str, Pair]) -> None:
        """What other routers show."""
        if others != self._others:
            self._others = others
            self._changed()

    def published(self, workloads: Iterable[Workload]) -> None:
        """Every worker has what these lines of the ledger stand for."""
        for workload in workloads:
            for event in self._awaited.pop(workload.detail.get("challenge", ""), ()):
                event.set()

    def certificates(self) -> list[Certificate]:
        """For the snapshot."""
        return [
            Certificate(cert_file=Secret(certificate), key_file=Secret(key), stores=(CHALLENGE_STORE,))
            for _, (certificate, key) in sorted((self._others | self._own).items())
        ]

    def workloads(self) -> tuple[Workload, ...]:
        """Lines of the ledger, so that the provider's ``report`` tells when workers have them."""
        return tuple(
            Workload(
                id=f"{self._resolver}:challenge:{name}",
                name=name,
                kind="challenge",
                verdict="CHALLENGE",
                reason="the authority is about to look",
                detail={"challenge": certificate},
            )
            for name, (certificate, _) in sorted(self._own.items())
        )


class TlsProver:
    """See ``authority.Prover``. ``publish`` may be called from threads."""

    type = TLS

    def __init__(
        self, publish: Callable[[str, Pair | None], threading.Event], delay: float, together: Together
    ) -> None:
        self._publish = publish
        self._delay = delay
        self._together = together

    def show(self, name: str, token: str, authorization: str, validation: str) -> None:
        """Have the certificate in every worker, and give other routers time to have it too."""
        self.put(name, token, authorization)
        time.sleep(self._delay)

    def put(self, name: str, token: str, authorization: str) -> str:
        """The same without the delay; the certificate (PEM). Raises Refused, StorageError."""
        pair = challenge_certificate(name, authorization)
        live = self._publish(name, pair)
        if self._together.shared:
            self._together.show_certificate(name, pair)
            time.sleep(OTHERS_SECONDS)
        if not live.wait(LIVE_SECONDS):
            raise Refused("NOT_LIVE", f"{name}: the challenge's certificate was not in every worker in time")
        return pair[0]

    def remove(self, name: str, token: str) -> None:
        """See ``authority.Prover.remove``."""
        self._publish(name, None)
        if self._together.shared:
            with contextlib.suppress(StorageError):  # it is old soon
                self._together.hide_certificate(name)
