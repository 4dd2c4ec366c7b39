"""The options of ``loadBalancer``: shapes only. Apart from the class, which is compiled and so must hold no Struct."""

from __future__ import annotations

from typing import Any

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Duration
from edgerouter.services._options import Sticky, cookie_warnings


class ServerOptions(Model, frozen=True):
    """One server."""

    # http://host:port, https://host:port, h2c://host:port or unix:/path; a path in it is put before the request's
    url: str = ""
    # share of the requests; 0 takes the server out of rotation
    weight: int = 1
    # put the path of url before the request's path
    preserve_path: bool = False
    # it is about to end: only clients that are tied to it by a cookie still get it
    fenced: bool = False


class ResponseForwarding(Model, frozen=True):
    """How responses are passed on."""

    # accepted for compatibility: nothing is ever held back, what a server sends goes on at once
    flush_interval: Duration = Duration(0.1)


class HealthCheck(Model, frozen=True):
    """Active health checks: requests that the router makes by itself."""

    # path, and query, that is asked for
    path: str = ""
    # http or https instead of the server's own
    scheme: str = ""
    # http or grpc
    mode: str = "http"
    # method of the request
    method: str = "GET"
    # expected status code; 0: any of 2xx and 3xx
    status: int = 0
    # port instead of the server's own
    port: int = 0
    # time between two checks
    interval: Duration = Duration(30)
    # time between two checks of a server that is down; the same as interval when absent
    unhealthy_interval: Duration | None = None
    # how long an answer may take
    timeout: Duration = Duration(5)
    # Host field of the request
    hostname: str = ""
    # follow redirects
    follow_redirects: bool = True
    # further fields of the request
    headers: dict[str, str] = {}


class PassiveHealthCheck(Model, frozen=True):
    """Take a server out of rotation that fails requests."""

    # the time over which failures are counted, and for which the server stays out
    failure_window: Duration = Duration(10)
    # how many failures put the server out
    max_failed_attempts: int = 1


class Options(Model, frozen=True):
    """Options of ``loadBalancer``."""

    # the servers
    servers: tuple[ServerOptions, ...] = ()
    # how servers are picked: wrr, p2c, hrw or leasttime
    strategy: str = "wrr"
    # send the client's Host to the server, not the server's own
    pass_host_header: bool = True
    # how responses are passed on
    response_forwarding: ResponseForwarding = ResponseForwarding()
    # name of the serversTransport: how servers are reached
    servers_transport: str = ""
    # keep a client on the server that it got first
    sticky: Sticky | None = None
    # active health checks
    health_check: HealthCheck | None = None
    # passive health checks
    passive_health_check: PassiveHealthCheck | None = None

    def not_there_yet(self) -> tuple[str, ...]:
        """Return the options that are set, understood and have no effect in this version; build warns of each."""
        given: dict[str, Any] = {"healthCheck": self.health_check, "passiveHealthCheck": self.passive_health_check}
        return tuple(name for name, value in given.items() if value is not None)

    def warnings(self) -> tuple[str, ...]:
        """Return sentences on what works, but hardly as meant."""
        return cookie_warnings(self.sticky)
