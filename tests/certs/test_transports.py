"""Files of serversTransports: mistakes are problems by name, new contents another version, broken ones keep theirs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from edgerouter.certs.store import Store
from edgerouter.config.decode import decode_dynamic
from edgerouter.config.dynamic import ServersTransport
from edgerouter.config.static import EntryPoint, StaticConfiguration
from edgerouter.contracts.plan import TransportEntry
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.build import Inputs, build
from edgerouter.control.build_keys import Keys

KEYS = trustme.KeyType.ECDSA
CA, OTHER = trustme.CA(key_type=KEYS), trustme.CA(key_type=KEYS)
TRUST = CA.cert_pem.bytes().decode()


def written(folder: Path, ca: trustme.CA = CA) -> Path:
    """An authority, a certificate of it and its key."""
    folder.mkdir(exist_ok=True)
    leaf = ca.issue_cert("router.test", key_type=KEYS)
    (folder / "ca.pem").write_bytes(ca.cert_pem.bytes())
    (folder / "c.pem").write_bytes(leaf.cert_chain_pems[0].bytes())
    (folder / "k.pem").write_bytes(leaf.private_key_pem.bytes())
    return folder


def snapshot(**transports: Any) -> Snapshot:
    configuration, problems = decode_dynamic({"http": {"serversTransports": transports}}, {}, "test")
    assert problems == []
    return Snapshot(configuration=configuration)


def options(folder: Path) -> dict[str, Any]:
    pair = {"certFile": str(folder / "c.pem"), "keyFile": str(folder / "k.pem")}
    return {"rootCAs": [str(folder / "ca.pem")], "certificates": [pair]}


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"rootCAs": ["/nowhere/ca.pem"]}, "rootCAs[0]: /nowhere/ca.pem cannot be read: No such file"),
    ({"rootCAs": [TRUST, "-----BEGIN X"]}, "rootCAs[1] holds no certificate in PEM form"),
    ({"certificates": [{"certFile": TRUST, "keyFile": "/nowhere/k.pem"}]}, "certificates[0].keyFile: /nowhere/k.pem"),
    ({"certificates": [{"certFile": TRUST, "keyFile": OTHER.private_key_pem.bytes().decode()}]}, "key values mismatch"),
    ({"cipherSuites": ["TLS_NONE"]}, "unknown cipher suite 'TLS_NONE'"),
    ({"minVersion": "1.2"}, "write one of VersionTLS10"),
    ({"maxVersion": "VersionTLS11"}, "below minVersion"),
]


@pytest.mark.parametrize(("given", "why"), BROKEN)
def test_what_cannot_be_used_is_named_and_spoils_no_other(given: dict[str, Any], why: str, tmp_path: Path) -> None:
    keyring = Store().load({"file": snapshot(broken=given, good=options(written(tmp_path)))})
    (problem,) = keyring.problems
    assert (problem.path, problem.source) == ("http.serversTransports.broken", "file") and why in problem.message
    assert "PRIVATE" not in problem.message and list(keyring.transports) == ["good@file"]


def test_the_static_one(tmp_path: Path) -> None:
    transport = ServersTransport(root_cas=("/nowhere/ca.pem",))
    (problem,) = Store(transport=transport).load({}).problems
    assert problem.path == "serversTransport" and "/nowhere/ca.pem" in problem.message
    good = ServersTransport(root_cas=(str(written(tmp_path) / "ca.pem"),))
    assert Store(transport=good).load({}).transports.keys() == {"default@internal"}


def test_files_swapped_by_a_link_are_another_version(tmp_path: Path) -> None:
    """As Kubernetes does it: the files are links into a folder that is a link itself."""
    for name, ca in (("one", CA), ("two", OTHER)):
        written(tmp_path / name, ca)
    current = tmp_path / "current"
    current.symlink_to("one")
    store, given = Store(), {"file": snapshot(t=options(current))}
    first = store.load(given).transports
    assert not store.changed() and store.load(given).transports == first
    os.symlink("two", tmp_path / "next")
    (tmp_path / "next").rename(current)
    assert store.changed()
    second = store.load(given)
    assert second.transports["t@file"] != first["t@file"] and second.problems == ()
    plans = [plan_of(given, one) for one in (first, second.transports, second.transports)]
    assert plans[0] != plans[1] == plans[2]


def plan_of(given: dict[str, Snapshot], transports: dict[str, str]) -> TransportEntry:
    static = StaticConfiguration(entry_points={"web": EntryPoint(address=":80")})
    keyring = msgspec.structs.replace(Store().load({}), transports=transports)
    entry = build(Inputs(static=static, snapshots=given, keyring=keyring), Keys()).plan.entries["transport:t@file"]
    assert isinstance(entry, TransportEntry)
    return entry


def test_workers_go_on_with_what_they_read(tmp_path: Path) -> None:
    written(tmp_path)
    store, given = Store(), {"file": snapshot(t=options(tmp_path))}
    first = store.load(given).transports
    (tmp_path / "c.pem").write_bytes(OTHER.issue_cert("x.test", key_type=KEYS).cert_chain_pems[0].bytes())
    assert store.changed()
    halfway = store.load(given)
    assert halfway.transports == first
    assert "key values mismatch; connections go on with what was read before" in halfway.problems[0].message
    written(tmp_path)
    whole = store.load(given)
    assert whole.problems == () and whole.transports != first


def test_texts_have_no_version() -> None:
    keyring = Store().load({"file": snapshot(t={"rootCAs": [TRUST]}, plain={})})
    assert (keyring.transports, keyring.problems) == ({}, ())
