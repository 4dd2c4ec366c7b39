"""What dns-lexicon's providers send first, with what lego's variables gave: a server that stands for all of them sees
the host and the login that each provider's interface asks for, and refuses."""

from __future__ import annotations

import http.server
import importlib
import importlib.machinery
import json
import socket
import ssl
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.resolver
import pytest
import trustme
from lexicon.config import ConfigResolver

from edgerouter.certs.acme.dns01.lexicon import PROVIDERS, Lexicon
from edgerouter.certs.acme.dns01.writers import make_writer
from edgerouter.certs.acme.refused import Refused

BEARER = "Bearer s3cret-token-of-more-than-24-letters"
TOKEN = BEARER.removeprefix("Bearer ")
# lego's provider, its variables, the host that is asked, what the first request must hold: headers, or else words of
# the body.
LOGINS: list[tuple[str, dict[str, str], str, dict[str, str] | list[str]]] = [
    ("cloudflare", {"CF_DNS_API_TOKEN": TOKEN}, "api.cloudflare.com", {"Authorization": BEARER}),
    (
        "cloudflare",
        {"CLOUDFLARE_API_KEY": "k3y", "CLOUDFLARE_EMAIL": "a@example.com"},
        "api.cloudflare.com",
        {"X-Auth-Key": "k3y", "X-Auth-Email": "a@example.com"},
    ),
    (
        "cloudflare",
        {"CF_DNS_API_TOKEN": TOKEN, "CF_API_EMAIL": "a@example.com"},
        "api.cloudflare.com",
        {"Authorization": BEARER},
    ),
    (
        "cloudflare",
        {"CF_DNS_API_TOKEN": TOKEN, "CF_API_EMAIL": "a@example.com", "CF_API_KEY": "k3y"},
        "api.cloudflare.com",
        {"X-Auth-Key": "k3y", "X-Auth-Email": "a@example.com"},
    ),
    ("digitalocean", {"DO_AUTH_TOKEN": TOKEN}, "api.digitalocean.com", {"Authorization": BEARER}),
    ("dnsimple", {"DNSIMPLE_OAUTH_TOKEN": TOKEN}, "api.dnsimple.com", {"Authorization": BEARER}),
    ("gandiv5", {"GANDIV5_PERSONAL_ACCESS_TOKEN": TOKEN}, "api.gandi.net", {"Authorization": BEARER}),
    ("gandi", {"GANDIV5_API_KEY": "s3cret"}, "api.gandi.net", {"Authorization": "Apikey s3cret"}),
    (
        "godaddy",
        {"GODADDY_API_KEY": "k3y", "GODADDY_API_SECRET": "s3cret"},
        "api.godaddy.com",
        {"Authorization": "sso-key k3y:s3cret"},
    ),
    ("hetzner", {"HETZNER_API_TOKEN": TOKEN}, "api.hetzner.cloud", {"Authorization": BEARER}),
    ("hetzner", {"HETZNER_API_KEY": "s3cret" * 5 + "xx"}, "dns.hetzner.com", {"Auth-API-Token": "s3cret" * 5 + "xx"}),
    (
        "inwx",
        {"INWX_USERNAME": "us3r", "INWX_PASSWORD": "s3cret"},
        "api.domrobot.com",
        [f"<name>{name}</name>\n<value><string>{value}" for name, value in (("user", "us3r"), ("pass", "s3cret"))],
    ),
    ("linode", {"LINODE_TOKEN": TOKEN}, "api.linode.com", {"Authorization": BEARER}),
    (
        "netcup",
        {"NETCUP_CUSTOMER_NUMBER": "12345", "NETCUP_API_KEY": "k3y", "NETCUP_API_PASSWORD": "s3cret"},
        "ccp.netcup.net",
        ['"customernumber": "12345"', '"apikey": "k3y"', '"apipassword": "s3cret"'],
    ),
    (
        "ovh",
        {
            "OVH_ENDPOINT": "ovh-eu",
            "OVH_APPLICATION_KEY": "k3y",
            "OVH_APPLICATION_SECRET": "s3cret",
            "OVH_CONSUMER_KEY": "c0nsumer",
        },
        "eu.api.ovh.com",
        {"X-Ovh-Application": "k3y", "X-Ovh-Consumer": "c0nsumer"},
    ),
    (
        "porkbun",
        {"PORKBUN_API_KEY": "k3y", "PORKBUN_SECRET_API_KEY": "s3cret"},
        "api.porkbun.com",
        ['"apikey": "k3y"', '"secretapikey": "s3cret"'],
    ),
    ("vultr", {"VULTR_API_KEY": TOKEN}, "api.vultr.com", {"Authorization": BEARER}),
]


