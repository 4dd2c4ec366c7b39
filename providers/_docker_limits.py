"""What labels may not do: name internal services, name files of the router's machine. Pure.

Labels are written by people who may not own the router; the provider's options ``allowInternal`` and ``filesRoot``
loosen this. A router that breaks a rule is left out; a middleware stays, refused, so that its routers answer 500.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from edgerouter.clients.references import is_outside
from edgerouter.config.dynamic import DynamicConfiguration, HttpConfiguration, Middleware, Router, TlsConfiguration
from edgerouter.config.types import Problem

# The last part of a label's path, in lower case, where its value may be the name of a file.
FILE_OPTIONS: Final = frozenset(
    (
        "usersfile",
        "keysfile",
        "jwksfile",
        "publickeyfile",
        "ca",
        "cert",
        "key",
        "certfile",
        "keyfile",
        "pagefile",
        "folder",
    )
)
_INTERNAL: Final = "@internal"


def _outside(value: str, root: str) -> bool:
    """True when ``value`` names a file that is not below ``root``. A certificate's text is no name."""
    if "-----BEGIN" in value or not value:
        return False
    return is_outside(value, root)


def _file_labels(labels: Mapping[str, str], prefixes: Iterable[str]) -> Iterable[tuple[str, list[str], str]]:
    starts = tuple(f"{prefix.lower()}." for prefix in prefixes)
    for key, value in labels.items():
        if key.rpartition(".")[2].lower() in FILE_OPTIONS and key.lower().startswith(starts):
            yield key, key.split("."), value


def _internal(router: Router) -> str:
    return next((name for name in (router.service, *router.middlewares) if name.endswith(_INTERNAL)), "")


def _fenced_routers(http: HttpConfiguration, title: str, provider: str, problems: list[Problem]) -> dict[str, Router]:
    kept = {}
    for name, router in http.routers.items():
        inner = _internal(router)
        if inner:
            message = f"{title}: labels may not use {inner}; the router is left out"
            hint = f"set providers.{provider}.allowInternal=true if everybody who writes labels may do this"
            problems.append(Problem(f"http.routers.{name}", message, hint))
        else:
            kept[name] = router
    return kept


def limit(
    configuration: DynamicConfiguration,
    labels: Mapping[str, str],
    prefixes: Iterable[str],
    *,
    title: str,
    allow_internal: bool,
    files_root: str,
    provider: str = "docker",
) -> tuple[DynamicConfiguration, list[Problem]]:
    """Return what of the labels' configuration is allowed, and a Problem for the rest."""
    problems: list[Problem] = []
    http = configuration.http
    routers = dict(http.routers) if allow_internal else _fenced_routers(http, title, provider, problems)
    middlewares = dict(http.middlewares)
    tls = configuration.tls
    for key, parts, value in _file_labels(labels, prefixes):
        if not _outside(value, files_root):
            continue
        hint = f"write the content itself, or set providers.{provider}.filesRoot to the folder that labels may name"
        problems.append(Problem(key, f"{title}: labels may not name files of the router's machine", hint))
        section = [part.lower() for part in parts[1:3]]
        if section == ["http", "middlewares"]:
            _refuse(middlewares, parts[3], key)
        elif section[:1] == ["tls"]:
            tls = TlsConfiguration()
    limited = msgspec.structs.replace(http, routers=routers, middlewares=middlewares)
    return msgspec.structs.replace(configuration, http=limited, tls=tls), problems


def _refuse(middlewares: dict[str, Middleware], name: str, key: str) -> None:
    for known in list(middlewares):
        if known.lower() == name.lower():
            middlewares[known] = Middleware("", None, f"{key}: labels may not name files")
