"""What the control process reads of and leaves on the machine: CPUs, its private folder, users, systemd's socket."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edgerouter.control.cpus import MOST, quota_cpus, worker_count
from edgerouter.control.notify import notify, watchdog_interval
from edgerouter.control.privileges import resolve_group, resolve_user
from edgerouter.control.runtime_dir import runtime_dir
from edgerouter.errors import ConfigurationError


@pytest.mark.parametrize(
    ("files", "own", "cpus"),
    [
        ({"a/b/cpu.max": "200000 100000"}, "0::/a/b", 2),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, "0::/a/b", 2),
        ({"cpu.max": "50000 100000"}, "0::/", 1),
        ({"cpu/x/cpu.cfs_quota_us": "300000", "cpu/x/cpu.cfs_period_us": "100000"}, "3:cpu:/x", 3),
        ({"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, "3:cpu:/x", 1 << 16),
        ({}, "0::/", 1 << 16),
    ],
)
def test_quota(tmp_path: Path, files: dict[str, str], own: str, cpus: int) -> None:
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (tmp_path / "own").write_text(own + "\n")
    assert quota_cpus(tmp_path / "cgroup", tmp_path / "own") == cpus


def test_worker_count() -> None:
    assert worker_count(13) == 13
    assert 1 <= worker_count(0) <= min(MOST, len(os.sched_getaffinity(0)))


def test_the_private_folder_is_private_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # a test's own folder may be too long for a socket's path
        monkeypatch.setenv("RUNTIME_DIRECTORY", short)
        with runtime_dir() as folder:
            assert folder.parent == Path(short)
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            (folder / "x").touch()
        assert not folder.exists()


def test_the_private_folder_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "missing"))
    with runtime_dir() as folder:
        assert folder.is_dir()


def test_users() -> None:
    assert resolve_user("root") == (0, 0)
    assert resolve_user("65532")[0] == 65532
    assert resolve_group("root") == 0
    with pytest.raises(ConfigurationError, match="nobody-of-this-name"):
        resolve_user("nobody-of-this-name")


DROP = """
import os, sys
from edgerouter.control.privileges import drop
drop(int(sys.argv[1]), int(sys.argv[2]), [sys.argv[3], "/no/such/file"])
print(os.getresuid(), os.getresgid(), sorted(os.getgroups()))
"""


def test_root_is_given_up_for_good_and_the_group_of_a_socket_stays(tmp_path: Path) -> None:
    """Who is not root can only stay what he is."""
    uid, gid, group = (65532, 65531, 65530) if os.getuid() == 0 else (os.getuid(), os.getgid(), os.getgid())
    (tmp_path / "docker.sock").touch()
    os.chown(tmp_path / "docker.sock", -1, group)
    done = subprocess.run(
        [sys.executable, "-c", DROP, str(uid), str(gid), str(tmp_path / "docker.sock")],
        capture_output=True,
        text=True,
        check=True,
    )
    groups = [group, gid] if os.getuid() == 0 else sorted(os.getgroups())
    assert done.stdout.strip() == f"{(uid,) * 3} {(gid,) * 3} {groups}"


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert sock.recv(100) == b"READY=1"
    notify("READY=1")  # nobody listens: no error
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    assert watchdog_interval() == 1.5
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_interval() == 0.0
