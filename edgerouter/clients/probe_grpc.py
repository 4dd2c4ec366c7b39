"""One gRPC health check (grpc.health.v1.Health/Check) over HTTP/2, by h2: for the control process, never for a worker.

h2 speaks the protocol, the loop's streams carry it. grpcio would bring a C++ core with threads of its own for one call
with an empty message; httpx gives no trailers, and a gRPC status is one (docs/decisions/0012).
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from edgerouter.clients.probe import AGENT, Dial, Probe, connect, said
from edgerouter.errors import EdgeError

METHOD: Final = "/grpc.health.v1.Health/Check"
_EMPTY_MESSAGE: Final = b"\0\0\0\0\0"  # not compressed, 0 bytes: HealthCheckRequest{service: ""}
_MOST: Final = 65536  # bytes of an answer
_STATES: Final = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_UNIMPLEMENTED: Final = "12"


async def probe_grpc(probe: Probe, tls: ssl.SSLContext | None, dial: Dial | None = None) -> str:
    """Ask; "" when the server says SERVING, else the sentence that says what it said instead. ``dial``: see there."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(probe.timeout or None):
            context = tls or ssl.create_default_context()
            context.set_alpn_protocols(["h2"])
            reader, writer = await connect(probe, context, dial)
            return await _Call(reader, writer).ask(probe)
    except TimeoutError:
        return f"no answer within {probe.timeout:g} s"
    except (OSError, EdgeError, EOFError, ProtocolError, ValueError) as error:
        return said(error)
    finally:
        if writer is not None:
            writer.transport.abort()


class _Call:
    """One call on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._fields: dict[str, str] = {}
        self._message = b""
        self._over = ""

    async def ask(self, probe: Probe) -> str:
        protocol = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        protocol.initiate_connection()
        protocol.send_headers(1, _request(probe))
        protocol.send_data(1, _EMPTY_MESSAGE, end_stream=True)
        while not self._over:
            self._writer.write(protocol.data_to_send())
            data = await self._reader.read(65536)
            if not data:
                return "the server closed the connection before its answer"
            for event in protocol.receive_data(data):
                self._take(event, protocol)
        return self._verdict() if self._over == "ended" else self._over

    def _take(self, event: Any, protocol: H2Connection) -> None:
        if isinstance(event, (ResponseReceived, TrailersReceived)):
            self._fields.update({str(name): str(value) for name, value in event.headers})
        elif isinstance(event, DataReceived):
            self._message = (self._message + event.data)[:_MOST]
            protocol.acknowledge_received_data(event.flow_controlled_length, 1)
        elif isinstance(event, StreamEnded):
            self._over = "ended"
        elif isinstance(event, StreamReset):
            self._over = f"the server reset the call (HTTP/2 error {event.error_code})"
        elif isinstance(event, ConnectionTerminated):
            self._over = self._over or f"the server closed the connection (HTTP/2 error {event.error_code})"

    def _verdict(self) -> str:
        if self._fields.get(":status") != "200":
            return f"HTTP status {self._fields.get(':status')} to a gRPC call"
        status = self._fields.get("grpc-status", "")
        if status == _UNIMPLEMENTED:
            return "the server has no gRPC health service (grpc.health.v1.Health)"
        if status != "0":
            return f"gRPC status {status or 'missing'}: {self._fields.get('grpc-message', '')}".rstrip(": ")
        state = serving_status(self._message[5:])
        return "" if state == 1 else f"it says {_STATES.get(state, state)}"


def _request(probe: Probe) -> list[tuple[str, str]]:
    parts = urlsplit(probe.url)
    fields = [
        (":method", "POST"),
        (":scheme", parts.scheme),
        (":path", METHOD),
        (":authority", probe.host or parts.netloc),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", AGENT),
        ("grpc-timeout", f"{max(1, int(probe.timeout * 1000))}m"),
    ]
    return fields + [(name.lower(), value) for name, value in probe.headers.items()]


def serving_status(message: bytes) -> int:
    """Field 1 of HealthCheckResponse, an enumeration; 0 when it is absent (protobuf leaves defaults out)."""
    at, found = 0, 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 2:
            size, at = _varint(message, at)
            at += size
        elif kind == 0:
            value, at = _varint(message, at)
            found = value if tag >> 3 == 1 else found
        else:
            at += 8 if kind == 1 else 4
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Raises ValueError for one that is cut off or too long."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("the answer is no protobuf message")
