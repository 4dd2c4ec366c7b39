"""``python -m edgerouter`` is the ``edgerouter`` command."""

import sys

from edgerouter.cli import main

if __name__ == "__main__":
    sys.exit(main())
