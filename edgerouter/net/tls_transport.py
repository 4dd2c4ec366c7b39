"""TLS between a socket's transport and a protocol: for the socket a protocol, for what is behind a transport.

``ssl`` does the cryptography on bytes in memory; here is only who is handed which bytes when. It begins with a hello
that was read already, needs no task and no future, and writes once for each write of what is behind. Which context to
begin in is ``tls_front``'s decision.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any, Final

from mypy_extensions import mypyc_attr

from edgerouter.net.clock import Clock, Peer

_RECORD: Final = 16384  # bytes of plain text that one record holds at most
_HANDSHAKE_SECONDS: Final = 10.0  # from the hello to the client's last word


@mypyc_attr(allow_interpreted_subclasses=True)
class Opening(Peer):
    """Who waits for the end of a handshake."""

    def secured(self, transport: TlsTransport) -> Any:
        """The handshake is done: give the protocol for what follows, or None to close."""
        return None

    def failed(self, why: str) -> None:
        """It will not be done."""


class TlsTransport(Peer):
    """The server's side of one connection."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, raw: asyncio.Transport, context: ssl.SSLContext
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._raw: Any = raw
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        # SSLObject hands each call on to this one; on the way of every record that is worth leaving out.
        self._records: Any = getattr(self._ssl, "_sslobj", self._ssl)
        self._opening: Opening | None = None
        self._behind: Any = None
        self._paused = False
        self._closing = False
        self._eof = False

    # -- the handshake ------------------------------------------------------------------------------------------

    def begin(self, opening: Opening, data: bytes) -> None:
        """Take the socket over; ``data`` is what came of it, the hello first."""
        self._opening = opening
        self._clock.schedule(self, _HANDSHAKE_SECONDS)
        self._raw.set_protocol(self)
        self._incoming.write(data)
        self._shake()

    def _shake(self) -> None:
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, OSError) as error:
            self._flush()
            self._fail(_said(error))
            return
        self._flush()
        self._open()

    def _open(self) -> None:
        opening = self._opening
        assert opening is not None
        self._opening = None
        self.deadline = 0.0
        behind = opening.secured(self)
        if behind is None:
            self.close()
            return
        self._behind = behind
        behind.connection_made(self)
        if self._incoming.pending:
            self._deliver()

    def _fail(self, why: str) -> None:
        opening = self._opening
        self._opening = None
        self.deadline = 0.0
        self._closing = True
        if opening is not None:
            opening.failed(why)
        self._raw.close()

    def expired(self) -> None:
        """The clock's word: the handshake takes too long."""
        if self._opening is not None:
            self._fail(f"the client did not go on within {_HANDSHAKE_SECONDS:g} s")
            self._raw.abort()

    # -- what the socket says -----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._incoming.write(data)
        if self._behind is not None:
            self._deliver()
        elif self._opening is not None:
            self._shake()

    def _deliver(self) -> None:
        """Hand on what can be read, until there is nothing left or reading is paused."""
        connection, incoming = self._records, self._incoming
        while not self._paused and self._behind is not None:
            try:
                data = connection.read(min(incoming.pending, _RECORD) or _RECORD)  # what is asked for is allocated
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLError, OSError):
                self._flush()
                self.abort()
                return
            if not data:
                self._end()
                return
            self._behind.data_received(data)
            if not incoming.pending and not connection.pending():
                break
        if self._outgoing.pending:
            self._flush()  # an answer of the protocol's own, as to a change of keys

    def _end(self) -> None:
        """The client sends no more."""
        if self._eof or self._behind is None:
            return
        self._eof = True
        if not self._behind.eof_received():
            self.close()

    def eof_received(self) -> bool:
        """Called by the loop: the socket ended, with or without a word."""
        if self._behind is None:
            return False
        self._end()
        return not self._closing

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self.deadline = 0.0
        opening, behind = self._opening, self._behind
        self._opening = None
        self._behind = None
        self._closing = True
        if behind is not None:
            behind.connection_lost(exc)
        elif opening is not None:
            opening.failed("the client left within the handshake")

    def pause_writing(self) -> None:
        """Called by the loop."""
        if self._behind is not None:
            self._behind.pause_writing()

    def resume_writing(self) -> None:
        """Called by the loop."""
        if self._behind is not None:
            self._behind.resume_writing()

    # -- what is behind says ------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send."""
        if self._closing or not data:
            return
        try:
            written = self._records.write(data)
            if written < len(data):
                rest = memoryview(data)[written:]
                while rest:
                    rest = rest[self._records.write(rest) :]
        except (ssl.SSLError, OSError):
            self.abort()
            return
        self._raw.write(self._outgoing.read())

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())

    def pause_reading(self) -> None:
        """Hand on nothing more; what was decrypted by then is kept."""
        if not self._paused:
            self._paused = True
            if not self._raw.is_closing():
                self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Go on handing on."""
        if not self._paused:
            return
        self._paused = False
        if not self._raw.is_closing():
            self._raw.resume_reading()
        if self._incoming.pending or self._ssl.pending():
            self._loop.call_soon(self._deliver)

    def can_write_eof(self) -> bool:
        """TLS can say that one side sends no more (close_notify) while the other goes on."""
        return True

    def write_eof(self) -> None:
        """Say that nothing more will be sent."""
        self._say_goodbye()

    def _say_goodbye(self) -> None:
        with contextlib.suppress(ssl.SSLError, OSError, ValueError):  # as a rule the other side has not said it yet
            self._ssl.unwrap()
        self._flush()

    def close(self) -> None:
        """Send what is left, say goodbye, close."""
        if self._closing:
            return
        self._closing = True
        if self._behind is not None:
            self._say_goodbye()
        self._raw.close()

    def abort(self) -> None:
        """Reset the connection."""
        self._closing = True
        self._raw.abort()

    def is_closing(self) -> bool:
        """True from ``close`` or ``abort`` on."""
        return self._closing or self._raw.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As of any transport; ``ssl_object`` is ``ssl``'s."""
        if name == "ssl_object":
            return self._ssl
        return self._raw.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """Bytes that wait for the socket."""
        return int(self._raw.get_write_buffer_size())

    # -- facts --------------------------------------------------------------------------------------------------

    def version(self) -> str:
        """As in ``TLSv1.3``."""
        return self._ssl.version() or ""

    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite."""
        cipher = self._ssl.cipher()
        return cipher[0] if cipher is not None else ""

    def resumed(self) -> bool:
        """True when a ticket or session saved the full handshake."""
        return bool(self._ssl.session_reused)

    def protocol(self) -> str:
        """What ALPN chose, "" when nothing was asked for."""
        return self._ssl.selected_alpn_protocol() or ""

    def peer_certificate(self) -> bytes:
        """The client's certificate in DER, b"" when it gave none."""
        return self._ssl.getpeercert(True) or b""


def _said(error: Exception) -> str:
    """OpenSSL's reason as a person may read it."""
    reason = getattr(error, "reason", None)
    return str(reason).lower().replace("_", " ") if reason else str(error)
