"""The storage in a file: private, whole, never written over what cannot be read; Traefik's is taken over and kept."""

from __future__ import annotations

import base64
import datetime
import errno
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from acme_page import options, serving
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from live.toolbox import CHECKOUT
from pebble_ca import Pebble, free_port

from edgerouter.certs.acme.authority import Authority
from edgerouter.certs.acme.storage import StorageError
from edgerouter.certs.acme.stores import _mounted
from edgerouter.certs.acme.stores.file import LEFT_BEHIND, FileStorage
from edgerouter.certs.acme.together import Together
from edgerouter.certs.acme.tokens import HttpProver, Tokens
from edgerouter.certs.local.ca import open_authority
from edgerouter.errors import ConfigurationError

WRITER = """
import sys
from edgerouter.certs.acme.stores.file import FileStorage
storage = FileStorage(sys.argv[1])
for number in range(100000):
    storage.put(f"le/certificates/n{number}.test", '{"key": "' + "k" * 20000 + '"}')
    print(number, flush=True)
"""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize(("call", "code"), [("fsync", errno.ENOSPC), ("replace", errno.EBUSY)])
def test_the_file_is_private_and_whole_when_a_change_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    path = tmp_path / "acme.json"
    storage = FileStorage(str(path))
    storage.put("le/account", '{"key": "k"}')
    assert mode_of(path) == 0o600
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError, match=f"{os.strerror(code)}; the file before is kept") as failure:
        storage.put("le/certificates/a.test", "{}")
    assert path.read_bytes() == before and files(tmp_path) == ["acme.json", "acme.json.lock"]
    assert ("mount its folder" in str(failure.value)) == (code == errno.EBUSY)


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that the kernel's list calls a mount point, in a folder whose name is escaped there."""
    path = tmp_path / "a b" / "acme.json"
    path.parent.mkdir()
    path.touch(0o600)
    listing = tmp_path / "mountinfo"
    escaped = str(path).replace(" ", "\\040")
    listing.write_text(f"22 1 0:21 / / rw - overlay overlay rw\n36 22 8:1 /x {escaped} rw - ext4 /dev/sda rw\n")
    monkeypatch.setattr(_mounted, "_MOUNTS", listing)
    return path


def test_a_file_that_is_mounted_by_itself_is_written_over(mounted: Path) -> None:
    """Nothing else can be done with it; the lock that routers of several containers share is the file itself."""
    storage, other = FileStorage(str(mounted)), FileStorage(str(mounted))
    before = mounted.stat().st_ino
    storage.put("le/certificates/a.test", '{"key": "' + "a" * 5000 + '"}')
    other.put("le/certificates/b.test", '{"key": "b"}')
    storage.delete("le/certificates/a.test")
    assert other.keys("le/") == storage.keys("le/") == ["le/certificates/b.test"]
    assert mounted.stat().st_ino == before and mode_of(mounted) == 0o600 and files(mounted.parent) == ["acme.json"]
    json.loads(mounted.read_text())


@pytest.mark.parametrize("left", ['{"format": "edgerou', "", "\0" * 40])
def test_a_mounted_file_whose_writer_was_killed_is_what_it_meant_to_write(mounted: Path, left: str) -> None:
    storage = FileStorage(str(mounted))
    storage.put("le/account", '{"key": "k"}')
    whole = mounted.read_bytes()
    mounted.write_text(left)
    _mounted.beside(mounted).write_bytes(whole)
    assert FileStorage(str(mounted)).get("le/account") == '{"key": "k"}'
    storage.put("le/certificates/a.test", "{}")
    assert files(mounted.parent) == ["acme.json"] and json.loads(mounted.read_text())["le/account"] == {"key": "k"}


