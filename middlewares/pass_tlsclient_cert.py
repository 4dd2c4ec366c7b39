"""passTLSClientCert: tells the server about the certificate that the client showed in its TLS connection.

``pem`` sends the certificate as X-Forwarded-Tls-Client-Cert: PEM without its first and last line and without line ends.
``info`` sends chosen fields as X-Forwarded-Tls-Client-Cert-Info, escaped as in a query:
``Subject="C=FR,O=Acme,CN=ann";Issuer="CN=Acme CA";SerialNumber="7";NB="1700000000";NA="1800000000";SAN="a.acme.com"``.
Whether clients must show one, and who must have signed it, is a matter of the TLS options. Without a certificate the
request goes on without these fields, unless a trusted proxy set them: clients' own never get past the entry point.

    labels:  edgerouter.http.middlewares.cert.passtlsclientcert.pem=true
             edgerouter.http.middlewares.cert.passtlsclientcert.info.subject.commonname=true

    http:
      middlewares:
        cert:
          passTLSClientCert:
            info:
              notAfter: true
              sans: true
              subject: {commonName: true, organization: true}
              issuer: {commonName: true}
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote_plus

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.middlewares._identity import set_identity
from edgerouter.middlewares._x509 import Certificate, read_certificate
from edgerouter.registry import middleware

_REMEMBERED: Final = 1024
_ORDER: Final = (
    *(("DC", "domain_component"), ("C", "country"), ("ST", "province"), ("L", "locality"), ("O", "organization")),
    *(("OU", "organizational_unit"), ("SN", "serial_number"), ("CN", "common_name")),
)


class Name(Model, frozen=True):
    """Fields of a name."""

    # C
    country: bool = False
    # ST
    province: bool = False
    # L
    locality: bool = False
    # O
    organization: bool = False
    # OU
    organizational_unit: bool = False
    # CN
    common_name: bool = False
    # SN
    serial_number: bool = False
    # DC
    domain_component: bool = False


class Info(Model, frozen=True):
    """Fields of the certificate."""

    # NA, the time until which it holds, in Unix seconds
    not_after: bool = False
    # NB, the time from which it holds, in Unix seconds
    not_before: bool = False
    # SAN, its names: hosts, emails, addresses, URIs
    sans: bool = False
    # SerialNumber, decimal
    serial_number: bool = False
    subject: Name | None = None
    issuer: Name | None = None


class Options(Model, frozen=True):
    """Options of ``passTLSClientCert``."""

    # send the certificate itself
    pem: bool = False
    info: Info | None = None


@middleware("passTLSClientCert", Options)
class PassTLSClientCert(Middleware):
    """What was made of a certificate is remembered: clients send many requests with one."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        if not options.pem and options.info is None:
            raise ValueError("passTLSClientCert: nothing would be sent; write pem: true, or info with some fields")
        self._options = options
        self._made: OrderedDict[bytes, tuple[str, str]] = OrderedDict()

    def on_request(self, exchange: Exchange) -> None:
        """See ``Middleware.on_request``."""
        der = exchange.client_certificate
        if not der:
            return
        made = self._made.get(der)
        if made is None:
            made = self._made[der] = self._make(der)
            if len(self._made) > _REMEMBERED:
                self._made.popitem(last=False)
        pem, info = made
        headers = exchange.request.headers
        if pem:
            set_identity(headers, "X-Forwarded-Tls-Client-Cert", pem)
        if info:
            set_identity(headers, "X-Forwarded-Tls-Client-Cert-Info", info)

    def _make(self, der: bytes) -> tuple[str, str]:
        info = self._options.info
        text = ";".join(_fields(read_certificate(der), info)) if info is not None else ""
        return base64.b64encode(der).decode() if self._options.pem else "", quote_plus(text)


def _fields(certificate: Certificate, info: Info) -> Iterator[str]:
    for word, names, wanted in (
        ("Subject", certificate.subject, info.subject),
        ("Issuer", certificate.issuer, info.issuer),
    ):
        text = _name(names, wanted) if wanted is not None else ""
        if text:
            yield f'{word}="{text}"'
    if info.serial_number:
        yield f'SerialNumber="{certificate.serial}"'
    if info.not_before:
        yield f'NB="{certificate.not_before}"'
    if info.not_after:
        yield f'NA="{certificate.not_after}"'
    if info.sans:
        yield f'SAN="{",".join(certificate.sans)}"'


def _name(names: tuple[tuple[str, str], ...], wanted: Name) -> str:
    parts = [
        f"{short}={value}"
        for short, option in _ORDER
        if getattr(wanted, option)
        for name, value in names
        if name == short
    ]
    return ",".join(parts)
