"""``${env:...}`` and ``${file:...}`` in the section ``tls`` and in serversTransports."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from edgerouter.certs.store import Store
from edgerouter.clients.references import Limits
from edgerouter.config.decode import decode_dynamic
from edgerouter.config.static import StaticConfiguration
from edgerouter.config.types import hide_hook, reveal_hook
from edgerouter.contracts.messages import Delta
from edgerouter.contracts.plan import ServiceEntry, TlsOptionsEntry
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.build import Build, Inputs, build
from edgerouter.control.handover import pack_snapshots, unpack_snapshots
from edgerouter.control.prepare import kinds
from edgerouter.net.pool import TransportSettings
from edgerouter.providers._file_shelf import Shelf
from edgerouter.providers.file import merge
from edgerouter.telemetry.records import SharedRecords
from edgerouter.worker.assemble import Assembly

CA = trustme.CA(key_type=trustme.KeyType.ECDSA)
AUTHORITY = CA.cert_pem.bytes().decode()
LABELS = Limits(frozenset({"docker"}), {"docker": ""})
ENVIRONMENT = {"certFile": "${env:EDGE_CHAIN}", "keyFile": "${env:EDGE_KEY}"}
NO_KEY = "hunter2.Tr0ub4dor"


def issued(name: str) -> tuple[str, str]:
    leaf = CA.issue_cert(name, key_type=trustme.KeyType.ECDSA)
    return b"".join(pem.bytes() for pem in leaf.cert_chain_pems).decode(), leaf.private_key_pem.bytes().decode()


CHAIN, KEY = issued("a.test")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "chain.pem").write_text(CHAIN)
    (tmp_path / "ca.pem").write_text(AUTHORITY)
    values = {
        **{"EDGE_CHAIN": CHAIN, "EDGE_KEY": KEY, "EDGE_CA": AUTHORITY, "EDGE_CHAIN_PLACE": f"{tmp_path}/chain.pem"},
        **{"EDGE_13": "VersionTLS13", "EDGE_ON": "true", "EDGE_SECONDS": "7s", "EDGE_NO_KEY": NO_KEY},
        **{"EDGE_MODE": "RequireAndVerifyClientCert", "EDGE_CURVE": "CurveP256", "EDGE_SEVEN": "7"},
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    yield


def decoded(data: dict[str, Any]) -> Snapshot:
    configuration, problems = decode_dynamic(data, kinds(), "test")
    assert problems == []
    return Snapshot(configuration=configuration)


def made(snapshot: Snapshot, provider: str = "file", limits: Limits | None = None, store: Store | None = None) -> Build:
    limits = limits or Limits()
    snapshots = {provider: snapshot}
    keyring = (store or Store(limits=limits)).load(snapshots)
    static = StaticConfiguration()
    return build(Inputs(static=static, snapshots=snapshots, guard=limits.guard, roots=limits.roots, keyring=keyring))


def certificates(*pairs: dict[str, str]) -> Snapshot:
    return decoded({"tls": {"certificates": list(pairs)}})


# -- certificates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chain", ["${env:EDGE_CHAIN}", "${file:FOLDER/chain.pem}", "${env:EDGE_CHAIN_PLACE}", "FOLDER/${env:EDGE_PART}.pem"]
)
def test_certificates(chain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_PART", "chain")
    chain = chain.replace("FOLDER", str(tmp_path))
    snapshot = certificates({"certFile": chain, "keyFile": "${env:EDGE_KEY}"})
    built = made(snapshot)
    assert built.problems == ()
    (view,) = (view for view in built.certificates.values() if not view.default)
    assert (view.names, view.source) == (("a.test",), chain), "the reference is shown"
    shown = msgspec.json.encode([snapshot, built.certificates, built.problems], enc_hook=hide_hook).decode()
    assert KEY.splitlines()[2] not in shown


def test_the_default_certificate() -> None:
    built = made(decoded({"tls": {"stores": {"default": {"defaultCertificate": ENVIRONMENT}}}}))
    assert [view.names for view in built.certificates.values() if view.default] == [("a.test",)]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("${env:EDGE_NONE}", "keyFile: ${env:EDGE_NONE}: the router's environment has no EDGE_NONE"),
        ("${file:/nowhere/key.pem}", "keyFile: ${file:/nowhere/key.pem} cannot be read: No such file"),
        ("${env:EDGE_NO_KEY}", "keyFile: *** cannot be read"),
    ],
)
def test_a_bad_reference_is_named_never_quoted_and_spoils_no_other(key: str, message: str) -> None:
    built = made(certificates({"certFile": "${env:EDGE_CHAIN}", "keyFile": key}, ENVIRONMENT))
    (problem,) = built.problems
    assert message in problem.message and problem.path == "tls.certificates[0]"
    assert NO_KEY not in str(msgspec.json.encode([built.problems, built.certificates]))
    assert ("a.test",) in {view.names for view in built.certificates.values() if view.status == "enabled"}


def test_files_behind_references_are_watched_and_the_last_good_copy_goes_on(tmp_path: Path) -> None:
    chain, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    chain.write_text(CHAIN)
    key.write_text(KEY)
    snapshot = certificates({"certFile": f"${{file:{chain}}}", "keyFile": f"${{file:{key}}}"})
    store = Store()
    first = made(snapshot, store=store)
    assert not store.changed()
    renewed = issued("b.test")
    chain.write_text(renewed[0])  # its key is not there yet
    assert store.changed()
    between = made(snapshot, store=store)
    assert "last good copy" in between.problems[0].message
    assert {v.names for v in first.certificates.values()} <= {v.names for v in between.certificates.values()}
    key.write_text(renewed[1])
    assert store.changed()
    after = made(snapshot, store=store)
    assert ("b.test",) in {view.names for view in after.certificates.values()} and after.problems == ()


def test_labels_may_not_unless_they_are_trusted() -> None:
    given = decoded({"tls": {"stores": {"default": {"defaultCertificate": ENVIRONMENT}}}})
    barred = made(given, "docker", LABELS)
    assert "labels may not use the environment: ${env:EDGE_CHAIN}" in barred.problems[0].message
    assert ("a.test",) not in {view.names for view in barred.certificates.values()}
    assert made(given, "docker").problems == ()


# -- options ---------------------------------------------------------------------------------------------------------

OPTIONS = {
    "minVersion": "${env:EDGE_13}",
    "sniStrict": "${env:EDGE_ON}",
    "curvePreferences": ["${env:EDGE_CURVE}"],
    "clientAuth": {"clientAuthType": "${env:EDGE_MODE}", "caFiles": ["${env:EDGE_CA}", "${file:FOLDER/ca.pem}"]},
}


def options(tmp_path: Path, given: dict[str, Any]) -> dict[str, Any]:
    text = msgspec.json.encode({"tls": {"options": {"strict": given, "good": {}}}}).decode()
    found: dict[str, Any] = msgspec.json.decode(text.replace("FOLDER", str(tmp_path)))
    return found


def entry(built: Build, name: str) -> TlsOptionsEntry:
    found = next(e for e in built.plan.entries.values() if isinstance(e, TlsOptionsEntry) and e.name == name)
    assert isinstance(found, TlsOptionsEntry)
    return found


def test_options_of_every_shape(tmp_path: Path) -> None:
    built = made(decoded(options(tmp_path, OPTIONS)))
    assert built.problems == ()
    found = entry(built, "strict@file")
    assert (found.lowest, found.sni_strict, found.curves) == (0x0304, True, "P-256")
    assert (found.client_auth, found.authorities.count("BEGIN CERTIFICATE")) == ("RequireAndVerifyClientCert", 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"minVersion": "${env:EDGE_ON}"}, "minVersion: the value of ${env:EDGE_ON} does not fit"),
        ({"sniStrict": "${env:EDGE_NONE}"}, "the router's environment has no EDGE_NONE"),
        ({"clientAuth": {"caFiles": ["${env:EDGE_NONE}"]}}, "the router's environment has no EDGE_NONE"),
        ({"curvePreferences": ["${env:EDGE_ON}"]}, "curve"),
    ],
)
def test_options_that_cannot_be_settled_refuse_their_routers_only(
    given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    built = made(decoded(options(tmp_path, given)))
    assert message in entry(built, "strict@file").refused
    assert any(message in p.message and p.path.startswith("tls.options.strict") for p in built.problems)
    assert entry(built, "good@file").refused == ""


def test_options_of_labels(tmp_path: Path) -> None:
    snapshot = decoded(options(tmp_path, OPTIONS))
    assert "labels may not use" in entry(made(snapshot, "docker", LABELS), "strict@docker").refused


def test_they_survive_the_file_provider_and_a_live_upgrade(tmp_path: Path) -> None:
    transports = {"t": {"maxIdleConnsPerHost": "${env:EDGE_SEVEN}"}}
    text = msgspec.json.encode({**options(tmp_path, OPTIONS), "http": {"serversTransports": transports}})
    (tmp_path / "d").mkdir()
    (tmp_path / "d/one.yml").write_bytes(text)
    (tmp_path / "d/two.yml").write_bytes(text.replace(b"EDGE_13", b"EDGE_NONE").replace(b"EDGE_SEVEN", b"EDGE_NONE"))
    snapshot = merge(Shelf(str(tmp_path / "d"), True, kinds()).read())
    again = unpack_snapshots(pack_snapshots({"file": snapshot}), ["file"], kinds())["file"]
    assert again.configuration == snapshot.configuration
    built = made(again)
    assert entry(built, "strict@file").lowest == 0x0304, "the first file's references, as its options"
    assert "EDGE_SEVEN" in str(built.plan.entries["transport:t@file"])


# -- serversTransports -----------------------------------------------------------------------------------------------

TRANSPORT = {
    "rootCAs": ["${env:EDGE_CA}"],
    "certificates": [ENVIRONMENT],
    "serverName": "${env:EDGE_MODE}",
    "maxIdleConnsPerHost": "${env:EDGE_SEVEN}",
    "forwardingTimeouts": {"dialTimeout": "${env:EDGE_SECONDS}"},
}


def using(transport: dict[str, Any]) -> Snapshot:
    balancer = {"servers": [{"url": "https://127.0.0.1:9"}], "serversTransport": "t"}
    plain = {"servers": [{"url": "http://127.0.0.1:9"}]}
    services = {"s": {"loadBalancer": balancer}, "other": {"loadBalancer": plain}}
    return decoded({"http": {"services": services, "serversTransports": {"t": transport}}})


async def test_servers_transports() -> None:
    built = made(using(TRANSPORT))
    assert built.problems == ()
    plan = msgspec.json.encode(tuple(built.plan.entries.values()), enc_hook=reveal_hook).decode()
    assert "${env:EDGE_KEY}" in plan and KEY.splitlines()[2] not in plan, "only workers put values in"
    settings: dict[str, TransportSettings] = {}
    assembly = Assembly(settings, SharedRecords())
    for _ in assembly.note(Delta(generation=1, entries=tuple(built.plan.entries.values()))):
        pass
    await assembly.table()
    found = settings["t@file"]
    assert (found.dial_timeout, found.max_idle, found.server_name) == (7.0, 7, "RequireAndVerifyClientCert")
    assert isinstance(found.tls, ssl.SSLContext) and len(found.tls.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("transport", "message"),
    [
        (
            {"rootCAs": ["${env:EDGE_NONE}"]},
            "'t@file' cannot be used: ${env:EDGE_NONE}: the router",
        ),
        ({"maxIdleConnsPerHost": "${env:EDGE_ON}"}, "maxIdleConnsPerHost: the value of ${env:EDGE_ON} does not fit"),
    ],
)
def test_a_transport_that_cannot_be_settled_refuses_its_services_only(transport: dict[str, Any], message: str) -> None:
    built = made(using(transport))
    entries = {e.name: e for e in built.plan.entries.values() if isinstance(e, ServiceEntry)}
    assert message in entries["s@file"].refused and entries["other@file"].refused == ""
    assert any(message in problem.message for problem in built.problems)


def test_transports_of_labels() -> None:
    built = made(using(TRANSPORT), "docker", LABELS)
    assert any("labels may not use the environment" in problem.message for problem in built.problems)
