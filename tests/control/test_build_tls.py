"""The build of what concerns TLS options: what is said of rules and suites that they do not fit."""

from __future__ import annotations

import msgspec
import pytest
from build_rig import made, router_entry, snapshot

from edgerouter.config.dynamic import ClientAuth, DynamicConfiguration, Router, RouterTLS, TlsConfiguration, TLSOptions
from edgerouter.contracts.snapshot import Snapshot

ASKS, NEW = TLSOptions(client_auth=ClientAuth("RequireAnyClientCert")), TLSOptions(min_version="VersionTLS13")
OTHERS_TOO = [  # rule, options, whether the router is refused, whether anything is said
    ("Host(`b.example`)", "asks", False, False),
    ("Host(`b.example`) && PathPrefix(`/x`)", "asks", False, False),
    ("(Host(`b.example`) || Host(`*.b.example`)) && !Path(`/x`)", "asks", False, False),
    ("Host(`b.example`) || PathPrefix(`/x`)", "asks", False, True),
    ("Host(`b.example`) || !Host(`a.example`)", "asks", False, True),
    ("Host(`b.example`) || HostRegexp(`^b`)", "asks", False, True),
    ("Host(`b.example`) || PathPrefix(`/x`)", "new", False, True),
    ("Host(`b.example`) || PathPrefix(`/x`)", "default", False, False),
    ("PathPrefix(`/x`)", "asks", True, True),
    ("PathPrefix(`/x`)", "new", True, True),
    ("PathPrefix(`/x`)", "default", False, False),
]


@pytest.mark.parametrize(("rule", "options", "refused", "said"), OTHERS_TOO)
def test_a_rule_for_other_hosts_than_its_options_hold_for(rule: str, options: str, refused: bool, said: bool) -> None:
    """Options hold for handshakes with names of the rule; requests of another name meet 421 (net.test_tls_front)."""
    router = Router(rule=rule, service="s", tls=RouterTLS(options=options), entry_points=("web",))
    given = snapshot({"r": router})
    tls = TlsConfiguration(options={"asks": ASKS, "new": NEW})
    result = made(
        file=msgspec.structs.replace(given, configuration=msgspec.structs.replace(given.configuration, tls=tls))
    )
    assert bool(router_entry(result, "r@file").refused) is refused
    told = [problem.message for problem in result.problems if problem.path == "http.routers.r.tls.options"]
    assert bool(told) is said


SUITE = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
CBC = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"


@pytest.mark.parametrize(("suites", "said"), [((), False), ((CBC, SUITE), False), ((SUITE,), True)])
def test_suites_that_cannot_be_spoken_with_old_versions(suites: tuple[str, ...], said: bool) -> None:
    tls = TlsConfiguration(options={"old": TLSOptions(min_version="VersionTLS11", cipher_suites=suites)})
    result = made(file=Snapshot(configuration=DynamicConfiguration(tls=tls)))
    assert ("tls.options.old.cipherSuites" in [problem.path for problem in result.problems]) is said
