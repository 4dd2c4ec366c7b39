"""The account at an authority: one for each resolver, however many routers share its storage. Blocking."""

from __future__ import annotations

import contextlib
import email.utils
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import requests
from acme import client, errors, messages

from edgerouter import __version__
from edgerouter.certs.acme.alone import alone
from edgerouter.certs.acme.keys import account_key, make_key
from edgerouter.certs.acme.storage import Storage
from edgerouter.config.resolvers import Acme

_LOCK_SECONDS: Final = 60.0  # for the making of an account
_NONCES: Final = 15  # pairs of attempts at a request whose nonce is refused
_NONCE_PAUSE: Final = 0.05  # seconds after the first pair, as many more after each


class _Network(client.ClientNetwork):
    """The library tries a request with a refused nonce (RFC 8555 section 6.5) once more, which is too little where an
    authority's servers know little of each other; and it does not know of threads."""

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        """See the base."""
        for pair in range(1, _NONCES):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
            time.sleep(pair * _NONCE_PAUSE)
        return super().post(*args, **kwargs)

    def _get_nonce(self, url: str, new_nonce_url: str) -> Any:
        while True:
            with contextlib.suppress(KeyError):  # another thread took the last one meanwhile
                return super()._get_nonce(url, new_nonce_url)


class Account:
    """``connected`` gives the library's client, logged in; threads share it."""

    def __init__(self, options: Acme, storage: Storage, resolver: str) -> None:
        self._options = options
        self._storage = storage
        self._resolver = resolver
        self._key = f"{resolver}/account"
        self._client: client.ClientV2 | None = None
        self._mutex = threading.Lock()
        self._bundled = ""
        self._waits = threading.local()

    def connected(self) -> client.ClientV2:
        """Find or make the account. Raises what the library raises, StorageError, Refused."""
        with self._mutex:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def forget_connection(self) -> None:
        """Begin anew at the next call: the directory may have changed."""
        with self._mutex:
            self._client = None

    def forget_place(self) -> None:
        """The authority does not know the account: its key is kept, and registered again."""
        with self._mutex:
            self._client = None
            kept = json.loads(self._storage.get(self._key) or "{}")
            if kept.pop("uri", None):
                self._storage.put(self._key, json.dumps(kept))

    def asked_to_wait(self) -> float:
        """Seconds of the ``Retry-After`` of this thread's last refusal; asked once."""
        seconds: float = getattr(self._waits, "seconds", 0.0)
        self._waits.seconds = 0.0
        return seconds

    def _connect(self) -> client.ClientV2:
        kept = json.loads(self._storage.get(self._key) or "{}")
        if self._known(kept):
            return self._log_in(kept)
        with alone(self._storage, self._key, _LOCK_SECONDS, _LOCK_SECONDS, 0.2, "makes the account"):
            return self._log_in(json.loads(self._storage.get(self._key) or "{}"))

    def _known(self, kept: dict[str, Any]) -> bool:
        return bool(kept.get("uri")) and kept.get("server") == self._options.ca_server

    def _log_in(self, kept: dict[str, Any]) -> client.ClientV2:
        pem = kept.get("key") or make_key("EC256").decode()
        key, algorithm = account_key(pem)
        # The library hands this on to requests, where the name of a bundle may stand for True.
        check: Any = self._bundle() or True
        agent = f"edgerouter/{__version__}"
        net = _Network(key, alg=algorithm, verify_ssl=check, user_agent=agent, timeout=30)
        net.session.hooks["response"].append(self._note)
        connected = client.ClientV2(client.ClientV2.get_directory(self._options.ca_server, net), net)
        now = {"key": pem, "uri": self._account(connected, kept), "server": self._options.ca_server}
        if kept != now:
            self._storage.put(self._key, json.dumps(now))
        return connected

    def _note(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """The library drops the headers of what it raises."""
        if response.status_code in (429, 503):
            self._waits.seconds = seconds_of(response.headers.get("Retry-After", ""), time.time())

    def _bundle(self) -> str:
        """The file of CAs that the authority's own certificate is checked with; "" for the usual ones."""
        files = self._options.ca_certificates
        if len(files) < 2:
            return files[0] if files else ""
        if not self._bundled:
            descriptor, self._bundled = tempfile.mkstemp(suffix=".pem")
            with open(descriptor, "w", encoding="ascii") as bundle:
                bundle.write("\n".join(Path(file).read_text(encoding="ascii") for file in files))
        return self._bundled

    def _account(self, connected: client.ClientV2, kept: dict[str, Any]) -> str:
        """The account's URL: the one of before at the same authority, else a new one (the same key finds it again)."""
        if self._known(kept):
            connected.net.account = messages.RegistrationResource(body=messages.Registration(), uri=kept["uri"])
            return str(kept["uri"])
        binding = None
        eab = self._options.eab
        if eab is not None and eab.kid and connected.net.key is not None:
            binding = messages.ExternalAccountBinding.from_data(
                connected.net.key.public_key(), eab.kid, eab.hmac_encoded.reveal(), connected.directory
            )
        registration = messages.NewRegistration.from_data(
            email=self._options.email or None, terms_of_service_agreed=True, external_account_binding=binding
        )
        try:
            return str(connected.new_account(registration).uri)
        except errors.ConflictError as known:
            resource = messages.RegistrationResource(body=messages.Registration(), uri=known.location)
            connected.net.account = resource
            return str(known.location)


def seconds_of(retry_after: str, now: float) -> float:
    """Seconds that a ``Retry-After`` asks to wait (RFC 9110 section 10.2.3): a number or a moment; else 0."""
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - now)
    except (ValueError, TypeError):
        return 0.0
