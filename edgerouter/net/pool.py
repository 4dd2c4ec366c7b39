"""Connections to one address: idle ones kept, new ones made. No task is made for a request that finds an idle one.

Servers of any number of services that name one address in one way have one pool: its connections stay few and in use,
and what the network offers (``maxIdleConnsPerHost``) is counted by host, as Traefik's transport does.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from edgerouter.contracts.plugins import Server
from edgerouter.errors import ConnectRefused, ConnectTimeout, EdgeError, UntrustedUpstream
from edgerouter.net.clock import Clock
from edgerouter.net.proxied_connect import connect_as, connect_unix_as
from edgerouter.net.session import Session, Upstream
from edgerouter.net.tls_failures import check_peer_names, handshake_cut, upstream_failure
from edgerouter.net.turn import Turn
from edgerouter.net.upstream_connection import UpstreamConnection
from edgerouter.wire import http1


class TransportSettings:
    """How servers are reached (Traefik's ``serversTransport``); times in seconds, 0 is none."""

    def __init__(
        self,
        dial_timeout: float = 30.0,
        response_header_timeout: float = 0.0,
        idle_timeout: float = 90.0,
        max_idle: int = 200,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
        proxy_protocol: int = 0,
        peer_names: list[tuple[str, str]] | None = None,
    ) -> None:
        self.dial_timeout = dial_timeout
        self.response_header_timeout = response_header_timeout
        self.idle_timeout = idle_timeout
        self.max_idle = max_idle
        self.tls = tls
        self.server_name = server_name
        self.proxy_protocol = proxy_protocol  # version of the PROXY header, 0 for none
        self.peer_names = peer_names or []  # the server's certificate must bear one of these (kind, name)


class _Factory:
    """Gives the loop the protocol that is there already."""

    def __init__(self, connection: UpstreamConnection) -> None:
        self._connection = connection

    def __call__(self) -> UpstreamConnection:
        return self._connection


PoolKey = tuple[TransportSettings, str, str, int]


class Pools:
    """All pools of one engine by what they reach. Settings are told apart by identity: changed ones are new objects."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, limits: http1.Limits) -> None:
        self._loop = loop
        self._clock = clock
        self._limits = limits
        self._turn = Turn(loop)
        self._by_key: dict[PoolKey, Pool] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def join(self, server: Server, settings: TransportSettings) -> Pool:
        """Give a server the pool of its address, on its first request; ``Pool.leave`` is its end."""
        key = (settings, server.scheme, server.host, server.port)
        pool = self._by_key.get(key)
        if pool is None:
            pool = Pool(self._loop, self._clock, server, settings, self._limits, self._turn)
            if not server.retired:  # else nobody would ever leave it
                pool.keep_in(self._by_key, key)
        pool.users += 1
        server.pool = pool
        return pool


class Pool:
    """The pool of one address; lives as long as one of the servers that use it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        server: Server,
        settings: TransportSettings,
        limits: http1.Limits,
        turn: Turn,
    ) -> None:
        self.users = 0
        self.response_header_timeout = settings.response_header_timeout
        self._loop = loop
        self._clock = clock
        self._server = server
        self._settings = settings
        # A connection that began with a PROXY header is its client's, and serves no other's request.
        self._max_idle = 0 if settings.proxy_protocol else settings.max_idle
        self._limits = limits
        self._turn = turn
        self._over_tls = server.scheme == "https"
        self._closed = False
        self._home: dict[PoolKey, Pool] | None = None
        self._key: PoolKey | None = None
        self._idle: UpstreamConnection | None = None  # the last that came back; ``below`` it those that came before
        self._idle_number = 0
        self._connecting: dict[asyncio.Task[None], Session] = {}

    def keep_in(self, home: dict[PoolKey, Pool], key: PoolKey) -> None:
        """Stand in ``home`` until the last server has left."""
        self._home, self._key = home, key
        home[key] = self

    def leave(self) -> None:
        """One of the servers is gone from the configuration; the last one closes the pool."""
        self.users -= 1
        if self.users == 0:
            self.close()

    def acquire(self, session: Session, strict: bool, fresh: bool, limit: float = 0.0) -> Upstream | None:
        """Return an idle connection, or None: the session will hear of one at the end of the turn, or once it is made.

        ``strict`` is for requests that must not be sent twice, ``fresh`` for a second try. ``limit`` is a dial timeout
        in seconds, where it is shorter than the settings'; 0.0 is none. Those that can be sent twice wait for the end
        of the turn. Over TLS, what was read may be an end that the connection does not tell: each socket is looked at.
        """
        if not fresh and self._idle is not None:
            if not strict and limit <= 0.0 and not self._over_tls:
                self._turn.add(self, session)
                return None
            connection = self._take(strict, True)
            if connection is not None:
                return connection
        self._dial(session, limit)
        return None

    def give(self, session: Session) -> None:
        """The turn in which the session asked is over."""
        connection = self._take(False, False)
        if connection is not None:
            session.upstream_ready(connection)
        elif self._closed:
            session.upstream_failed(ConnectRefused("the server was taken out of service"), None)
        else:
            self._dial(session, 0.0)

    def _take(self, strict: bool, look: bool) -> UpstreamConnection | None:
        """An idle connection that can be used; those that cannot are closed, unless ``strict`` says that the reason may
        be the request."""
        connection = self._idle
        while connection is not None:
            if connection.usable(self._clock.now, strict, look):
                self._idle = connection.below
                self._left_idle(connection)
                connection.deadline = 0.0
                return connection
            if strict:
                break
            connection.close()
            connection = self._idle
        return None

    def _dial(self, session: Session, limit: float) -> None:
        task = self._loop.create_task(self._connect(session, limit))
        self._connecting[task] = session
        task.add_done_callback(self._dialled)

    def _dialled(self, task: asyncio.Task[None]) -> None:
        """A dial is over. One that was given up says nothing itself: it may not even have begun."""
        session = self._connecting.pop(task)
        if task.cancelled() and self._closed:
            session.upstream_failed(ConnectRefused("the server was taken out of service"), None)

    def release(self, connection: UpstreamConnection) -> None:
        """Take a connection back."""
        if connection.idle or self._idle_number >= self._max_idle:  # none stands in the chain twice
            connection.close()
            return
        connection.idle = True
        connection.below = self._idle
        self._idle = connection
        self._idle_number += 1
        self._clock.schedule(connection, self._settings.idle_timeout)

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection is closed."""
        if not connection.idle:
            return
        if self._idle is connection:
            self._idle = connection.below
        else:
            for above in self.idle():
                if above.below is connection:
                    above.below = connection.below
                    break
        self._left_idle(connection)

    def _left_idle(self, connection: UpstreamConnection) -> None:
        connection.idle = False
        connection.below = None
        self._idle_number -= 1

    def idle(self) -> list[UpstreamConnection]:
        """The connections that wait for a request, the last that came back first."""
        found: list[UpstreamConnection] = []
        connection = self._idle
        while connection is not None:
            found.append(connection)
            connection = connection.below
        return found

    def close(self) -> None:
        """The address is gone from the configuration: close what is idle, keep nothing, and give up dialling it (a
        container that was removed answers no SYN), so that those who wait can try another server."""
        home, key = self._home, self._key
        if home is not None and key is not None:
            self._home = None
            home.pop(key, None)
        self._closed = True
        self._max_idle = 0
        for connection in self.idle():
            connection.close()
        for task in list(self._connecting):
            task.cancel()

    async def _connect(self, session: Session, limit: float) -> None:
        seconds = self._settings.dial_timeout
        if limit > 0.0 and (limit < seconds or seconds <= 0.0):
            seconds = limit
        try:
            async with asyncio.timeout(seconds or None):
                connection = await self._open(session)
        except EdgeError as error:
            session.upstream_failed(error, None)
        except TimeoutError:
            all_of_it = ", with its TLS handshake" if self._server.scheme == "https" else ""
            session.upstream_failed(ConnectTimeout(f"no connection{all_of_it} within {seconds:g} s"), None)
        except ssl.SSLError as error:
            session.upstream_failed(upstream_failure(error), None)
        except (ConnectionResetError, ConnectionAbortedError) as error:
            over_tls = self._server.scheme == "https"
            session.upstream_failed(handshake_cut() if over_tls else ConnectRefused(str(error)), None)
        except Exception as error:  # OSError as a rule; whatever it is, somebody waits for the outcome
            session.upstream_failed(ConnectRefused(str(error)), None)
        else:
            session.upstream_ready(connection)

    async def _open(self, session: Session) -> UpstreamConnection:
        connection = UpstreamConnection(self, self._clock, self._limits)
        server, settings = self._server, self._settings
        factory: Any = _Factory(connection)  # a protocol by duck typing, which typeshed cannot know
        if server.scheme == "unix":
            await self._open_unix(factory, session)
            return connection
        context = settings.tls if server.scheme == "https" else None
        if server.scheme == "https" and context is None:
            raise UntrustedUpstream("the transport has no TLS settings")
        name = (settings.server_name or server.host) if context is not None else None
        if settings.proxy_protocol:
            client, port = session.client()
            sock = await connect_as(self._loop, server.host, server.port, settings.proxy_protocol, client, port)
            made = await self._loop.create_connection(factory, sock=sock, ssl=context, server_hostname=name)
        else:
            made = await self._loop.create_connection(
                factory, server.host, server.port, ssl=context, server_hostname=name
            )
        if context is not None and settings.peer_names:
            self._check_peer(made[0], connection)
        return connection

    async def _open_unix(self, factory: Any, session: Session) -> None:
        version = self._settings.proxy_protocol
        if not version:
            await self._loop.create_unix_connection(factory, self._server.host)
            return
        client, port = session.client()
        sock = await connect_unix_as(self._loop, self._server.host, version, client, port)
        await self._loop.create_unix_connection(factory, sock=sock)

    def _check_peer(self, transport: Any, connection: UpstreamConnection) -> None:
        """Let go of a server whose certificate bears none of the names; raises UntrustedUpstream."""
        try:
            check_peer_names(transport.get_extra_info("ssl_object"), self._settings.peer_names)
        except UntrustedUpstream:
            connection.close()
            raise
