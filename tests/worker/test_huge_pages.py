"""Memory that a large plan takes is moved to huge pages where the machine lets it, and nothing else is touched."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from edgerouter.worker.huge_pages import SIZE, WORTH, HugePages, allowed, collapse, ranges

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


def huge() -> int:
    found = re.search(r"^AnonHugePages: +(\d+) kB", Path("/proc/self/smaps_rollup").read_text(), re.M)
    assert found is not None
    return int(found[1]) * 1024


async def grown(pages: HugePages) -> list[bytes]:
    before = huge()
    held = [b"%7d" % i * 140 for i in range(WORTH // 500)]  # twice what is worth it, in small objects
    pages.swapped()
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0.01)
    if allowed():
        assert huge() - before >= SIZE
    else:
        assert huge() == before
    return held


def test_a_process_that_has_grown_gets_huge_pages_and_keeps_its_content() -> None:
    async def steps() -> None:
        async with asyncio.timeout(60):
            pages = HugePages(asyncio.get_running_loop())
            pages.swapped()
            assert len(asyncio.all_tasks()) == 1  # nothing has grown
            held = await grown(pages)
            assert all(text == b"%7d" % i * 140 for i, text in enumerate(held))

    asyncio.run(steps())


def test_what_is_no_more_mapped_does_no_harm() -> None:
    assert not collapse(2**46)
