"""``python -m edgerouter`` is the ``edgerouter`` command."""

import sys

from edgerouter.cli import program

if __name__ == "__main__":
    sys.exit(program())
