"""The built-in authority: what it signs is believed by who trusts its root, and by nobody else."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import os
import shutil
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from edgerouter.certs.acme.storage import StorageError
from edgerouter.certs.acme.stores.file import FileStorage
from edgerouter.certs.acme.wanted import Wanted, hosts
from edgerouter.certs.local.ca import open_authority, root_of
from edgerouter.certs.local.provider import LocalProvider
from edgerouter.certs.local.trust import Untrusted, install, remove
from edgerouter.config.resolvers import Local
from edgerouter.config.types import Duration

NAMES = ("app.localhost", "*.dev.internal", "localhost", "192.0.2.7")


def believed(chain: str, root: str, name: str) -> bool:
    leaf, *rest = x509.load_pem_x509_certificates(chain.encode())
    store = Store(x509.load_pem_x509_certificates(root.encode()))
    try:
        subject: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        subject = x509.DNSName(name)
    try:
        PolicyBuilder().store(store).build_server_verifier(subject).verify(leaf, rest)
    except VerificationError:
        return False
    return True


def test_certificates_are_believed_by_who_trusts_the_root(tmp_path: Path) -> None:
    authority = open_authority(FileStorage(str(tmp_path / "a.json")), "dev")
    other = open_authority(FileStorage(str(tmp_path / "b.json")), "dev")
    one = authority.issue(NAMES, datetime.timedelta(days=7), datetime.datetime.now(datetime.UTC))
    for name in ("app.localhost", "x.dev.internal", "localhost", "192.0.2.7"):
        assert believed(one.certificate, authority.certificate, name)
    assert not believed(one.certificate, authority.certificate, "other.localhost")
    assert not believed(one.certificate, other.certificate, "app.localhost")
    assert "PRIVATE" not in one.certificate + authority.certificate


def test_there_is_one_root_however_many_make_it(tmp_path: Path) -> None:
    path = str(tmp_path / "ca.json")
    with pytest.raises(StorageError, match="there is no root of dev yet"):
        root_of(FileStorage(path), "dev")
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(open_authority(FileStorage(path), "dev").certificate))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 8 and len(set(found)) == 1
    assert root_of(FileStorage(path), "dev") == found[0]
    FileStorage(path).put("dev/root", '{"certificate": "x"}')
    with pytest.raises(StorageError, match="is no root certificate") as failure:
        open_authority(FileStorage(path), "dev")
    assert "BEGIN" not in str(failure.value)


async def test_what_is_wanted_is_there_at_once_and_renewed(tmp_path: Path) -> None:
    provider = LocalProvider("dev", Local(life=Duration(6)), FileStorage(str(tmp_path / "ca.json")))
    provider.want({("a.localhost",): Wanted(("a.localhost",), "r@file")}, frozenset())
    watching = provider.watch()
    async with asyncio.timeout(60):
        first = await anext(watching)
        (line,) = first.workloads
        assert (line.verdict, line.name, line.routers, line.kind) == (
            "ISSUED",
            "a.localhost",
            ("r@file",),
            "certificate",
        )
        second = await anext(watching)  # after two thirds of its life
        assert second.configuration.tls.certificates != first.configuration.tls.certificates
        provider.want({("b.localhost",): Wanted(("b.localhost",), "r@file")}, frozenset())
        while [one.name for one in second.workloads] != ["b.localhost"]:
            second = await anext(watching)
    await watching.aclose()


def test_names_of_one_label_and_addresses_are_for_local_authorities_only() -> None:
    rule = "Host(`localhost`) || Host(`a.localhost`) || Host(`192.0.2.1`) || Host(`a b`)"
    assert hosts(rule) == ["a.localhost"]
    assert hosts(rule, local=True) == ["localhost", "a.localhost", "192.0.2.1"]


def test_the_systems_store_takes_the_root_and_gives_it_back(tmp_path: Path) -> None:
    command = shutil.which("update-ca-certificates")
    if command is None:
        pytest.skip("no update-ca-certificates: apt-get install ca-certificates")
    root = open_authority(FileStorage(str(tmp_path / "ca.json")), "dev").certificate
    for folder in ("local", "etc", "hooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "conf").touch()
    other = open_authority(FileStorage(str(tmp_path / "other.json")), "dev").certificate
    (tmp_path / "local" / "other.crt").write_text(other)
    folders = {"localcertsdir": "local", "etccertsdir": "etc", "certsconf": "conf", "hooksdir": "hooks"}
    words = (
        command,
        "--fresh",
        *(word for name, place in folders.items() for word in (f"--{name}", str(tmp_path / place))),
    )
    stores = ((str(tmp_path / "nowhere"), ("true",)), (str(tmp_path / "local"), words))
    file = install("dev", root, stores)
    assert os.path.basename(file) == "edgerouter-dev.crt"
    bundle = tmp_path / "etc" / "ca-certificates.crt"
    assert root.strip() in bundle.read_text()
    remove("dev", stores)
    assert root.strip() not in bundle.read_text() and other.strip() in bundle.read_text()


def test_a_store_that_does_not_take_it_says_why(tmp_path: Path) -> None:
    with pytest.raises(Untrusted, match="no store of roots that is known here"):
        install("dev", "x", ((str(tmp_path / "nowhere"), ("true",)),))
    with pytest.raises(Untrusted, match="false ended with code 1"):
        install("dev", "x", ((str(tmp_path), ("false",)),))
    (tmp_path / "edgerouter-x.crt").mkdir()
    with pytest.raises(Untrusted, match=r"edgerouter-x.crt cannot be written: .*; run it as root"):
        install("x", "x", ((str(tmp_path), ("true",)),))
