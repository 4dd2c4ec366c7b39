"""EdgeRouter: an edge router and reverse proxy. This file holds the version and the switch to pure mode, nothing else.

With ``EDGEROUTER_PURE=1`` in the environment every module of the package is loaded from its ``.py`` file, even where
a compiled one lies beside it.
"""

import os
import sys
from importlib.machinery import FileFinder, SourceFileLoader
from types import ModuleType

__version__ = "0.1.0"


def _prefer_sources(package_path: str) -> None:
    """Put a finder in front that knows only ``.py``, for the folders of this package alone."""

    def hook(path: str) -> FileFinder:
        if path != package_path and not path.startswith(package_path + os.sep):
            raise ImportError(path)
        return FileFinder(path, (SourceFileLoader, [".py"]))

    sys.path_hooks.insert(0, hook)
    for known in [p for p in sys.path_importer_cache if p.startswith(package_path)]:
        del sys.path_importer_cache[known]


if os.environ.get("EDGEROUTER_PURE") == "1":
    _prefer_sources(os.path.dirname(__file__))


def is_compiled() -> bool:
    """Tell whether the hot rooms run compiled: true when the HTTP/1 codec was loaded from an extension module."""
    from importlib import import_module

    codec: ModuleType = import_module("edgerouter.wire.http1")
    return not str(getattr(codec, "__file__", "")).endswith(".py")
