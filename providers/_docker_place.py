"""Where this process runs, read from its own machine: the id of its container, the host's address. No decisions."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_OWN_ID: Final = re.compile(r"/containers/([0-9a-f]{64})/|/docker[/-]([0-9a-f]{64})")


def own_id() -> str:
    """Return the id of the container that this process runs in, "" on a host."""
    if not Path("/.dockerenv").exists() and not Path("/run/.containerenv").exists():
        return ""
    for file in ("/proc/self/mountinfo", "/proc/self/cgroup"):
        with suppress(OSError):
            found = find_own_id(Path(file).read_text().splitlines())
            if found:
                return found
    return socket.gethostname()  # the daemon's default: the first 12 characters of the id


def find_own_id(lines: Iterable[str]) -> str:
    """Return the container's id that mounts or control groups name, "" when none does."""
    for line in lines:
        found = _OWN_ID.search(line)
        if found:
            return found.group(1) or found.group(2)
    return ""


def host_address() -> str:
    """The address of the host as containers see it, where the daemon gives it a name; "" else."""
    if not Path("/.dockerenv").exists():
        return ""
    hosts = Path("/etc/hosts")
    with suppress(OSError):
        for line in hosts.read_text().splitlines():
            address, *names = line.split("#", 1)[0].split() or [""]
            if {"host.docker.internal", "host.containers.internal"} & set(names):
                return address
    return ""
