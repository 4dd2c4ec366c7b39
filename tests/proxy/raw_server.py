"""An upstream that believes nothing: it reads requests by the letter of RFC 9112, keeps every byte, and answers each
request with its own target, so that an answer in the wrong place is seen. Independent of the router's codec."""

from __future__ import annotations

import asyncio
import re

_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*", re.S)
_LINE = re.compile(rb"([A-Z][A-Z-]*) ([!-~]+) HTTP/1\.1")


class Seen:
    """One request as it stood on the wire."""

    def __init__(self, head: bytes) -> None:
        lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        match = _LINE.fullmatch(lines[0])
        assert match, f"not a request line: {lines[0]!r}"
        self.method, self.target = match.group(1).decode(), match.group(2).decode()
        self.fields: list[tuple[str, str]] = []
        for line in lines[1:]:
            field = _FIELD.fullmatch(line)
            assert field, f"not a field line: {line!r}"
            self.fields.append((field.group(1).decode().lower(), field.group(2).decode("latin-1")))
        self.body = b""
        self.complete = False

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.fields if known == name]

    @property
    def host(self) -> str:
        return self.all("host")[0]

    def facts(self) -> tuple[str, str, str, bytes]:
        return (self.method, self.target, self.host, self.body)


class RawServer:
    """``seen`` is every request whose head came, ``faults`` what no request may look like, ``raw`` all bytes.

    ``hostile`` maps a target to the bytes that are sent instead of an answer; ``close`` ends the connection then.
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.faults: list[str] = []
        self.raw = b""
        self.connections = 0
        self.hostile: dict[str, bytes] = {}
        self.close = False
        self.early = False  # answer when the head is there

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except AssertionError as error:
            self.faults.append(str(error))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            left = getattr(error, "partial", b"")
            if left and not (self.seen and not self.seen[-1].complete):
                self.faults.append(f"the connection ended in the middle of {left!r}")

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await self._take(reader.readuntil(b"\r\n\r\n"))
        request = Seen(head)
        self.seen.append(request)
        self._judge(request)
        if self.early:
            self._answer(request, writer)
        await self._body(request, reader)
        request.complete = True
        if not self.early:
            self._answer(request, writer)
        await writer.drain()
        return not (self.close and request.target in self.hostile)

    async def _take(self, reading: object) -> bytes:
        data: bytes = await reading  # type: ignore[misc]
        self.raw += data
        return data

    def _judge(self, request: Seen) -> None:
        lengths, codings = request.all("content-length"), request.all("transfer-encoding")
        assert len(request.all("host")) == 1, "not exactly one Host"
        assert len(lengths) + len(codings) <= 1, f"two framings: {lengths} {codings}"
        assert all(re.fullmatch(r"\d+", length) for length in lengths), lengths
        assert codings in ([], ["chunked"]), codings
        for name in ("expect", "keep-alive", "proxy-connection", "http2-settings", "transfer_encoding"):
            assert not request.all(name), f"{name} was forwarded"

    async def _body(self, request: Seen, reader: asyncio.StreamReader) -> None:
        if request.all("transfer-encoding"):
            while size := int(await self._line(reader), 16):
                request.body += await self._take(reader.readexactly(size))
                assert await self._line(reader) == b"", "a chunk is longer than its size"
            while await self._line(reader):
                pass
        elif request.all("content-length"):
            request.body = await self._take(reader.readexactly(int(request.all("content-length")[0])))

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        line = await self._take(reader.readuntil(b"\r\n"))
        return line[:-2]

    def _answer(self, request: Seen, writer: asyncio.StreamWriter) -> None:
        raw = self.hostile.get(request.target)
        if raw is None:
            text = b"" if request.method == "HEAD" else f"own:{request.target}".encode()
            raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(request.target) + 4, text)
        writer.write(raw)