def test_a_mounted_file_on_a_full_disk_is_as_it_was(mounted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = FileStorage(str(mounted))
    storage.put("le/account", '{"key": "k"}')
    before = mounted.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(StorageError, match="No space left on device; the file before is kept"):
        storage.put("le/certificates/a.test", '{"key": "' + "a" * 5000 + '"}')
    assert mounted.read_bytes() == before and files(mounted.parent) == ["acme.json"]


def test_of_traefiks_file_that_is_mounted_the_text_is_kept_in_it(mounted: Path) -> None:
    theirs = json.dumps({"le": {"Account": None, "Certificates": None}})
    mounted.write_text(theirs)
    FileStorage(str(mounted)).put("le/account", '{"key": "k"}')
    assert json.loads(mounted.read_text())["before"] == theirs and files(mounted.parent) == ["acme.json"]


@pytest.mark.parametrize("words", ["is not whole JSON (byte ", "holds something else"])
def test_what_cannot_be_read_is_told_and_never_written_over(tmp_path: Path, words: str) -> None:
    path = tmp_path / "acme.json"
    text = '{"le/account": {"key": "s3cre' if "whole" in words else '["s3cret"]'
    path.write_text(text)
    path.chmod(0o600)
    storage = FileStorage(str(path))
    for ask in (
        lambda: storage.get("le/account"),
        lambda: storage.put("le/account", "{}"),
        lambda: storage.delete("le/account"),
        lambda: storage.lock("le/a.test", "me", 60),
        lambda: storage.keys("le/"),
    ):
        with pytest.raises(StorageError) as failure:
            ask()
        assert words in str(failure.value) and str(path) in str(failure.value) and "s3cre" not in str(failure.value)
    assert path.read_text() == text
    path.write_text("{}")
    storage.put("le/account", '{"key": "k"}')
    assert storage.get("le/account") == '{"key": "k"}'


def test_a_file_that_others_may_read_is_closed_to_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "acme.json"
    path.touch(0o644)
    path.chmod(0o644)
    storage = FileStorage(str(path))
    assert storage.get("le/account") is None and mode_of(path) == 0o600 and not caplog.records, "it held nothing"
    storage.put("le/account", '{"key": "s3cret"}')
    path.chmod(0o660)
    assert storage.get("le/account") == '{"key": "s3cret"}' and mode_of(path) == 0o600
    (line,) = caplog.messages
    assert f"{path} holds private keys, and its mode was 660: it is 600 now" in line and "s3cret" not in line


def test_a_mode_that_cannot_be_changed_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "acme.json"
    path.write_text("{}")
    path.chmod(0o644)

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refused)
    with pytest.raises(StorageError, match=rf"its mode is 644, .* chmod 600 {path}, or put it on a disk that keeps"):
        FileStorage(str(path)).put("le/account", "{}")
    assert path.read_text() == "{}"


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"{tmp_path} is a folder; name a file in it, as {tmp_path}/acme\.json"
    ):
        FileStorage(str(tmp_path))
    with pytest.raises(StorageError, match="its folder is not there"):
        FileStorage(str(tmp_path / "none" / "acme.json")).put("le/account", "{}")


def test_the_file_is_read_again_when_it_has_changed_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a start with a thousand names would read it a thousand times."""
    reads: list[Path] = []
    read = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *more, **rest: (reads.append(path), read(path, *more, **rest))[1])
    storage = FileStorage(str(tmp_path / "acme.json"))
    storage.put("le/account", "1")
    reads.clear()
    for _ in range(100):
        assert storage.get("le/account") == "1" and storage.keys("le/") == ["le/account"]
    storage.delete("le/none")
    assert len(reads) == 1
    FileStorage(str(tmp_path / "acme.json")).put("le/account", "2")
    assert storage.get("le/account") == "2"
    (tmp_path / "acme.json").chmod(0o644)
    assert storage.get("le/account") == "2" and mode_of(tmp_path / "acme.json") == 0o600


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "acme.json").symlink_to(tmp_path / "disk" / "acme.json")
    FileStorage(str(tmp_path / "acme.json")).put("le/account", '{"key": "k"}')
    assert (tmp_path / "acme.json").is_symlink() and '"k"' in (tmp_path / "disk" / "acme.json").read_text()


def test_a_writer_that_is_killed_loses_nothing_that_it_had_kept(tmp_path: Path) -> None:
    """At any moment: also what it left beside the file is taken away, once it is surely nobody's."""
    path = tmp_path / "acme.json"
    kept = 0
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHECKOUT) as writer:
            assert writer.stdout is not None
            for _ in range(3):
                kept = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
        names = FileStorage(str(path)).keys("le/certificates/")
        assert {f"le/certificates/n{number}.test" for number in range(kept + 1)} <= set(names)
        assert mode_of(path) == 0o600
    left = tmp_path / ".acme.json.left"
    left.write_text("a key")
    FileStorage(str(path)).put("le/account", "{}")
    assert left.exists(), "another may be writing it"
    os.utime(left, (time.time() - LEFT_BEHIND - 1,) * 2)
    FileStorage(str(path)).put("le/account", "{}")
    assert not left.exists()


