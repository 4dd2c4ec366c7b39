"""Traefik's ``acme.json`` in our keys: resolver -> ``{Account, Certificates}``. Pure."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from edgerouter.certs.acme.wanted import label_of


def imported(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What it holds, and what cannot be read of it, by place: that is left out and spoils nothing else."""
    made: dict[str, Any] = {}
    left_out: list[str] = []
    for resolver, kept in data.items():
        for place, read in _parts(resolver, kept):
            try:
                made |= read()
            except (KeyError, ValueError, TypeError, AttributeError):
                left_out.append(place)
    return made, left_out


def _parts(resolver: str, kept: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    if not isinstance(kept, dict) or not kept.keys() & {"Account", "Certificates"}:
        yield resolver, lambda: kept["Account"]
        return
    account = kept.get("Account")
    if account:
        yield f"{resolver}.Account", partial(_account, resolver, account)
    for number, certificate in enumerate(kept.get("Certificates") or ()):
        yield f"{resolver}.Certificates[{number}]", partial(_certificate, resolver, certificate)


def _account(resolver: str, account: Any) -> dict[str, Any]:
    if not account.get("PrivateKey"):
        return {}
    uri = (account.get("Registration") or {}).get("uri", "")
    return {f"{resolver}/account": {"key": _key(account["PrivateKey"]), "uri": uri}}


def _certificate(resolver: str, certificate: Any) -> dict[str, Any]:
    domain = certificate["domain"]
    names = tuple(name for name in (domain["main"], *(domain.get("sans") or ())) if name)
    body = {
        "names": list(names),
        "certificate": base64.b64decode(certificate["certificate"]).decode(),
        "key": base64.b64decode(certificate["key"]).decode(),
    }
    return {f"{resolver}/certificates/{label_of(names)}": body}


def _key(text: str) -> str:
    """A PKCS#1 key in base64 of DER, as PEM."""
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN RSA PRIVATE KEY-----\n{lines}\n-----END RSA PRIVATE KEY-----\n"
