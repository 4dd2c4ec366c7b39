"""Memory that a large plan takes is moved to huge pages where the machine lets it, and nothing else is touched."""

from __future__ import annotations

import subprocess
import sys

from edgerouter.worker.huge_pages import collapse, ranges

SMAPS = """\
00400000-00c00000 rw-p 00000000 00:00 0                                  [heap]
Size:               8192 kB
Rss:                8000 kB
AnonHugePages:      2048 kB
VmFlags: rd wr mr mw me ac
00d00000-01300000 rw-p 00000000 00:00 0
Rss:                6144 kB
AnonHugePages:         0 kB
01400000-01800000 rw-p 00000000 00:00 0
Rss:                4096 kB
AnonHugePages:      4096 kB
7f0000000000-7f0000800000 rw-p 00000000 00:00 0                          [stack]
Rss:                8192 kB
AnonHugePages:         0 kB
7f0000800000-7f0001000000 rw-p 00000000 00:00 0
Rss:                6000 kB
AnonHugePages:         0 kB
7f0001000000-7f0001800000 rw-p 00000000 fd:00 99                         /usr/lib/library.so
Rss:                8192 kB
AnonHugePages:         0 kB
7f0001800000-7f0002000000 r--p 00000000 00:00 0
Rss:                8192 kB
AnonHugePages:         0 kB
7f0002000000-7f0002100000 rw-p 00000000 00:00 0
Rss:                1024 kB
AnonHugePages:         0 kB
"""


def test_ranges_are_whole_aligned_in_use_and_nobody_elses() -> None:
    heap = [0x400000, 0x600000, 0x800000, 0xA00000]
    assert ranges(SMAPS) == [*heap, 0xE00000, 0x1000000]


# In a process of its own: what other tests have left in this one's memory decides which mappings are full.
PROGRAM = """
import asyncio, pathlib, re
from edgerouter.worker.huge_pages import SIZE, WORTH, HugePages, allowed


def huge():
    return int(re.search("AnonHugePages: +([0-9]+) kB", pathlib.Path("/proc/self/smaps_rollup").read_text())[1]) * 1024


async def steps():
    looks = []
    pages = HugePages(asyncio.get_running_loop(), lambda: looks.append(huge()) or len(looks) > 3)
    pages.swapped()
    assert len(asyncio.all_tasks()) == 1, "nothing has grown"
    before = huge()
    held = [b"%7d" % i * 140 for i in range(WORTH // 400)]
    pages.swapped()
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0.01)
    assert all(text == b"%7d" % i * 140 for i, text in enumerate(held))
    assert set(looks[:4]) <= {before}, "requests were waiting"
    print((huge() - before) // SIZE, int(allowed()))


asyncio.run(steps())
"""


def test_a_process_that_has_grown_gets_huge_pages_and_keeps_its_content() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    moved, may = map(int, done.stdout.split())
    assert (moved > 0) == bool(may), done.stdout


def test_what_is_no_more_mapped_does_no_harm() -> None:
    assert not collapse(2**46)
