"""One conversation with an ACME authority: order, proofs, certificate. Blocking; called in threads.

The protocol is the ``acme`` library's; what is shown to the authority is a ``Prover``'s matter. An order is written
down before it is placed: whoever comes next, after a crash or in the place of another router, goes on with the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

import requests
from acme import client, crypto_util, errors, messages
from cryptography import x509
from josepy.b64 import b64encode

from edgerouter.certs.acme import orders
from edgerouter.certs.acme.account import Account
from edgerouter.certs.acme.keys import make_key
from edgerouter.certs.acme.refused import Refused, translated
from edgerouter.certs.acme.storage import Storage, StorageError
from edgerouter.certs.acme.wanted import Names, label_of
from edgerouter.config.resolvers import Acme

ORDER_SECONDS: Final = 120.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 3.0
_ORDER_LIVES: Final = 86_400.0  # seconds until an order that was written down is not looked for any more
# After these the order may still come to a good end; after others it is done with.
_GOES_ON: Final = frozenset(
    {"UNREACHABLE", "TIMEOUT", "AUTHORITY_FAULT", "NOT_LIVE", "STORAGE", "BAD_NONCE", "RATE_LIMITED"}
)


class Prover(Protocol):
    """Shows the authority what it asks for; one for each type of challenge. Methods block and may raise Refused."""

    type: str

    def show(self, name: str, token: str, authorization: str, validation: str) -> None:
        """Have the proof in place when this returns."""

    def remove(self, name: str, token: str) -> None:
        """Take it away again."""


class Issued:
    """A certificate with its chain, and its key (PEM)."""

    def __init__(self, names: Names, certificate: str, key: str) -> None:
        self.names = names
        self.certificate = certificate
        self.key = key


class Authority:
    """One account at one authority. ``provers`` in the order of preference."""

    def __init__(self, options: Acme, storage: Storage, resolver: str, provers: Sequence[Prover]) -> None:
        self._options = options
        self._storage = storage
        self._resolver = resolver
        self._provers = provers
        self._account = Account(options, storage, resolver)

    def obtain(self, names: Names, replaces: str = "") -> Issued:
        """Order a certificate, or go on with the order of before; raises Refused, StorageError. ``replaces``: the
        certificate (PEM) that it takes the place of."""
        try:
            return self._tried(names, replaces)
        except Refused as error:
            if error.code == "ACCOUNT_GONE":
                self._account.forget_place()
                return self._tried(names, replaces)
            if error.code not in _GOES_ON or not self.has_order(names):
                self._storage.delete(self._place(names))
            if error.code == "UNREACHABLE":
                self._account.forget_connection()
            raise

    def _tried(self, names: Names, replaces: str) -> Issued:
        self._account.asked_to_wait()
        try:
            with translated(self._options.ca_server, ORDER_SECONDS):
                return self._obtain(names, replaces)
        except Refused as error:
            error.after = max(error.after, self._account.asked_to_wait())
            raise

    def renewal_time(self, certificate: str) -> tuple[float, float] | None:
        """When the authority wants a certificate renewed (RFC 9773), and when it is to be asked again, in Unix seconds;
        None if it does not say."""
        try:
            found, again = self._account.connected().renewal_time(certificate.encode())
        except (errors.Error, requests.RequestException, ValueError, messages.Error, StorageError, Refused):
            return None
        return None if found is None else (found.timestamp(), again.timestamp())

    def _obtain(self, names: Names, replaces: str) -> Issued:
        connected = self._account.connected()
        order, key = self._order(connected, names, replaces)
        shown: list[tuple[Prover, str, str]] = []
        try:
            self._prove(connected, order, shown)
            self._await(connected, order)
            if order.body.status in (messages.STATUS_PENDING, messages.STATUS_READY):
                order = connected.begin_finalization(order)
            chains = self._collect(connected, order)
        finally:
            for prover, name, token in shown:
                prover.remove(name, token)
        return Issued(names, self._chosen_chain(chains), key)

    # -- the order, written down ------------------------------------------------------------------------------------

    def _place(self, names: Names) -> str:
        return f"{self._resolver}/orders/{label_of(names)}"

    def _order(self, connected: client.ClientV2, names: Names, replaces: str) -> tuple[Any, str]:
        """The order, and the certificate's key."""
        found = self._kept(connected, names)
        if found is not None:
            return found
        key = make_key(self._options.key_type).decode()
        # First of all: a storage that takes nothing must not cost an order.
        self._note(names, key, "")
        request = crypto_util.make_csr(key.encode(), list(names))
        try:
            order = orders.place(connected, names, request, self._options.profile, _renewal_id(connected, replaces))
        except messages.Error as error:
            if not replaces or error.code not in ("alreadyReplaced", "malformed"):
                raise
            order = orders.place(connected, names, request, self._options.profile, "")
        self._note(names, key, str(order.uri))
        return order, key

    def _note(self, names: Names, key: str, url: str) -> None:
        body = {"names": list(names), "key": key, "order": url, "server": self._options.ca_server, "at": time.time()}
        self._storage.put(self._place(names), json.dumps(body))

    def _kept(self, connected: client.ClientV2, names: Names) -> tuple[Any, str] | None:
        """The order of before, if it can still come to a good end."""
        kept = json.loads(self._storage.get(self._place(names)) or "{}")
        if not kept.get("order") or kept["server"] != self._options.ca_server or tuple(kept["names"]) != names:
            return None
        if time.time() - kept["at"] > _ORDER_LIVES:
            return None
        request = crypto_util.make_csr(kept["key"].encode(), list(names))
        try:
            order = orders.find(connected, kept["order"], request)
        except messages.Error:
            return None  # the authority knows it no more
        return None if order.body.status == messages.STATUS_INVALID else (order, kept["key"])

    def has_order(self, names: Names) -> bool:
        """True when there is an order to go on with."""
        return bool(json.loads(self._storage.get(self._place(names)) or "{}").get("order"))

    def done(self, names: Names) -> None:
        """The certificate is kept: its order need not be."""
        self._storage.delete(self._place(names))

    # -- proofs -----------------------------------------------------------------------------------------------------

    def _prove(self, connected: client.ClientV2, order: Any, shown: list[tuple[Prover, str, str]]) -> None:
        for authorization in order.authorizations:
            if authorization.body.status == messages.STATUS_VALID:
                continue  # proved a short while ago
            name = authorization.body.identifier.value
            if authorization.body.wildcard:
                name = f"*.{name}"
            prover, challenge = self._chosen(name, authorization.body.challenges)
            response, validation = challenge.response_and_validation(connected.net.key)
            token = challenge.chall.encode("token")
            shown.append((prover, name, token))
            prover.show(name, token, response.key_authorization, validation)
            connected.answer_challenge(challenge, response)

    def _chosen(self, name: str, offered: Sequence[Any]) -> tuple[Prover, Any]:
        for prover in self._provers:
            for challenge in offered:
                if challenge.chall.typ == prover.type:
                    return prover, challenge
        have = ", ".join(prover.type for prover in self._provers) or "none"
        asked = ", ".join(sorted(str(challenge.chall.typ) for challenge in offered))
        raise Refused("NO_CHALLENGE", f"{name}: the authority offers {asked}, and this resolver has {have}")

    @staticmethod
    def _await(connected: client.ClientV2, order: Any) -> None:
        """Until every name is proved. The library's own loop looks once a second; most answers come at once."""
        end = time.monotonic() + ORDER_SECONDS
        for authorization in order.authorizations:
            pause = _FIRST_PAUSE
            while True:
                current, _ = connected.poll(authorization)
                if current.body.status == messages.STATUS_VALID:
                    break
                if current.body.status != messages.STATUS_PENDING:
                    raise errors.ValidationError([current])
                if time.monotonic() > end:
                    raise TimeoutError
                time.sleep(pause)
                pause = min(_LONGEST_PAUSE, pause * 1.5)

    def _collect(self, connected: client.ClientV2, order: Any) -> list[str]:
        """The chains of a certificate, once it is issued. The library's own loop sleeps a second before it looks."""
        end, pause = time.monotonic() + ORDER_SECONDS, _FIRST_PAUSE
        while True:
            body = orders.state_of(connected, order)
            if body.status == messages.STATUS_INVALID:
                raise (
                    errors.IssuanceError(body.error) if body.error else errors.Error("the order failed without a word")
                )
            if body.status == messages.STATUS_READY:
                connected.begin_finalization(order)
            if body.status == messages.STATUS_VALID and body.certificate is not None:
                return orders.chains_of(connected, body.certificate, bool(self._options.preferred_chain))
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)

    def _chosen_chain(self, chains: list[str]) -> str:
        wanted = self._options.preferred_chain
        for chain in chains if wanted else ():
            last = x509.load_pem_x509_certificates(chain.encode())[-1]
            if wanted in last.issuer.rfc4514_string():
                return chain
        return chains[0]


def _renewal_id(connected: client.ClientV2, certificate: str) -> str:
    """The identifier by which authorities with renewal information know a certificate (RFC 9773 section 4.1)."""
    try:
        _ = connected.directory["renewalInfo"]
    except KeyError:
        return ""
    return renewal_id(certificate) if certificate else ""


def renewal_id(certificate: str) -> str:
    """See RFC 9773 section 4.1; "" for a certificate that names no authority key."""
    found = x509.load_pem_x509_certificate(certificate.encode())
    try:
        authority = found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return ""
    serial = found.serial_number.to_bytes(found.serial_number.bit_length() // 8 + 1, "big")
    return ".".join(b64encode(part).decode() for part in (authority or b"", serial))
