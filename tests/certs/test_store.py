"""The store: files and texts, good and broken pairs, last good copies, the default certificate, no key ever shown."""

from __future__ import annotations

import base64
import datetime
import logging
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from edgerouter.certs.generated import generate
from edgerouter.certs.read import Unreadable, read_pair
from edgerouter.certs.store import Store
from edgerouter.certs.tickets import LIFE
from edgerouter.config.decode import decode_dynamic
from edgerouter.config.types import hide_hook
from edgerouter.contracts.certificates import Keyring
from edgerouter.contracts.snapshot import Snapshot

CA = trustme.CA(key_type=trustme.KeyType.ECDSA)


def pair(*names: str, **more: object) -> tuple[str, str]:
    leaf = CA.issue_cert(*names, key_type=trustme.KeyType.ECDSA, **more)  # type: ignore[arg-type]
    return b"".join(pem.bytes() for pem in leaf.cert_chain_pems).decode(), leaf.private_key_pem.bytes().decode()


def snapshot(*pairs: tuple[str, str], **tls: object) -> Snapshot:
    listed = [{"certFile": chain, "keyFile": key} for chain, key in pairs]
    configuration, problems = decode_dynamic({"tls": {"certificates": listed, **tls}}, {}, "test")
    assert problems == []
    return Snapshot(configuration=configuration)


def load(*pairs: tuple[str, str], **tls: object) -> Keyring:
    return Store().load({"file": snapshot(*pairs, **tls)})


def test_texts_and_files(tmp_path: Path) -> None:
    chain, key = pair("a.test", "*.A.test", "127.0.0.1")
    (tmp_path / "c.pem").write_text(chain)
    (tmp_path / "k.pem").write_text(key)
    for given in ((chain, key), (str(tmp_path / "c.pem"), str(tmp_path / "k.pem")), (chain + key, key + chain)):
        keyring = load(given)
        (certificate,) = keyring.certificates
        assert certificate.names == ("a.test", "*.a.test", "127.0.0.1")
        assert (certificate.key_type, certificate.key_size, certificate.provider) == ("ECDSA", 256, "file")
        assert certificate.not_before < time.time() < certificate.not_after
        assert certificate.pem.reveal().count("BEGIN CERTIFICATE") == 1 and "PRIVATE KEY" in certificate.pem.reveal()
        assert (keyring.problems, keyring.broken) == ((), ())


def encrypted() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode()


GOOD = pair("good.test")


def self_signed(key: Any) -> tuple[str, str]:
    """A certificate that OpenSSL may not like."""
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd.test")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.public_key(key.public_key()).not_valid_before(now).not_valid_after(now + datetime.timedelta(30))
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return builder.sign(key, digest).public_bytes(Encoding.PEM).decode(), text


BROKEN = {
    "a weak key": (self_signed(rsa.generate_private_key(65537, 1024)), "ee key too small; make a key of 2048 bits"),
    "a strange curve": (self_signed(ec.generate_private_key(ec.SECP256K1())), "on the curve secp256k1, which"),
    "a strange kind": (self_signed(dsa.generate_private_key(2048)), "of a kind that TLS clients do not speak"),
    "a chain upside down": ((CA.cert_pem.bytes().decode() + GOOD[0], GOOD[1]), "certificate 2 of the file; put that"),
    "another key": ((GOOD[0], pair("other.test")[1]), "does not belong"),
    "no certificate": (("-----BEGIN NOTHING-----\n", GOOD[1]), "no certificate in PEM form"),
    "no key": ((GOOD[0], GOOD[0]), "no private key in PEM form"),
    "an encrypted key": ((GOOD[0], encrypted()), "encrypted"),
    "a damaged key": ((GOOD[0], GOOD[1].replace(GOOD[1][40:60], "A" * 20)), "key"),
    "no file": (("/nowhere/c.pem", "/nowhere/k.pem"), "certFile: /nowhere/c.pem cannot be read: No such file"),
    "a pasted key without its first line": ((GOOD[0], GOOD[1].splitlines()[1]), "keyFile: the file cannot be read"),
    "a key pasted for the certificate": ((GOOD[1].splitlines()[1], GOOD[1]), "certFile: the file cannot be read"),
    "a pasted key with slashes": ((GOOD[0], "/MHcCAQEEIKIUz9/6XvSk/IUyaf2m6M4Y+0TrHHD2w"), "keyFile: the file cannot"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_pair_is_named_and_spoils_no_other(case: str) -> None:
    broken, why = BROKEN[case]
    keyring = load(broken, GOOD)
    assert [certificate.names for certificate in keyring.certificates] == [("good.test",)]
    (problem,) = keyring.problems
    assert problem.path == "tls.certificates[0]" and why in problem.message
    assert why in keyring.broken[0].error
    for line in (*broken[0].splitlines(), *broken[1].splitlines()):
        assert len(line) < 30 or line.startswith("-") or line not in str(keyring)


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ],
)
def test_what_clients_speak_is_served(key: Any) -> None:
    keyring = load(self_signed(key))
    assert keyring.problems == () and len(keyring.certificates) == 1


