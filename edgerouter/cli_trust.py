"""``edgerouter trust``: arguments and words. What is done lives in ``certs.local``; nothing may import this file but
``cli``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from edgerouter.certs.acme.storage import StorageError
from edgerouter.certs.acme.stores.choose import open_storage
from edgerouter.certs.local.ca import root_of
from edgerouter.certs.local.trust import OTHERS, Untrusted, install, remove
from edgerouter.config.static import StaticConfiguration
from edgerouter.errors import ConfigurationError

MODES: Final = ("--print", "--remove")
USAGE: Final = """\
Usage: edgerouter trust [--print|--remove] [the router's own flags]

Puts the root of every built-in authority (certificatesResolvers.NAME.local) into this system's store, and says how
other programs are told. --print: print the certificates instead. --remove: take them out again.
"""


def run(modes: Sequence[str], static: StaticConfiguration) -> int:
    """Exit code 0: done. 1: the system's store was not changed. 2: there is no built-in authority, or no storage."""
    places = {name: one.local.storage for name, one in static.certificates_resolvers.items() if one.local is not None}
    if not places:
        print("edgerouter trust: no resolver has one; add certificatesResolvers.NAME.local", file=sys.stderr)
        return 2
    try:
        roots = {name: root_of(open_storage(place), name) for name, place in places.items()}
    except (StorageError, ConfigurationError) as error:
        print(f"edgerouter trust: {getattr(error, 'message', error)}", file=sys.stderr)
        return 2
    if "--print" in modes:
        print("".join(roots.values()), end="")
        return 0
    return _change(roots, "--remove" in modes)


def _change(roots: Mapping[str, str], removing: bool) -> int:
    code = 0
    for name, pem in roots.items():
        try:
            place = remove(name) if removing else install(name, pem)
            print(f"OK: {name}: {'removed from' if removing else 'this system trusts'} {place}")
        except Untrusted as error:
            print(f"edgerouter trust: {name}: {error}", file=sys.stderr)
            code = 1
    if not removing:
        print(OTHERS, end="")
    return code
