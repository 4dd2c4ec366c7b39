"""passTLSClientCert: a certificate in, two fields out; the reader of certificates against the library of record."""

from __future__ import annotations

import base64
import datetime
import random
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote_plus

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from steps import ask, make

from edgerouter.middlewares._x509 import read_certificate

BEGIN = datetime.datetime(2001, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
ALL = dict.fromkeys(
    (
        *("country", "province", "locality", "organization", "organizationalUnit", "commonName", "serialNumber"),
        "domainComponent",
    ),
    True,
)


def certificate(sans: bool = True, end: int = 2075, name: str = 'änn, "x"; y=z') -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "Occitanie"),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "Toulouse"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "one"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "two"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, "42"),
            x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "acme"),
            x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "com"),
            x509.NameAttribute(NameOID.TITLE, "not sent"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Acme CA")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(2**80 + 7)
        .not_valid_before(BEGIN)
        .not_valid_after(BEGIN.replace(year=end))
        .add_extension(x509.BasicConstraints(False, None), critical=True)
    )
    if sans:
        names = [
            x509.DNSName("ann.acme.com"),
            x509.UniformResourceIdentifier("spiffe://acme/ann"),
            x509.RFC822Name("ann@acme.com"),
            x509.IPAddress(ip_address("10.0.0.7")),
            x509.IPAddress(ip_address("2001:db8::7")),
            x509.DNSName("ann"),
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def sent(options: dict[str, Any], der: bytes, headers: dict[str, str] | None = None) -> dict[str, str]:
    exchange = ask(headers=headers)
    exchange.client_certificate = der
    step = make("passTLSClientCert", options)
    for _ in range(2):
        assert step.on_request(exchange) is None
    return dict(exchange.request.headers.items())


def info(options: dict[str, Any], der: bytes) -> str:
    return unquote_plus(sent({"info": options}, der)["X-Forwarded-Tls-Client-Cert-Info"])


def test_the_certificate_itself() -> None:
    der = certificate()
    forged = {"X-Forwarded-Tls-Client-Cert": "forged", "X_Forwarded_Tls_Client_Cert": "forged"}
    assert sent({"pem": True}, der, forged) == {"X-Forwarded-Tls-Client-Cert": base64.b64encode(der).decode()}


def test_all_of_its_fields() -> None:
    der = certificate()
    options = {**dict.fromkeys(("notAfter", "notBefore", "sans", "serialNumber"), True), "subject": ALL, "issuer": ALL}
    begin, end = int(BEGIN.timestamp()), int(BEGIN.replace(year=2075).timestamp())
    assert info(options, der) == (
        'Subject="DC=acme,DC=com,C=FR,ST=Occitanie,L=Toulouse,O=Acme,OU=one,OU=two,SN=42,CN=änn, "x"; y=z";'
        f'Issuer="CN=Acme CA";SerialNumber="{2**80 + 7}";NB="{begin}";NA="{end}";'
        'SAN="ann.acme.com,ann,ann@acme.com,10.0.0.7,2001:db8::7,spiffe://acme/ann"'
    )
    raw = sent({"info": options}, der)["X-Forwarded-Tls-Client-Cert-Info"]
    assert raw.isascii() and not set(raw) & set('"; ,\r\n')


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"subject": {"commonName": True}}, 'Subject="CN=ann"'),
        ({"issuer": {"commonName": True, "country": True}}, 'Issuer="CN=Acme CA"'),
        ({"issuer": {"country": True}, "sans": True}, 'SAN=""'),
        ({"subject": {"organization": True}, "serialNumber": True}, f'Subject="O=Acme";SerialNumber="{2**80 + 7}"'),
    ],
)
def test_some_of_its_fields(options: dict[str, Any], text: str) -> None:
    assert info(options, certificate(sans=False, name="ann")) == text


def test_no_certificate() -> None:
    headers = {"X-Forwarded-Tls-Client-Cert": "set by a trusted proxy"}
    assert sent({"pem": True, "info": {"sans": True}}, b"", headers) == headers


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="nothing would be sent; write pem: true"):
        make("passTLSClientCert", {})


@pytest.mark.parametrize("end", [2049, 2050, 9999])
def test_times_in_both_forms(end: int) -> None:
    der = certificate(end=end)
    library = x509.load_der_x509_certificate(der)
    read = read_certificate(der)
    assert read.not_after == int(library.not_valid_after_utc.timestamp())
    assert read.serial == library.serial_number


def test_broken_certificates_raise_one_error() -> None:
    der = certificate()
    chance = random.Random(7)
    for _ in range(3000):
        broken = bytearray(der[: chance.randrange(len(der) + 1)])
        for _ in range(chance.randrange(3)):
            if broken:
                broken[chance.randrange(len(broken))] = chance.randrange(256)
        try:
            read_certificate(bytes(broken))
        except ValueError:
            continue