# -- Traefik's --------------------------------------------------------------------------------------------------------


def of_traefik(folder: Path) -> tuple[Path, dict[str, str]]:
    """The file, and the certificates in it by their main name: two have the same, and one is broken."""
    authority = open_authority(FileStorage(str(folder / "ca.json")), "old")
    now = datetime.datetime.now(datetime.UTC)
    given = [authority.issue(names, datetime.timedelta(days=90), now) for names in (("a.test",), ("a.test", "b.test"))]
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    der = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    account = {
        "Email": "a@example.com",
        "Registration": {"body": {"status": "valid"}, "uri": "https://authority.test/acct/1"},
        "PrivateKey": base64.b64encode(der).decode(),
        "KeyType": "4096",
    }
    certificates = [
        {
            "domain": {"main": one.names[0], **({"sans": list(one.names[1:])} if one.names[1:] else {})},
            "certificate": base64.b64encode(one.certificate.encode()).decode(),
            "key": base64.b64encode(one.key.encode()).decode(),
            "Store": "default",
        }
        for one in given
    ]
    broken = {"domain": {"main": "c.test"}, "certificate": "s3cret", "Store": "default"}
    path = folder / "acme.json"
    text = {"le": {"Account": account, "Certificates": [*certificates, broken]}, "new": {"Account": None}, "odd": 1}
    path.write_text(json.dumps(text, indent=2))
    path.chmod(0o600)
    return path, {",".join(one.names): one.key for one in given}


def test_traefiks_file_is_taken_over_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, keys = of_traefik(tmp_path)
    before = path.read_bytes()
    caplog.set_level(logging.INFO)
    storage = FileStorage(str(path))
    for _ in range(2):
        assert {",".join(one.names): one.key for one in Together(storage, "le").all()} == keys
    assert path.read_bytes() == before, "to read it changes nothing"
    assert Together(storage, "le").certificate(("a.test", "b.test")) is not None
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line.partition(": ")[2].partition(" ")[0] for line in warned] == ["le.Certificates[2]", "odd"], warned
    storage.put("le/certificates/d.test", "{}")
    storage.put("le/certificates/e.test", "{}")
    (copy,) = tmp_path.glob("acme.json.before-*")
    assert copy.read_bytes() == before and mode_of(copy) == 0o600 and "s3cret" not in caplog.text
    assert {",".join(one.names): one.key for one in Together(FileStorage(str(path)), "le").all() if one.names} == keys


def test_traefiks_account_is_ours(tmp_path: Path) -> None:
    path, _ = of_traefik(tmp_path)
    storage, tokens = FileStorage(str(path)), Tokens()
    before = json.loads(storage.get("le/account") or "")["key"]
    with Pebble(tmp_path, free_port(), free_port()).running() as pebble, serving(tokens, pebble.http_port):
        one = Authority(options(pebble), storage, "le", [HttpProver(tokens, 0)]).obtain(("d.example.com",))
        assert one.names == ("d.example.com",)
        account = json.loads(storage.get("le/account") or "")
        assert account["key"] == before and account["server"] == pebble.directory
