"""Orders at a real authority: every kind of proof, errors in its own words, accounts that are found again."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from acme_page import options, serving
from cryptography import x509
from pebble_ca import Pebble, free_port

from edgerouter.certs.acme import account, preflight
from edgerouter.certs.acme.authority import Authority
from edgerouter.certs.acme.dns01.lexicon import PROVIDERS
from edgerouter.certs.acme.dns01.record import DnsProver
from edgerouter.certs.acme.dns01.writers import make_writer
from edgerouter.certs.acme.preflight import Preflight
from edgerouter.certs.acme.refused import Refused
from edgerouter.certs.acme.stores.file import FileStorage
from edgerouter.certs.acme.tokens import HttpProver, Tokens
from edgerouter.config.resolvers import Acme, DnsChallenge
from edgerouter.config.resolvers import Preflight as Looking

WANTING = sorted(PROVIDERS.keys() - {"route53"})  # that one may run where the machine itself is trusted


@pytest.fixture
def pebble(tmp_path: Path) -> Iterator[Pebble]:
    with Pebble(tmp_path, free_port(), free_port()).running() as authority:
        yield authority


def names_of(certificate: str) -> set[str]:
    found = x509.load_pem_x509_certificate(certificate.encode())
    return set(
        found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    )


def test_a_certificate_by_http(pebble: Pebble, tmp_path: Path) -> None:
    tokens, storage = Tokens(), FileStorage(str(tmp_path / "acme.json"))
    authority = Authority(options(pebble), storage, "le", [HttpProver(tokens, 0)])
    with serving(tokens, pebble.http_port):
        one = authority.obtain(("a.example.com", "b.example.com"))
    assert names_of(one.certificate) == {"a.example.com", "b.example.com"}
    assert one.key.startswith("-----BEGIN PRIVATE KEY-----") and one.certificate.count("BEGIN CERTIFICATE") >= 2
    assert tokens.find("a.example.com", "anything") is None
    account = storage.get("le/account")
    assert account is not None and pebble.directory in account


def test_an_account_is_used_again_and_found_by_its_key(pebble: Pebble, tmp_path: Path) -> None:
    tokens, storage = Tokens(), FileStorage(str(tmp_path / "acme.json"))
    with serving(tokens, pebble.http_port):
        Authority(options(pebble), storage, "le", [HttpProver(tokens, 0)]).obtain(("a.example.com",))
        first = storage.get("le/account")
        Authority(options(pebble), storage, "le", [HttpProver(tokens, 0)]).obtain(("b.example.com",))
        assert storage.get("le/account") == first
        assert first is not None
        storage.put("le/account", first.replace(pebble.directory, "https://elsewhere.test/dir"))
        Authority(options(pebble), storage, "le", [HttpProver(tokens, 0)]).obtain(("c.example.com",))
        assert storage.get("le/account") == first


def test_nonces_that_are_refused_are_tried_again(tmp_path: Path) -> None:
    tokens = Tokens()
    with Pebble(tmp_path, free_port(), free_port()).running(PEBBLE_WFE_NONCEREJECT="50") as pebble:
        authority = Authority(options(pebble), FileStorage(str(tmp_path / "acme.json")), "le", [HttpProver(tokens, 0)])
        with serving(tokens, pebble.http_port):
            assert names_of(authority.obtain(("a.example.com",)).certificate) == {"a.example.com"}


def test_an_authority_that_takes_no_nonce_is_left_after_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "_NONCES", 3)
    with Pebble(tmp_path, free_port(), free_port()).running(PEBBLE_WFE_NONCEREJECT="100") as pebble:
        with pytest.raises(Refused) as failure:
            Authority(options(pebble), FileStorage(str(tmp_path / "acme.json")), "le", []).obtain(("a.example.com",))
        assert failure.value.code == "BAD_NONCE" and "nonce" in str(failure.value)


def test_the_authoritys_own_words(pebble: Pebble, tmp_path: Path) -> None:
    storage = FileStorage(str(tmp_path / "acme.json"))
    with pytest.raises(Refused) as failure:  # nobody listens where the authority looks
        Authority(options(pebble), storage, "le", [HttpProver(Tokens(), 0)]).obtain(("a.example.com",))
    assert failure.value.code == "CHALLENGE_FAILED" and "a.example.com (http-01)" in str(failure.value)
    with pytest.raises(Refused) as failure:
        Authority(options(pebble), storage, "le", []).obtain(("a.example.com",))
    assert failure.value.code == "NO_CHALLENGE" and "dns-01, http-01, tls-alpn-01" in str(failure.value)
    with pytest.raises(Refused) as failure:
        Authority(options(pebble, profile=""), storage, "le", []).obtain(("not_a_name..example",))
    assert failure.value.code in ("REJECTED", "MALFORMED")


def test_an_authority_that_does_not_answer(tmp_path: Path) -> None:
    silent = Acme(ca_server=f"https://127.0.0.1:{free_port()}/dir")
    with pytest.raises(Refused) as failure:
        Authority(silent, FileStorage(str(tmp_path / "acme.json")), "le", []).obtain(("a.example.com",))
    assert failure.value.code == "UNREACHABLE" and silent.ca_server in str(failure.value)


def test_a_wildcard_by_a_program_that_writes_records(pebble: Pebble, tmp_path: Path) -> None:
    challenge = DnsChallenge(provider="exec", resolvers=(pebble.dns,))
    prover = DnsProver(challenge, make_writer("exec", {"EXEC_PATH": str(pebble.record_writer())}))
    authority = Authority(options(pebble), FileStorage(str(tmp_path / "acme.json")), "le", [prover])
    one = authority.obtain(("*.example.com", "example.com"))
    assert names_of(one.certificate) == {"*.example.com", "example.com"}


def test_a_program_that_fails_is_named_with_its_last_words(pebble: Pebble, tmp_path: Path) -> None:
    script = tmp_path / "write"
    script.write_text("#!/bin/sh\necho no such zone >&2\nexit 3\n")
    script.chmod(0o700)
    prover = DnsProver(DnsChallenge(provider="exec"), make_writer("exec", {"EXEC_PATH": str(script)}))
    with pytest.raises(Refused, match="ended with code 3: no such zone"):
        Authority(options(pebble), FileStorage(str(tmp_path / "acme.json")), "le", [prover]).obtain(("*.example.com",))


@pytest.mark.parametrize(
    "provider", ["", "nobody", "exec", "httpreq", "rfc2136", *sorted(set(PROVIDERS) - {"route53"})]
)
def test_a_writer_that_lacks_something_says_what(provider: str) -> None:
    with pytest.raises(Refused, match=r"not set|there is no DNS provider"):
        make_writer(provider, {})


def test_preflight_names_what_would_fail(pebble: Pebble) -> None:
    tokens = Tokens()
    looking = Looking(resolvers=(pebble.dns,), http_port=pebble.http_port)
    look = Preflight("letsencrypt.org", looking, HttpProver(tokens, 0))
    pebble.tell("add-caa", host="barred.example.com", policies=[{"tag": "issue", "value": "other.test"}])
    pebble.tell("add-caa", host="fine.example.com", policies=[{"tag": "issue", "value": "letsencrypt.org; x=1"}])
    pebble.tell("set-servfail", host="broken.example.com")
    with serving(tokens, pebble.http_port):
        look.check("fine.example.com", by_dns=False)
        for name, code in (
            ("barred.example.com", "CAA"),
            ("*.barred.example.com", "CAA"),
            ("broken.example.com", "DNS"),
        ):
            with pytest.raises(Refused) as failure:
                look.check(name, by_dns=False)
            assert failure.value.code == code and name in str(failure.value)
    with pytest.raises(Refused) as failure:  # nobody is there any more
        look.check("fine.example.com", by_dns=False)
    assert failure.value.code == "NOT_US"


def test_preflight_waits_where_a_connection_is_there_and_nobody_serves_it_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a start the kernel accepts connections before workers do."""
    monkeypatch.setattr(preflight, "SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def late() -> None:
            time.sleep(0.3)  # several times what is waited for a connection
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproof")

        server = threading.Thread(target=late)
        server.start()
        assert preflight._page_at("a.example.com", "127.0.0.1", listener.getsockname()[1], "token") == "proof"
        server.join()
