"""dns-lexicon at a server of PowerDNS's API: the record is written and taken away, and keys are in no message."""

from __future__ import annotations

import contextlib
import importlib
from argparse import ArgumentParser
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.resolver
import dns.rrset
import pytest
from small_servers import dns_server, json_server

from edgerouter.certs.acme.dns01.lexicon import PROVIDERS
from edgerouter.certs.acme.dns01.writers import make_writer
from edgerouter.certs.acme.refused import Refused

RECORD = "_acme-challenge.a.example.com."


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system's DNS has one zone, example.com."""

    def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        if str(query.question[0].name) == "example.com.":
            soa = "ns.example.com. a.example.com. 1 2 3 4 5"
            response.answer.append(dns.rrset.from_text("example.com.", 60, "IN", "SOA", soa))
        return response

    with dns_server(answer) as port:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], port
        monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
        yield


@contextlib.contextmanager
def powerdns() -> Iterator[tuple[str, list[Any]]]:
    """Its API for one zone; what it was told, and its answers follow that."""
    told: list[Any] = []

    def answer(method: str, path: str, headers: Message, body: Any) -> tuple[int, Any]:
        if headers["X-API-Key"] != "s3cret":
            return 401, {"error": f"the key {headers['X-API-Key']} is wrong"}
        assert path == "/api/v1/servers/localhost/zones/example.com."
        if method == "PATCH":
            told.extend(body["rrsets"])
            return 204, None
        records = [{**one, "ttl": 60} for one in told[-1:] if one["records"]]
        return 200, {"kind": "Native", "rrsets": records}

    with json_server(answer) as url:
        yield url, told


def test_a_record_is_written_and_taken_away(zone: None, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("s3cret\n")
    with powerdns() as (url, told):
        writer = make_writer("pdns", {"PDNS_API_URL": url, "PDNS_API_KEY_FILE": str(key)})
        writer.present("a.example.com", RECORD, "proof")
        (written,) = told
        assert (written["name"], written["type"]) == (RECORD, "TXT")
        assert [one["content"] for one in written["records"]] == ['"proof"']
        writer.cleanup("a.example.com", RECORD, "proof")
        assert len(told) == 2 and told[1]["records"] == []


def test_a_provider_that_refuses_is_quoted_without_the_key(zone: None) -> None:
    with powerdns() as (url, told):
        writer = make_writer("powerdns", {"PDNS_API_URL": url, "PDNS_API_KEY": "wr0ng"})
        with pytest.raises(Refused, match="powerdns: ") as failure:
            writer.present("a.example.com", RECORD, "proof")
        assert failure.value.code == "DNS_PROVIDER" and "wr0ng" not in str(failure.value) and told == []


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_the_library_has_every_provider_and_option(provider: str) -> None:
    name, options = PROVIDERS[provider]
    parser = ArgumentParser()
    importlib.import_module(f"lexicon._private.providers.{name}").Provider.configure_parser(parser)
    known = {action.dest for action in parser._actions}
    assert {option.rstrip("?") for option, _ in options} <= known
