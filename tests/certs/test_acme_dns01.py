"""The writers of TXT records that are built in, at servers of their protocols; and where a record is written."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import dns.tsigkeyring
import dns.update
import pytest
from pebble_ca import Pebble, free_port
from small_servers import dns_server, json_server

from edgerouter.certs.acme.dns01.record import DnsProver
from edgerouter.certs.acme.dns01.writers import make_writer
from edgerouter.certs.acme.refused import Refused
from edgerouter.config.resolvers import DnsChallenge, Propagation

RECORD = "_acme-challenge.a.example.com."
SECRET, WRONG = base64.b64encode(b"s" * 32).decode(), base64.b64encode(b"w" * 32).decode()
KEY = {"RFC2136_TSIG_KEY": "key.test", "RFC2136_TSIG_SECRET": SECRET}


# -- httpreq ----------------------------------------------------------------------------------------------------------


def test_a_web_hook_is_told_of_record_and_value() -> None:
    told: list[Any] = []

    def answer(method: str, path: str, headers: Message, body: Any) -> tuple[int, Any]:
        told.append((method, path, body, headers["Authorization"]))
        return 200, {}

    with json_server(answer) as url:
        environment = {"HTTPREQ_ENDPOINT": f"{url}/dns/", "HTTPREQ_USERNAME": "user", "HTTPREQ_PASSWORD": "s3cret"}
        writer = make_writer("httpreq", environment)
        writer.present("a.example.com", RECORD, "proof")
        writer.cleanup("a.example.com", RECORD, "proof")
    login = f"Basic {base64.b64encode(b'user:s3cret').decode()}"
    body = {"fqdn": RECORD, "value": "proof"}
    assert told == [("POST", "/dns/present", body, login), ("POST", "/dns/cleanup", body, login)]


def test_a_web_hook_that_refuses_is_named_without_its_secrets() -> None:
    with json_server(lambda *_: (403, {})) as url:
        writer = make_writer("httpreq", {"HTTPREQ_ENDPOINT": f"{url.replace('http://', 'http://user:s3cret@')}/dns"})
        with pytest.raises(Refused, match=rf"{url}/dns/present answered 403") as failure:
            writer.present("a.example.com", RECORD, "proof")
    assert failure.value.code == "DNS_PROVIDER" and "s3cret" not in str(failure.value)
    with pytest.raises(Refused, match=rf"{url}/dns/present does not answer: ConnectionError") as failure:
        writer.present("a.example.com", RECORD, "proof")
    assert "s3cret" not in str(failure.value)


# -- rfc2136 ----------------------------------------------------------------------------------------------------------


class Zone:
    """example.com at a server that takes updates; ``changes`` are the records of each, as text."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.code = dns.rcode.NOERROR

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        if isinstance(query, dns.update.UpdateMessage):
            assert query.had_tsig and str(query.zone[0].name) == "example.com."
            self.changes += [str(record) for record in query.update]
            response.set_rcode(self.code)
        elif str(query.question[0].name) == "example.com.":
            soa = "ns.example.com. a.example.com. 1 2 3 4 5"
            response.answer.append(dns.rrset.from_text("example.com.", 60, "IN", "SOA", soa))
        return response


@pytest.mark.parametrize("zone", ["", "example.com"])
def test_a_name_server_is_sent_signed_updates(zone: str) -> None:
    server = Zone()
    with dns_server(server.answer, dns.tsigkeyring.from_text({"key.test": SECRET})) as port:
        environment = {"RFC2136_NAMESERVER": f"localhost:{port}", "RFC2136_ZONE": zone, "RFC2136_TTL": "60", **KEY}
        writer = make_writer("rfc2136", environment)
        writer.present("a.example.com", RECORD, "proof")
        writer.cleanup("a.example.com", RECORD, "proof")
        assert server.changes == [f'{RECORD} 60 IN TXT "proof"', f'{RECORD} 0 NONE TXT "proof"']
        server.code = dns.rcode.REFUSED
        with pytest.raises(Refused, match="refused the update: REFUSED"):
            writer.present("a.example.com", RECORD, "proof")


def test_a_name_server_that_does_not_know_the_key_is_named_without_it() -> None:
    server = Zone()
    with dns_server(server.answer, dns.tsigkeyring.from_text({"key.test": SECRET})) as port:
        wrong = {"RFC2136_NAMESERVER": f"127.0.0.1:{port}", "RFC2136_ZONE": "example.com", **KEY}
        writer = make_writer("rfc2136", {**wrong, "RFC2136_TSIG_SECRET": WRONG})
        with pytest.raises(Refused, match=rf"the name server 127\.0\.0\.1:{port}: EOF") as failure:
            writer.present("a.example.com", RECORD, "proof")
    assert server.changes == [] and SECRET not in str(failure.value) and WRONG not in str(failure.value)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"RFC2136_NAMESERVER": "ns.test:dns"}, "RFC2136_NAMESERVER is host:port"),
        ({"RFC2136_NAMESERVER": "::1", "RFC2136_TTL": "soon"}, "RFC2136_TTL seconds"),
        ({"RFC2136_NAMESERVER": "ns.test", **KEY, "RFC2136_TSIG_SECRET": "s3cre"}, "RFC2136_TSIG_SECRET is not base64"),
    ],
)
def test_variables_that_cannot_be_used_are_named(variables: dict[str, str], words: str) -> None:
    with pytest.raises(Refused, match=words) as failure:
        make_writer("rfc2136", variables)
    assert "s3cre" not in str(failure.value)


# -- where the record is ----------------------------------------------------------------------------------------------


@pytest.fixture
def pebble(tmp_path: Path) -> Iterator[Pebble]:
    with Pebble(tmp_path, free_port(), free_port()).running() as authority:
        yield authority


def test_a_cname_leads_to_the_record_that_is_written(pebble: Pebble) -> None:
    told: list[tuple[str, str]] = []

    class Noting:
        def present(self, name: str, record: str, value: str) -> None:
            told.append((name, record))

        cleanup = present

    pebble.tell("set-cname", host="_acme-challenge.away.example.com", target="away.proofs.test")
    challenge = DnsChallenge(resolvers=(pebble.dns,), propagation=Propagation(disable_checks=True))
    prover = DnsProver(challenge, Noting())
    for name in ("*.away.example.com", "here.example.com"):
        prover.show(name, "token", "", "proof")
        prover.remove(name, "token")
    away, here = ("away.proofs.test", "away.proofs.test."), ("here.example.com", "_acme-challenge.here.example.com.")
    assert told == [away, away, here, here]