class Everybody(http.server.ThreadingHTTPServer):
    """``seen``: host, headers and body of each request."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.seen: list[tuple[str, Any, str]] = []
        super().__init__(("127.0.0.1", 0), Refusing)
        self.socket = tls.wrap_socket(self.socket, server_side=True)

    def handle_error(self, *_: Any) -> None:
        """Who does not believe the certificate says so itself."""


class Refusing(http.server.BaseHTTPRequestHandler):
    server: Everybody

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        clock = self.path.endswith("/auth/time")  # OVH's comes before its first login
        if not clock:
            self.server.seen.append((self.headers["Host"], self.headers, body))
        answer = b"1700000000" if clock else json.dumps({"error": f"not {TOKEN} nor s3cret"}).encode()
        self.send_response(200 if clock else 403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_PUT = do_GET

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Everybody, Path]]:
    """It, and the file of the CA that its certificate is checked with."""
    authority = trustme.CA()
    trusted = tmp_path_factory.mktemp("everybody") / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*{host for _, _, host, _ in LOGINS}).configure_cert(context)
    server = Everybody(context)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server, trusted
    server.shutdown()
    thread.join(30)
    server.server_close()


@pytest.fixture
def asked(everybody: tuple[Everybody, Path], monkeypatch: pytest.MonkeyPatch) -> Everybody:
    """Every name leads to the server, whose zone is example.com."""
    server, trusted = everybody
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    monkeypatch.setenv("NO_PROXY", "*")
    place = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.server_port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: place)
    monkeypatch.setattr(dns.resolver, "zone_for_name", lambda *_, **__: dns.name.from_text("example.com."))
    server.seen.clear()
    return server


@pytest.mark.parametrize(("provider", "variables", "host", "login"), LOGINS)
def test_a_provider_is_sent_what_the_variables_gave(
    provider: str, variables: dict[str, str], host: str, login: Any, asked: Everybody
) -> None:
    writer = make_writer(provider, variables)
    with pytest.raises(Refused) as failure:
        writer.present("a.example.com", "_acme-challenge.a.example.com.", "proof")
    assert failure.value.code == "DNS_PROVIDER" and asked.seen, failure.value
    found, headers, body = asked.seen[0]
    assert found == host
    for one in login if isinstance(login, list) else ():
        assert one in body
    for name, value in login.items() if isinstance(login, dict) else ():
        assert headers[name] == value, dict(headers)
    said = str(failure.value)
    assert not any(value in said for value in variables.values()), said


def test_route53_has_its_keys_and_zone_where_its_library_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is one of 100 MB, so a few lines stand in its place; dns-lexicon's side of it is the real one."""
    given = {"AWS_ACCESS_KEY_ID": "k3y", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_HOSTED_ZONE_ID": "Z1"}
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(Refused, match="wants boto3 too: pip install boto3"):
        make_writer("route53", given)
    told: list[Any] = []

    class Client:
        def __init__(self, name: str, **options: str) -> None:
            told.append((name, options))

        def get_hosted_zone(self, **options: str) -> None:
            told.append(options)

    stands_in = types.ModuleType("boto3")
    stands_in.__dict__["client"] = Client
    stands_in.__spec__ = importlib.machinery.ModuleSpec("boto3", None)
    monkeypatch.setitem(sys.modules, "boto3", stands_in)
    writer = make_writer("route53", given)
    assert isinstance(writer, Lexicon)
    route53 = importlib.import_module("lexicon._private.providers.route53")
    monkeypatch.setattr(route53, "boto3", stands_in, raising=False)
    settings = {"provider_name": "route53", "domain": "example.com", "route53": writer._options}
    route53.Provider(ConfigResolver().with_dict(settings)).authenticate()
    assert told == [("route53", {"aws_access_key_id": "k3y", "aws_secret_access_key": "s3cret"}), {"Id": "Z1"}]


def test_every_provider_is_looked_at() -> None:
    """pdns has a server of its own in the tests beside these."""
    looked_at = {provider for provider, *_ in LOGINS} | {"pdns", "route53"}
    assert looked_at - {"gandi"} == set(PROVIDERS)
