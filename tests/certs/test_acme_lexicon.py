"""dns-lexicon at a server of PowerDNS's API: the record is written and taken away, and keys are in no message."""

from __future__ import annotations

import contextlib
import http.server
import importlib
import json
import socket
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.resolver
import dns.rrset
import pytest

from edgerouter.certs.acme.dns01.lexicon import PROVIDERS
from edgerouter.certs.acme.dns01.writers import make_writer
from edgerouter.certs.acme.refused import Refused

RECORD = "_acme-challenge.a.example.com."


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system's DNS has one zone, example.com."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            data, client = server.recvfrom(4096)
            if data == b"end":
                return
            query = dns.message.from_wire(data)
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.AA
            name = query.question[0].name
            if str(name) == "example.com.":
                soa = "ns.example.com. a.example.com. 1 2 3 4 5"
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", "SOA", soa))
            server.sendto(answer.to_wire(), client)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], server.getsockname()[1]
    monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
    yield
    server.sendto(b"end", server.getsockname())
    thread.join(30)
    server.close()


@contextlib.contextmanager
def powerdns() -> Iterator[tuple[str, list[Any]]]:
    """Its API for one zone; what it was told, and its answers follow that."""
    told: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers["X-API-Key"] != "s3cret":
                self.reply(401, {"error": f"the key {self.headers['X-API-Key']} is wrong"})
            assert self.path == "/api/v1/servers/localhost/zones/example.com."
            records = [{**one, "ttl": 60} for one in told[-1:] if one["records"]]
            self.reply(200, {"kind": "Native", "rrsets": records})

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.extend(body["rrsets"])
            self.reply(204, None)

        def reply(self, status: int, body: Any) -> None:
            data = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", told
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


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
