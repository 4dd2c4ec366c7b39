"""Questions to the router that runs on this machine, over its control socket: ``edgerouter explain`` and ``ledger``.

No port and no open API are needed: who may use the socket may ask. What is printed is made in ``explain_text``.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode, urlsplit

from edgerouter.control.runtime_dir import control_sockets

_SECONDS: Final = 30.0


class Unanswered(Exception):
    """Nobody answered, or with a refusal; says which and why."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)


def ask(path: str, query: Sequence[tuple[str, str]] = (), api: str = "", method: str = "GET") -> bytes:
    """Return the answer's body: from the newest router on this machine, or from the API at ``api`` (a URL such as
    http://127.0.0.1:8080). Raises Unanswered, also for every status but 200."""
    target = f"{path}?{urlencode(query)}" if query else path
    if api:
        parts = urlsplit(api if "://" in api else f"http://{api}")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return _read(kind(parts.netloc, timeout=_SECONDS), f"{parts.path.rstrip('/')}/api{target}", api)
    for place in control_sockets():
        connection = _UnixConnection(place)
        try:
            connection.connect()
        except OSError:
            continue  # left behind by a router that was killed
        return _read(connection, target, place, method)
    raise Unanswered("no router runs on this machine, or not as this user; with --api=URL another one is asked")


def _read(connection: http.client.HTTPConnection, target: str, place: str, method: str = "GET") -> bytes:
    try:
        connection.request(method, target)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unanswered(f"{place}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise Unanswered(f"{place} answers {response.status}: {body.decode(errors='replace')[:500]}")
    return body
