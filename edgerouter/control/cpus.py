"""How many workers this machine pays for: CPUs by affinity and cgroup quota. Pure reading of /proc and /sys."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

MOST: Final = 8
_CGROUP: Final = Path("/sys/fs/cgroup")


def worker_count(configured: int) -> int:
    """``configured`` when it is not 0, else the CPUs that affinity and cgroup quota allow, from 1 to ``MOST``."""
    if configured > 0:
        return configured
    return max(1, min(len(os.sched_getaffinity(0)), quota_cpus(), MOST))


def quota_cpus(root: Path = _CGROUP, own: Path = Path("/proc/self/cgroup")) -> int:
    """CPUs of the tightest quota from this process's cgroup up (v2 cpu.max, v1 cfs quota), rounded up; many if none."""
    quotas = [quota for folder in _folders(root, own) for quota in (_v2(folder), _v1(folder)) if quota]
    return max(1, math.ceil(min(quotas))) if quotas else 1 << 16


def _folders(root: Path, own: Path) -> list[Path]:
    """The root's folders stand for a container that sees its own cgroup as the root."""
    found = [root, root / "cpu", root / "cpu,cpuacct"]
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        base = root if not controllers else root / controllers
        folder = base / path.lstrip("/")
        found.extend([folder, *(parent for parent in folder.parents if base in parent.parents)])
    return found


def _v2(folder: Path) -> float:
    words = _read(folder / "cpu.max").split()
    if len(words) != 2 or words[0] == "max":
        return 0.0
    return int(words[0]) / int(words[1])


def _v1(folder: Path) -> float:
    quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    if not quota or not period or int(quota) <= 0:
        return 0.0
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
