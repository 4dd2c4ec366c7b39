"""A witness of the machine: for how long was a process that does nothing kept from running?

``python _witness.py FILE`` sleeps a millisecond at a time and keeps in FILE by how much, in seconds, the longest sleep
was too long. Beside a worker on the same core, and before it in the kernel's turns, it tells the stalls of the machine
(a hypervisor that gives the core to others) from those of the worker's loop.
"""

from __future__ import annotations

import pathlib
import sys
import time

SLEEP = 0.001


def main(path: pathlib.Path) -> None:
    longest = 0.0
    while True:
        before = time.monotonic()
        time.sleep(SLEEP)
        late = time.monotonic() - before - SLEEP
        if late > longest:
            longest = late
            path.write_text(f"{longest:.6f}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
