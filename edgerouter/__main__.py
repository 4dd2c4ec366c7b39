"""The program as the shell starts it: ``edgerouter``, and ``python -m edgerouter``. What it does is ``cli``'s."""

import os
import signal
import sys

from edgerouter.cli import main


def program() -> int:
    """The command's exit code. Whoever reads its output may stop reading (``edgerouter --help | head``)."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        return 128 + signal.SIGPIPE
    return code


if __name__ == "__main__":
    sys.exit(program())
