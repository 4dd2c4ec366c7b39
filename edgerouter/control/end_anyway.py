"""The end of the control process, whatever hangs: a thread in the resolver, a plugin that does not hear, a dead disk.

Only for the time when no worker is left: what is cut off then is no request.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Final

LAST_SECONDS: Final = 3.0
log = logging.getLogger("edgerouter.control")


def end_within(seconds: float, code: int, folder: Path) -> None:
    """End this process with ``code`` in ``seconds``, if it has not ended by itself by then; ``folder`` is removed.

    The interpreter waits for its threads without end (``concurrent.futures``), and a look-up of a name may take half a
    minute: longer than ``docker stop`` waits (10 s) before it kills."""
    threading.Thread(target=_end, args=(seconds, code, folder), daemon=True, name="end-anyway").start()


def _end(seconds: float, code: int, folder: Path) -> None:
    time.sleep(seconds)
    names = sorted(thread.name for thread in threading.enumerate() if thread is not threading.current_thread())
    log.warning("ending without what has not ended in %g s: threads %s", seconds, ", ".join(names))
    shutil.rmtree(folder, ignore_errors=True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
