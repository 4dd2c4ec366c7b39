"""One exchange as middlewares, rules and balancers see it: who asked, what was asked, what came back, and why."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

if TYPE_CHECKING:
    from edgerouter.http.body import Body
    from edgerouter.http.message import Request, Response


class Timeouts:
    """Limits of one router's exchanges in seconds, 0.0 is none (see the middleware ``timeouts``)."""

    def __init__(self, connect: float, first_byte: float, idle: float, total: float) -> None:
        self.connect = connect
        self.first_byte = first_byte
        self.idle = idle
        self.total = total


class Origin:
    """What the server answered, before any step changed it: noted where an access log asks for it. Times are the loop's
    clock in seconds; ``ended`` 0.0 while the response is coming."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.ended = 0.0
        self.status = 0
        self.body: Body | None = None
        self.headers: list[tuple[str, str]] | None = None


@mypyc_attr(allow_interpreted_subclasses=True)
class Exchange:
    """``cause`` is "" while all is well, else the word of ``errors`` that names the failure; ``detail`` a sentence.

    ``client_address`` is the peer's IP address (after any PROXY header), never X-Forwarded-For. ``slots`` holds one
    value a middleware, at the index it was given at build, ``choices`` one a service, by its name. ``started`` is the
    loop's clock in seconds.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.response: Response | None = None
        self.cause = ""
        self.detail = ""
        self.entrypoint = ""
        self.client_address = ""
        self.client_port = 0
        self.tls_version = ""
        self.tls_cipher = ""
        self.client_certificate = b""  # in DER form, b"" where the client showed none
        self.user = ""
        self.retries = 0
        self.started = 0.0
        self.route: object = None  # the engine's: what was matched, and where it goes
        self.leaf: object = None
        self.server: object = None
        self._router = ""  # names that were given, in place of those
        self._service = ""
        self._server_url = ""
        self.forwarded_for = True  # append the peer to X-Forwarded-For
        self.timeouts: Timeouts | None = None
        self.origin: Origin | None = None
        self.slots: list[object] | None = None
        self.choices: dict[str, object] | None = None

    # Names are looked up when they are asked for: of ten thousand routers they are not in the processor's cache.

    @property
    def router(self) -> str:
        """The qualified name of the router that was matched, or ""."""
        return self._router or self._name_of(self.route)

    @router.setter
    def router(self, name: str) -> None:
        self._router = name

    @property
    def service(self) -> str:
        """The qualified name of the service that was chosen, or ""."""
        return self._service or self._name_of(self.leaf)

    @service.setter
    def service(self, name: str) -> None:
        self._service = name

    @property
    def server_url(self) -> str:
        """The address of the server that was chosen last, or ""."""
        return self._server_url or self._name_of(self.server)

    @server_url.setter
    def server_url(self, url: str) -> None:
        self._server_url = url

    def _name_of(self, chosen: object) -> str:
        return ""

    def goes_to(self, leaf: object, server: object) -> None:
        """A service chose a server."""
        self.leaf = leaf
        self.server = server
        self._service = ""

    def fetch(self, service: object, request: Request) -> Awaitable[Response]:
        """Send a request of a middleware's own to a service, by its name (``name@provider``) or to one that it made for
        itself; its body can be read to the end."""
        raise RuntimeError("this exchange has no engine")

    def fetch_inside(self, after: object, request: Request) -> Awaitable[Response] | None:
        """As ``fetch``, but through the steps inside of ``after`` and to the router's service; it goes on when this
        exchange is over. None where ``after`` is no step of the router's own."""
        return None

    def slot(self, index: int) -> object:
        """Return what ``keep`` stored at the index, None at first."""
        slots = self.slots
        return None if slots is None or index >= len(slots) else slots[index]

    def keep(self, index: int, value: object) -> None:
        """Store a value for the rest of this exchange."""
        slots = self.slots
        if slots is None:
            slots = []
            self.slots = slots
        while len(slots) <= index:
            slots.append(None)
        slots[index] = value

    def choice(self, service: str) -> object:
        """Return what ``chose`` stored for the service, None at first."""
        choices = self.choices
        return None if choices is None else choices.get(service)

    def chose(self, service: str, choice: object) -> None:
        """Store what a service has to remember of this exchange."""
        choices = self.choices
        if choices is None:
            self.choices = {service: choice}
        else:
            choices[service] = choice
