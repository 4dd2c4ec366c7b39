"""One conversation with an ACME authority: account, order, proofs, certificate. Blocking; called in threads.

The protocol is the ``acme`` library's; what is shown to the authority is a ``Prover``'s matter.
"""

from __future__ import annotations

import datetime
import json
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import requests
from acme import client, crypto_util, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from josepy.jwa import ES256, ES384, RS256
from josepy.jwk import JWKEC, JWKRSA

from edgerouter import __version__
from edgerouter.certs.acme.challenges import TLSALPN01
from edgerouter.certs.acme.storage import Storage
from edgerouter.certs.acme.wanted import Names
from edgerouter.config.resolvers import Acme

ORDER_SECONDS: Final = 120.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 3.0
_CURVES: Final = {"EC256": ec.SECP256R1, "EC384": ec.SECP384R1}

assert TLSALPN01.typ  # registered with the library by its import


class Refused(Exception):
    """The authority, or the way to it, says no. ``code`` is ours, the text the authority's own words; ``after`` are
    seconds that it asks to wait."""

    def __init__(self, code: str, words: str, after: float = 0.0) -> None:
        super().__init__(words)
        self.code = code
        self.after = after


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
        self._client: client.ClientV2 | None = None
        self._bundled = ""

    def obtain(self, names: Names) -> Issued:
        """Order a certificate; raises Refused, StorageError."""
        try:
            return self._obtain(names)
        except messages.Error as error:
            raise Refused(_code(error), _said(error), _wait_of(_said(error))) from error
        except errors.ValidationError as error:
            raise Refused("CHALLENGE_FAILED", _validation(error)) from error
        except errors.IssuanceError as error:
            raise Refused(_code(error.error), _said(error.error)) from error
        except (errors.TimeoutError, TimeoutError) as error:
            raise Refused("TIMEOUT", f"no answer within {ORDER_SECONDS:.0f} s") from error
        except (errors.ClientError, errors.Error, requests.RequestException, ValueError) as error:
            self._client = None
            raise Refused("UNREACHABLE", f"{self._options.ca_server}: {_short(error)}") from error

    def renewal_time(self, certificate: str) -> float | None:
        """When the authority wants a certificate renewed (RFC 9773), in Unix seconds; None if it does not say."""
        try:
            found, _ = self._connected().renewal_time(certificate.encode())
        except (errors.Error, requests.RequestException, ValueError, messages.Error):
            return None
        return None if found is None else found.timestamp()

    def _obtain(self, names: Names) -> Issued:
        connected = self._connected()
        key = make_key(self._options.key_type)
        request = crypto_util.make_csr(key, list(names))
        order = connected.new_order(request, profile=self._options.profile or None)
        shown: list[tuple[Prover, str, str]] = []
        try:
            self._prove(connected, order, shown)
            self._await(connected, order)
            order = connected.begin_finalization(order)
            order = connected.poll_finalization(
                order,
                datetime.datetime.now() + datetime.timedelta(seconds=ORDER_SECONDS),
                bool(self._options.preferred_chain),
            )
        finally:
            for prover, name, token in shown:
                prover.remove(name, token)
        return Issued(names, self._chain(order), key.decode())

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

    def _chain(self, order: Any) -> str:
        wanted = self._options.preferred_chain
        if wanted:
            for chain in (order.fullchain_pem, *order.alternative_fullchains_pem):
                last = x509.load_pem_x509_certificates(chain.encode())[-1]
                if wanted in last.issuer.rfc4514_string():
                    return str(chain)
        return str(order.fullchain_pem)

    def _connected(self) -> client.ClientV2:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _connect(self) -> client.ClientV2:
        kept = json.loads(self._storage.get(f"{self._resolver}/account") or "{}")
        pem = kept.get("key") or make_key("EC256").decode()
        key, algorithm = account_key(pem)
        # The library hands this on to requests, where the name of a bundle may stand for True.
        check: Any = self._bundle() or True
        agent = f"edgerouter/{__version__}"
        net = client.ClientNetwork(key, alg=algorithm, verify_ssl=check, user_agent=agent, timeout=30)
        directory = client.ClientV2.get_directory(self._options.ca_server, net)
        connected = client.ClientV2(directory, net)
        uri = self._account(connected, kept)
        now = {"key": pem, "uri": uri, "server": self._options.ca_server}
        if kept != now:
            self._storage.put(f"{self._resolver}/account", json.dumps(now))
        return connected

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
        if kept.get("uri") and kept.get("server") == self._options.ca_server:
            connected.net.account = messages.RegistrationResource(body=messages.Registration(), uri=kept["uri"])
            return str(kept["uri"])
        binding = None
        if self._options.eab is not None and connected.net.key is not None:
            binding = messages.ExternalAccountBinding.from_data(
                connected.net.key.public_key(),
                self._options.eab.kid,
                self._options.eab.hmac_encoded.reveal(),
                connected.directory,
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


def make_key(kind: str) -> bytes:
    """A new private key, as PEM."""
    curve = _CURVES.get(kind)
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if curve is not None:
        key = ec.generate_private_key(curve())
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=int(kind.removeprefix("RSA")))
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def account_key(pem: str) -> tuple[Any, Any]:
    """The key as the library takes it, and the algorithm that it signs with."""
    key = serialization.load_pem_private_key(pem.encode(), None)
    if isinstance(key, rsa.RSAPrivateKey):
        return JWKRSA(key=key), RS256
    curve = getattr(getattr(key, "curve", None), "name", "")
    return JWKEC(key=key), ES384 if curve == "secp384r1" else ES256


_RETRY_AFTER: Final = re.compile(r"retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)", re.IGNORECASE)
_CODES: Final = {
    "rateLimited": "RATE_LIMITED",
    "caa": "CAA",
    "dns": "DNS",
    "rejectedIdentifier": "REJECTED",
    "unauthorized": "UNAUTHORIZED",
    "externalAccountRequired": "EAB_REQUIRED",
    "accountDoesNotExist": "ACCOUNT_GONE",
    "serverInternal": "AUTHORITY_FAULT",
}


def _code(error: messages.Error) -> str:
    return _CODES.get(str(error.code or ""), "REFUSED")


def _said(error: messages.Error) -> str:
    words = [str(error.detail or error.description or error.typ)]
    words += [f"{one.identifier.value}: {one.detail}" for one in error.subproblems or () if one.identifier]
    return "; ".join(words)


def _wait_of(words: str, now: float | None = None) -> float:
    """Seconds until a moment that the words name (``retry after 2026-01-02 03:04:05 UTC``); 0 when they name none."""
    found = _RETRY_AFTER.search(words)
    if found is None:
        return 0.0
    moment = datetime.datetime.fromisoformat(f"{found.group(1)}T{found.group(2)}+00:00").timestamp()
    return max(0.0, moment - (time.time() if now is None else now))


def _validation(error: errors.ValidationError) -> str:
    words = []
    for authorization in error.failed_authzrs:
        for challenge in authorization.body.challenges:
            if challenge.error is not None:
                words.append(f"{authorization.body.identifier.value} ({challenge.chall.typ}): {_said(challenge.error)}")
    return "; ".join(words) or "the authority does not say why"


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