# A certificate (of nobody) whose key is on prime239v1, a curve that is not known here.
UNKNOWN_CURVE = """-----BEGIN CERTIFICATE-----
MIIBcjCCAR2gAwIBAgIUUeIs9xBXFYucj5mvhTIAIDscLsgwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIb2RkLnRlc3QwHhcNMjYxMTIyMDAyMDA1WhcNMjYxMjIyMDAy
MDA1WjATMREwDwYDVQQDDAhvZGQudGVzdDBVMBMGByqGSM49AgEGCCqGSM49AwEE
Az4ABF5emAV0TMQs79gYyluCg/R8qPEus0bHL3aK/+2z3hlfXVJyrc/2Rxtyk7MA
FPSf5Y1SAarsIBT+TbicG6NTMFEwHQYDVR0OBBYEFKZrPaXNoH7q9eUorRCbH6v6
ZreMMB8GA1UdIwQYMBaAFKZrPaXNoH7q9eUorRCbH6v6ZreMMA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDQwAwQAIeI1GYwpaIVeZLdk33aKjgb5UJ/kiVFwsg
ALEPf04YAh4WQKVMHW2Rq2O0clY2q9QxpstdgBbevdlNsPH3+oU=
-----END CERTIFICATE-----
"""


def test_keys_of_unknown_kinds() -> None:
    chain, key = GOOD
    assert load((chain + UNKNOWN_CURVE, key)).problems == ()
    (problem,) = load((UNKNOWN_CURVE, key)).problems
    assert "does not belong to the certificate" in problem.message


def test_damaged_certificates_spoil_no_other() -> None:
    """Whatever byte was changed: it is served, or it is a problem, and the good one is served."""
    lines = GOOD[0].splitlines()
    whole = base64.b64decode("".join(lines[1 : lines.index("-----END CERTIFICATE-----")]))
    seen = set()
    for place in range(4, len(whole), 3):
        damaged = base64.encodebytes(whole[:place] + bytes([whole[place] ^ 0x27]) + whole[place + 1 :]).decode()
        text = f"-----BEGIN CERTIFICATE-----\n{damaged}-----END CERTIFICATE-----\n"
        keyring = load((text, GOOD[1]), GOOD)
        assert len(keyring.certificates) + len(keyring.broken) == 2
        assert keyring.certificates[-1].names == ("good.test",)
        seen.update(broken.error.split(" (")[0] for broken in keyring.broken)
    assert "the certificate is damaged" in seen


def test_the_last_good_copy_goes_on(tmp_path: Path) -> None:
    files = tmp_path / "c.pem", tmp_path / "k.pem"
    for file, text in zip(files, pair("a.test"), strict=True):
        file.write_text(text)
    store, given = Store(), {"file": snapshot((str(files[0]), str(files[1])))}
    first = store.load(given)
    assert not store.changed()
    files[0].write_text(pair("a.test")[0])  # its key is not there yet
    assert store.changed()
    second = store.load(given)
    assert str(files[0]) in second.problems[0].message
    assert [c.id for c in second.certificates] == [c.id for c in first.certificates]
    assert "does not belong" in second.problems[0].message and "last good copy" in second.problems[0].message
    assert second.broken[0].kept
    (upgraded,) = Store(state=msgspec.json.decode(msgspec.json.encode(store.state))).load(given).certificates
    assert upgraded == second.certificates[0], "it survives a live upgrade"
    for file, text in zip(files, pair("a.test"), strict=True):
        file.write_text(text)
    third = store.load(given)
    assert third.certificates[0].id != first.certificates[0].id and third.problems == ()
    assert store.state["kept"] == []


