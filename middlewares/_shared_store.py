"""Redis as the store that several machines share: its options, scripts that run in it, the answer when it is gone."""

from __future__ import annotations

import logging
from hashlib import sha1, sha256
from typing import Any, Final, Literal

from edgerouter.causes import CONFIGURATION, declare
from edgerouter.clients.redis import RedisError, RedisGone, Settings, client
from edgerouter.config.dynamic import Model
from edgerouter.config.types import Duration, Secret
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.proxy.failures import answer

log = logging.getLogger("edgerouter.worker")
_LONG: Final = 100  # characters of a source that stand in a key as they are

declare(
    "LIMIT_STORE_GONE",
    500,
    CONFIGURATION,
    "The Redis that counts for rateLimit or inFlightReq does not answer, and the configuration says to refuse then.",
    "Look at Redis; the middleware's page says how to let requests pass meanwhile.",
)


class RedisTLS(Model, frozen=True):
    """TLS to Redis."""

    # file of the authority that Redis's certificate is from; the system's when absent
    ca: str = ""
    # file of the certificate that is shown to Redis
    cert: str = ""
    # file of its key
    key: str = ""
    # believe any certificate
    insecure_skip_verify: bool = False


class RedisOptions(Model, frozen=True):
    """The shared store of several machines."""

    # addresses, host:port; the first that answers is used
    endpoints: tuple[str, ...] = ("localhost:6379",)
    tls: RedisTLS | None = None
    # user, where Redis has users
    username: str = ""
    # password
    password: Secret = Secret("")
    # number of the database
    db: int = 0
    # without effect: a worker has one connection
    pool_size: int = 0
    # without effect: a worker has one connection
    min_idle_conns: int = 0
    # without effect: a worker has one connection
    max_active_conns: int = 0
    # how long an answer may take
    read_timeout: Duration = Duration(3)
    # without effect: readTimeout counts from the command's writing
    write_timeout: Duration = Duration(3)
    # how long connecting may take
    dial_timeout: Duration = Duration(5)
    # what happens to requests while Redis does not answer: refuse or allow
    on_failure: Literal["refuse", "allow"] = "refuse"


class ScriptClient:
    """Runs Lua scripts for one middleware, ``kind`` and ``name``. Raises ValueError for addresses that are none."""

    def __init__(self, kind: str, options: RedisOptions, name: str) -> None:
        self._client = client(_settings(kind, options))
        self._kind = kind
        self._name = name
        self._shas: dict[str, str] = {}
        self._is_gone = False

    async def run(self, script: str, key: str, *words: str) -> Any:
        """The script's answer. Raises RedisGone, and RedisError when the server does not take the script."""
        try:
            reply = await self._run(script, (key, *words))
        except (RedisGone, RedisError) as error:
            self._tell(error)
            raise
        self._tell(None)
        return reply

    async def execute(self, *words: str) -> Any:
        """A plain command. Raises RedisGone, RedisError."""
        return await self._client.execute(*words)

    async def _run(self, script: str, words: tuple[str, ...]) -> Any:
        sha = self._shas.get(script)
        if sha is None:
            sha = self._shas[script] = sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            return await self._client.execute("EVALSHA", sha, "1", *words)
        except RedisError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        return await self._client.execute("EVAL", script, "1", *words)

    def key(self, room: str, source: str) -> str:
        """The key for what is counted of one source."""
        data = source.encode("utf-8", "surrogateescape")
        shown = source if len(source) <= _LONG and source.isascii() else sha256(data).hexdigest()
        return f"edgerouter:{room}:{self._name.replace(chr(10), ':')}{shown}"

    def _tell(self, error: Exception | None) -> None:
        """One line when it goes, one when it is back."""
        if (error is not None) == self._is_gone:
            return
        self._is_gone = error is not None
        who = self._name.replace("\n", " ").strip()
        if error is None:
            log.warning("%s %s: Redis answers again", self._kind, who)
        else:
            log.error("%s %s: Redis does not answer: %s", self._kind, who, error)


def store_gone(exchange: Exchange, kind: str, error: Exception) -> Response:
    """The refusal where ``onFailure`` is ``refuse``."""
    return answer(exchange, 500, "LIMIT_STORE_GONE", f"{kind}: Redis does not answer: {error}")


def _settings(kind: str, options: RedisOptions) -> Settings:
    for endpoint in options.endpoints or ("",):
        host, colon, port = endpoint.rpartition(":")
        if not host or not colon or not port.isdecimal():
            raise ValueError(f"{kind}: redis.endpoints: {endpoint!r} is no address; write host:port")
    tls = options.tls or RedisTLS()
    return Settings(
        endpoints=options.endpoints,
        username=options.username,
        password=options.password.reveal(),
        db=options.db,
        dial_timeout=float(options.dial_timeout),
        read_timeout=float(options.read_timeout),
        tls=options.tls is not None,
        ca=tls.ca,
        cert=tls.cert,
        key=tls.key,
        insecure=tls.insecure_skip_verify,
    )
