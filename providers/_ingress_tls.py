"""``spec.tls`` of an Ingress: which hosts are served over TLS, and the certificates that its secrets hold. Pure.

A secret that cannot be used is a problem of the Ingresses that name it; its key is never part of a message.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from edgerouter.config.dynamic import Certificate
from edgerouter.config.types import Problem, Secret
from edgerouter.providers._kubernetes_facts import Ingress, KubernetesSecret


class Secrets(msgspec.Struct, frozen=True):
    """Certificates by ``namespace/secret``, and what is wrong with the others."""

    certificates: dict[str, Certificate]
    problems: tuple[Problem, ...]


def read_secrets(ingress: Ingress, find: Callable[[str], KubernetesSecret | None]) -> Secrets:
    """Return the certificates of the secrets that an Ingress names."""
    found: dict[str, Certificate] = {}
    problems = []
    for name in ingress.secrets:
        secret = find(name)
        why = _fault(secret)
        if why or secret is None:
            path = f"ingress {ingress.key}: spec.tls"
            hint = f"kubectl -n {ingress.namespace} create secret tls {name} --cert=FILE --key=FILE"
            problems.append(Problem(path, f"secret {name!r}: {why}", hint))
        else:
            values = secret.values
            found[f"{ingress.namespace}/{name}"] = Certificate(cert_file=values["tls.crt"], key_file=values["tls.key"])
    return Secrets(found, tuple(problems))


def _fault(secret: KubernetesSecret | None) -> str:
    """Why a secret cannot be served; "" when it can."""
    if secret is None:
        return "there is none of this name in the Ingress's namespace, or it may not be read"
    missing = [key for key in ("tls.crt", "tls.key") if not secret.values.get(key, Secret("")).reveal().strip()]
    if missing:
        return f"it has no {' and no '.join(missing)}"
    try:
        certificate = x509.load_pem_x509_certificates(secret.values["tls.crt"].reveal().encode())[0]
    except ValueError:
        return "tls.crt holds no certificate in PEM"
    try:
        key = load_pem_private_key(secret.values["tls.key"].reveal().encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls.key holds no private key in PEM without password"
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        return "tls.key is not the key of the certificate in tls.crt"
    return ""


def over_tls(ingress: Ingress, host: str) -> bool:
    """True when ``spec.tls`` asks for this host; an entry without hosts asks for all."""
    if not ingress.tls_hosts:
        return False
    wild = "*." + host.partition(".")[2]
    return "" in ingress.tls_hosts or host in ingress.tls_hosts or wild in ingress.tls_hosts