def test_expired_ones_are_served_and_named() -> None:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=2)
    keyring = load(pair("old.test", not_after=past))
    assert len(keyring.certificates) == 1
    (problem,) = keyring.problems
    assert "old.test expired on" in problem.message and problem.hint == "renew it"
    chain, key = pair("default.test", not_after=past)
    stores = {"default": {"defaultCertificate": {"certFile": chain, "keyFile": key}}}
    (problem,) = load(stores=stores).problems
    assert "default.test expired on" in problem.message
    assert len(load((chain, key), stores=stores).problems) == 1


def test_the_default_certificate() -> None:
    generated = load().default
    assert generated is not None and generated.generated and generated.common_name == "EDGEROUTER DEFAULT CERT"
    chain, key = pair("default.test")
    given = {"default": {"defaultCertificate": {"certFile": chain, "keyFile": key}}}
    default = load(stores=given).default
    assert default is not None and default.names == ("default.test",)
    twice = Store().load({"one": snapshot(stores=given), "two": snapshot(stores=given)})
    assert twice.default is not None and twice.default.generated
    assert "more than once: one, two" in twice.problems[0].message


def test_the_state_of_an_upgrade() -> None:
    store = Store()
    before = store.load({})
    after = Store(state=msgspec.json.decode(msgspec.json.encode(store.state))).load({})
    assert after.ticket_secrets == before.ticket_secrets and after.default == before.default


def test_ticket_secrets_turn_and_the_one_before_stays() -> None:
    now = [1e9]
    store = Store(now=lambda: now[0])
    (first,) = store.load({}).ticket_secrets
    now[0] += LIFE - 1
    assert store.load({}).ticket_secrets == (first,)
    now[0] += 2
    assert store.changed()
    second, kept = store.load({}).ticket_secrets
    assert kept == first != second


def test_authorities(tmp_path: Path) -> None:
    text = CA.cert_pem.bytes().decode()
    (tmp_path / "ca.pem").write_text(text)
    auth = {"caFiles": [str(tmp_path / "ca.pem"), text]}
    keyring = load(options={"mtls": {"clientAuth": auth}, "bad": {"clientAuth": {"caFiles": ["/nowhere/ca.pem"]}}})
    assert keyring.authorities["mtls@file"].pem.count("BEGIN CERTIFICATE") == 2
    assert "/nowhere/ca.pem cannot be read" in keyring.authorities["bad@file"].error


def test_authorities_whose_file_breaks_stay_as_they_were(tmp_path: Path) -> None:
    """A file that is being written lies there empty for a moment: that must turn no client away."""
    file = tmp_path / "ca.pem"
    file.write_bytes(CA.cert_pem.bytes())
    store, given = Store(), {"file": snapshot(options={"mtls": {"clientAuth": {"caFiles": [str(file)]}}})}
    before = store.load(given).authorities
    for _ in range(2):
        file.write_text("")
        keyring = store.load(given)
        assert keyring.authorities == before
        (problem,) = keyring.problems
        assert problem.path == "tls.options.mtls.clientAuth.caFiles" and "last good copy" in problem.message
    other = {"file": snapshot(options={"mtls": {"clientAuth": {"caFiles": ["/nowhere/ca.pem"]}}})}
    assert "cannot be read" in store.load(other).authorities["mtls@file"].error, "other files were named"
    file.write_bytes(trustme.CA(key_type=trustme.KeyType.ECDSA).cert_pem.bytes())
    after = store.load(given)
    assert after.problems == () and after.authorities != before


def test_keys_are_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    chain, key = pair("secret.test")
    secret = key.splitlines()[2]
    with caplog.at_level(logging.DEBUG):
        given = snapshot((chain, key), (chain, pair("x.test")[1]))
        keyring = Store().load({"file": given})
    assert len(keyring.certificates) == 1
    shown = [repr(keyring), str(given), msgspec.json.encode([keyring, given.configuration.tls], enc_hook=hide_hook)]
    assert all(secret not in str(text) for text in shown) and secret not in caplog.text
    assert keyring.ticket_secrets[0].reveal() not in str(shown)


def test_a_thousand_certificates_in_two_seconds() -> None:
    made = generate(datetime.datetime.now(datetime.UTC))
    assert read_pair(*made).names
    ours = [generate(datetime.datetime.now(datetime.UTC)) for _ in range(1000)]
    given = {"file": snapshot(*ours)}
    store = Store()
    began = time.process_time()
    assert len(store.load(given).certificates) == 1000
    assert time.process_time() - began < 2.0
    began = time.process_time()
    store.load(given)
    assert time.process_time() - began < 0.5  # nothing is parsed twice


def test_what_is_not_ours_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    with pytest.raises(Unreadable, match="does not belong"):
        read_pair(GOOD[0], key.decode())
