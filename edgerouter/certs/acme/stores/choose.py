"""``storage`` of a resolver -> the storage: a file's name, or a URL whose scheme says which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from edgerouter.certs.acme.storage import Storage
from edgerouter.certs.acme.stores.etcd import EtcdStorage
from edgerouter.certs.acme.stores.file import FileStorage
from edgerouter.certs.acme.stores.kubernetes import KubernetesStorage
from edgerouter.certs.acme.stores.redis import RedisStorage
from edgerouter.clients.references import Resolver
from edgerouter.config.late import REFERENCE
from edgerouter.errors import ConfigurationError

_KINDS: Final[dict[str, Callable[[SplitResult], Storage]]] = {
    "redis": RedisStorage,
    "rediss": RedisStorage,
    "etcd": EtcdStorage,
    "etcds": EtcdStorage,
    "kubernetes": KubernetesStorage,
}


def open_storage(place: str) -> Storage:
    """``place`` may hold ``${env:NAME}`` and ``${file:/path}``. Raises ConfigurationError; no server is asked."""
    scheme, found, _ = place.partition("://")
    if not found:
        return FileStorage(place)
    make = _KINDS.get(scheme)
    if make is None:
        known = ", ".join(f"{kind}://" for kind in _KINDS)
        raise ConfigurationError(f"there is no storage {scheme}://; write a file's name or one of {known}")
    try:
        whole = REFERENCE.sub(lambda match: quote(Resolver().resolve(match[0]), safe=""), place)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    parts = urlsplit(whole)
    try:
        _ = parts.port if "," not in parts.netloc else None
    except ValueError:
        words = f"this is no {scheme}:// URL; in a password / ? # @ are written %2F %3F %23 %40"
        raise ConfigurationError(words) from None
    return make(parts)
