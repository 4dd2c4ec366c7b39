"""The storage in Redis: one hash for each section, ``prefix:le/certificates`` and its like, and a key for each lock.

What is written survives what the server survives: give it ``appendonly yes``, or what was issued since its last
snapshot is ordered anew after a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, parse_qs, urlunsplit

from edgerouter.certs.acme.storage import StorageError
from edgerouter.errors import ConfigurationError

SECONDS: Final = 5.0  # for an answer
# Compare and set in the server: two routers never have one lock.
_TAKE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
"""
_DROP: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_Answer = TypeVar("_Answer")


class RedisStorage:
    """``redis://user:password@host:6379/0?prefix=edgerouter``; ``rediss://`` with TLS, ``ca``, ``cert``, ``key``."""

    shared = True

    def __init__(self, place: SplitResult) -> None:
        """Raises ConfigurationError for a place that cannot be one, or without the library; asks nobody."""
        try:
            import redis
        except ImportError as error:
            raise ConfigurationError("Redis wants the extra: pip install 'edgerouter[redis]'") from error
        query = {name: values[-1] for name, values in parse_qs(place.query).items()}
        self._prefix = query.pop("prefix", "edgerouter")
        tls = {"ca": "ssl_ca_certs", "cert": "ssl_certfile", "key": "ssl_keyfile"}
        unknown = [name for name in query if name not in tls]
        if unknown or not place.hostname:
            hint = f"there is no {unknown[0]}" if unknown else "the host is missing"
            raise ConfigurationError(f"{hint}; write redis://host:6379/0?prefix=edgerouter")
        self._where = f"Redis at {place.hostname}:{place.port or 6379}"
        self._errors: Any = redis.RedisError
        settings: Any = {tls[name]: value for name, value in query.items()}
        bare = urlunsplit(place._replace(query=""))
        try:
            self._redis: Any = redis.Redis.from_url(
                bare, socket_timeout=SECONDS, socket_connect_timeout=SECONDS, decode_responses=True, **settings
            )
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"{self._where}: {error}") from error

    def get(self, key: str) -> str | None:
        """See ``Storage.get``."""
        section, name = self._split(key)
        found: str | None = self._ask(lambda: self._redis.hget(section, name))
        return found

    def put(self, key: str, value: str) -> None:
        """See ``Storage.put``."""
        section, name = self._split(key)
        self._ask(lambda: self._redis.hset(section, name, value))

    def delete(self, key: str) -> None:
        """See ``Storage.delete``."""
        section, name = self._split(key)
        self._ask(lambda: self._redis.hdel(section, name))

    def keys(self, prefix: str) -> list[str]:
        """See ``Storage.keys``."""
        section, begin = self._split(prefix)
        names: list[str] = self._ask(lambda: self._redis.hkeys(section))
        return sorted(f"{prefix.rpartition('/')[0]}/{name}" for name in names if name.startswith(begin))

    def lock(self, name: str, owner: str, seconds: float) -> bool:
        """See ``Storage.lock``."""
        milliseconds = max(1, round(seconds * 1000))
        return bool(self._ask(lambda: self._redis.eval(_TAKE, 1, self._lock(name), owner, milliseconds)))

    def unlock(self, name: str, owner: str) -> None:
        """See ``Storage.unlock``."""
        self._ask(lambda: self._redis.eval(_DROP, 1, self._lock(name), owner))

    def _split(self, key: str) -> tuple[str, str]:
        section, _, name = key.rpartition("/")
        return f"{self._prefix}:{section}", name

    def _lock(self, name: str) -> str:
        return f"{self._prefix}:locks/{name}"

    def _ask(self, ask: Callable[[], _Answer]) -> _Answer:
        try:
            return ask()
        except (self._errors, OSError) as error:
            raise StorageError(f"{self._where}: {error or type(error).__name__}") from error
