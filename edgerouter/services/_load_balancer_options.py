"""The options of ``loadBalancer``: shapes only. Apart from the class, which is compiled and so must hold no Struct."""

from __future__ import annotations

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


def check_health(options: HealthCheck) -> None:
    """Raise ValueError for a health check that cannot be made."""
    for name, seconds in (
        ("interval", options.interval),
        ("unhealthyInterval", options.interval if options.unhealthy_interval is None else options.unhealthy_interval),
        ("timeout", options.timeout),
    ):
        if seconds <= 0:
            raise ValueError(f"healthCheck.{name}: expected more than 0, got {seconds:g}")
    _check_question(options)
    for name, value in options.headers.items():
        if not name or any(character in name + value for character in "\r\n\0"):
            raise ValueError(f"healthCheck.headers: {name!r} is no header, or its value holds a line break")


def _check_question(options: HealthCheck) -> None:
    if options.mode not in ("http", "grpc"):
        raise ValueError(f"healthCheck.mode: {options.mode!r} is neither http nor grpc")
    if options.scheme not in ("", "http", "https"):
        raise ValueError(f"healthCheck.scheme: {options.scheme!r} is neither http nor https")
    if not 0 <= options.port <= 65535:
        raise ValueError(f"healthCheck.port: {options.port} is no port")
    if options.status and not 100 <= options.status <= 599:
        raise ValueError(f"healthCheck.status: {options.status} is no status code; write 0 for any of 2xx and 3xx")
    if "://" in options.path or any(character <= " " for character in options.path):
        raise ValueError(
            f"healthCheck.path: {options.path!r} is no path; write it as /health, and the host as hostname"
        )
    if not options.method.isalpha():
        raise ValueError(f"healthCheck.method: {options.method!r} is no method")


class Deploy(Model, frozen=True):
    """While servers are replaced."""

    # how long a request waits while no server is there, before it is answered 503; at most 100 wait
    hold: Duration = Duration(0)


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
    # while servers are replaced
    deploy: Deploy = Deploy()

    def warnings(self) -> tuple[str, ...]:
        """Return sentences on what works, but hardly as meant."""
        return cookie_warnings(self.sticky)
