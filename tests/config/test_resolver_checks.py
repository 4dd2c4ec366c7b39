"""Resolvers that could never have a certificate are told before the router starts: ``check`` says it too."""

from __future__ import annotations

import pytest

from edgerouter.config.resolver_checks import resolver_faults
from edgerouter.config.resolvers import Acme, CertificateResolver, HttpChallenge, Local, OnDemand, TlsChallenge
from edgerouter.config.static import EntryPoint

TLS = TlsChallenge()
ASK = "https://a.test:9000/may?x=y"


@pytest.mark.parametrize(
    ("acme", "fault"),
    [
        (Acme(tls_challenge=TLS), ""),
        (Acme(), "certificatesResolvers.le.acme: no challenge is given; add httpChallenge"),
        (Acme(http_challenge=HttpChallenge(entry_point="web")), ""),
        (
            Acme(http_challenge=HttpChallenge(entry_point="wbe")),
            "httpChallenge.entryPoint: there is no entry point 'wbe'",
        ),
        (Acme(http_challenge=HttpChallenge()), "httpChallenge.entryPoint: there is no entry point ''"),
        (Acme(tls_challenge=TLS, on_demand=OnDemand(ask=ASK)), ""),
        *(
            (Acme(tls_challenge=TLS, on_demand=OnDemand(ask=url)), "onDemand.ask: without a URL no name is certified")
            for url in ("", "127.0.0.1/may", "ftp://a.test/may", "http:///may", "http://a.test:port/")
        ),
        (Acme(tls_challenge=TLS, on_demand=OnDemand(ask=ASK, burst=0)), "onDemand.burst: expected 1 or more, got 0"),
    ],
)
def test_faults(acme: Acme, fault: str) -> None:
    found = list(resolver_faults({"le": CertificateResolver(acme=acme)}, {"web": EntryPoint()}))
    told = [f"{'.'.join(one.path)}: {one.message}; {one.hint}" for one in found]
    assert len(told) == bool(fault) and all(fault in one for one in told), told


def test_an_authority_that_is_built_in_needs_no_challenge() -> None:
    assert list(resolver_faults({"dev": CertificateResolver(local=Local())}, {})) == []
