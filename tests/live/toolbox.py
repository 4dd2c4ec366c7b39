"""What live tests start and ask: the real router as a subprocess, an upstream that echoes, a one-shot HTTP client.

    async def test_it(tmp_path):
        async with EchoServer() as echo:
            dynamic = {"http": {"routers": {"r": {"rule": "Host(`a.test`)", "service": "s"}},
                                "services": {"s": {"loadBalancer": {"servers": [{"url": echo.url}]}}}}}
            async with Router(tmp_path, dynamic=dynamic, workers=2) as router:
                reply = await fetch(router.port("web"), "/x", host="a.test")
                assert reply.json()["path"] == "/x"

``Router`` binds 127.0.0.1 with ports that the kernel chose, reads them from the router's own log (JSON lines), stops by
SIGTERM and asserts exit code 0. Nothing in here knows how the router works inside.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0  # seconds that a condition is waited for; the machine may be busy
STARTS_WITHIN = 90.0  # seconds until a router says that it is ready: three programs of Python on a busy machine
_STALL = re.compile(r"^edgerouter_worker_loop_stall_seconds\{[^}]*\} (\S+)$", re.MULTILINE)


def merge(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """Nested dictionaries, ``high`` wins."""
    merged = dict(low)
    for key, value in high.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def wait_until(condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
    """The condition's first true value; AssertionError that says ``what`` was waited for."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {timeout} s in vain for {what}"
        time.sleep(0.02)


async def until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """``wait_until`` for tests whose own loop must go on (it serves the upstream, say)."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {patience} s in vain for {what}"
        await asyncio.sleep(0.02)


class Router:
    """The router as a subprocess. ``static`` is merged over a small static configuration, ``dynamic`` is what the
    file provider reads (None: no file provider). ``flags`` go on the command line, ``env`` into the environment."""

    def __init__(
        self,
        folder: Path,
        dynamic: dict[str, Any] | None = None,
        static: dict[str, Any] | None = None,
        flags: Sequence[str] = (),
        workers: int = 1,
        env: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.dynamic_file = folder / "dynamic.yaml"
        self.static_file = folder / "static.yaml"
        base: dict[str, Any] = {
            "entryPoints": {"web": {"address": "127.0.0.1:0"}, "traefik": {"address": "127.0.0.1:0"}},
            "workers": workers,
            "log": {"format": "json", "level": "DEBUG"},
        }
        if dynamic is not None:
            self.write_dynamic(dynamic)
            base["providers"] = {"file": {"filename": str(self.dynamic_file), "watch": True}}
        self.static_file.write_text(yaml.safe_dump(merge(base, static or {})))
        self.command = [sys.executable, "-m", "edgerouter", f"--configfile={self.static_file}", *flags]
        self._env = {**os.environ, "PYTHONPATH": os.pathsep.join(_python_path()), **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._ended = False
        self.lines: list[dict[str, Any]] = []
        self.stdout = folder / "stdout.txt"

    # -- life -------------------------------------------------------------------------------------------------------

    def start(self, ready: bool = True) -> Router:
        """Start it, and wait until it says that it is ready."""
        self._ended = False
        self.lines.clear()
        with self.stdout.open("ab") as stdout:
            self._process = subprocess.Popen(
                self.command, cwd=self.folder, env=self._env, stdout=stdout, stderr=subprocess.PIPE
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if ready:
            self.wait_log(event="ready", timeout=STARTS_WITHIN)
        return self

    def stop(self, code: int = 0, timeout: float = PATIENCE) -> None:
        """SIGTERM, then the exit code must be ``code``."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.wait_exit(code, timeout)

    def wait_exit(self, code: int, timeout: float = PATIENCE) -> None:
        """It must end by itself, with this exit code."""
        try:
            found = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the router did not end within {timeout} s:\n{self.log_text()}") from None
        assert self._reader is not None
        self._reader.join(timeout)
        self._ended = True
        assert found == code, f"exit code {found}, expected {code}:\n{self.log_text()}"

    def kill(self) -> None:
        """SIGKILL; its workers end by themselves."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Router:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None and self._ended:
            return
        if self.process.poll() is not None and kind is None:
            raise AssertionError(f"the router ended by itself ({self.process.returncode}):\n{self.log_text()}")
        if kind is None:
            self.stop()
            return
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE / 2)
        self.kill()
        print(self.log_text(), file=sys.stderr)

    async def __aenter__(self) -> Router:
        """As ``with``, while this test's loop goes on (when it serves the upstream of a draining request, say)."""
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *error: Any) -> None:
        await asyncio.to_thread(self.__exit__, *error)

    # -- what it says -----------------------------------------------------------------------------------------------

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The control process."""
        assert self._process is not None, "the router was not started"
        return self._process

    @property
    def pid(self) -> int:
        """The control process's id."""
        return self.process.pid

    def port(self, entry_point: str = "web") -> int:
        """The real port of an entry point."""
        for line in self.lines:
            if line.get("event") == "listening" and line.get("entryPoint") == entry_point:
                return int(line["port"])
        raise AssertionError(f"the log names no port for {entry_point}:\n{self.log_text()}")

    def find_log(self, text: str = "", since: int = 0, **fields: Any) -> dict[str, Any] | None:
        """The first log line that holds ``text`` in its message and has these fields."""
        for line in list(self.lines[since:]):
            if text in line.get("message", "") and all(line.get(name) == value for name, value in fields.items()):
                return line
        return None

    def wait_log(self, text: str = "", since: int = 0, timeout: float = PATIENCE, **fields: Any) -> dict[str, Any]:
        """Wait for such a line; AssertionError with the whole log when it does not come."""
        end = time.monotonic() + timeout
        while True:
            ended = self.process.poll() is not None
            found = self.find_log(text, since, **fields)
            if found is not None:
                return found
            assert not ended, f"the router ended ({self.process.returncode}):\n{self.log_text()}"
            assert time.monotonic() < end, f"no line with {text!r} {fields} within {timeout} s:\n{self.log_text()}"
            time.sleep(0.02)

    def log_text(self) -> str:
        """All that it wrote to standard error."""
        return "\n".join(json.dumps(line) for line in list(self.lines))

    def worker_pids(self) -> list[int]:
        """Process ids of its workers now, by the kernel's account."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(child) for child in children if _is_worker(int(child))]

    def put_workers_first(self) -> bool:
        """Let nobody take the workers' cores from them, so that their loops are late by their own work alone; whether
        that is permitted. Otherwise the kernel's turns, of 3 to 8 ms, count too."""
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK  # threads that a worker starts stay behind its loop
        try:
            for pid in self.worker_pids():
                os.sched_setscheduler(pid, policy, os.sched_param(1))
        except PermissionError:
            return False
        return True

    async def stalls(self) -> list[float]:
        """The longest stall of each worker's loop since it started, in seconds; as it reports twice a second."""
        return [float(text) for text in _STALL.findall((await fetch(self.port("traefik"), "/metrics")).text)]

    def write_dynamic(self, dynamic: dict[str, Any]) -> None:
        """Replace the file provider's file, at once."""
        fresh = self.dynamic_file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(dynamic))
        fresh.replace(self.dynamic_file)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for raw in self.process.stderr:
            text = raw.decode("utf-8", "replace").rstrip("\n")
            try:
                line = json.loads(text)
            except ValueError:
                line = {"message": text, "raw": True}
            self.lines.append(line if isinstance(line, dict) else {"message": text, "raw": True})


def _python_path() -> list[str]:
    """The checkout in front, except where Python was told to keep to what is installed (``make test`` does)."""
    checkout = [] if sys.flags.safe_path else [str(CHECKOUT)]
    return checkout + [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]


def _is_worker(pid: int) -> bool:
    try:
        return b"edgerouter-worker-" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


# -- a client ---------------------------------------------------------------------------------------------------------


@dataclass
class Reply:
    """A response. ``headers`` has lower-case names, the last value of each."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


async def fetch(
    port: int,
    path: str = "/",
    host: str = "localhost",
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    patience: float = PATIENCE,
    address: str = "127.0.0.1",
) -> Reply:
    """One request on a connection of its own. Raises OSError, EOFError, TimeoutError."""
    async with asyncio.timeout(patience):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            return await exchange(reader, writer, path, host, method, {"Connection": "close", **(headers or {})}, body)
        finally:
            writer.close()


async def exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    path: str = "/",
    host: str = "localhost",
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
) -> Reply:
    """One request on an open connection, which can be used again."""
    fields = {"Host": host, **(headers or {})}
    if body:
        fields["Content-Length"] = str(len(body))
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return await read_reply(reader, method)


async def read_reply(reader: asyncio.StreamReader, method: str = "GET") -> Reply:
    """Read one response; raises EOFError (asyncio.IncompleteReadError) when it is cut off."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    _, status, *reason = head[0].split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
    body = b""
    if method == "HEAD" or status in ("204", "304"):
        pass
    elif headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _chunks(reader)
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body = await reader.read()
    return Reply(int(status), "".join(reason), headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return b"".join(parts)


# -- an upstream ------------------------------------------------------------------------------------------------------


@dataclass
class EchoServer:
    """An HTTP/1.1 upstream that reports each request as JSON: name, method, path, headers (list of pairs), body.

    The query says more: ``?status=503`` answers so, ``?delay=1.5`` waits first, ``?size=N`` sends N bytes instead.
    ``requests`` counts; ``last`` is the newest report. Set ``status`` or ``delay`` to change every answer.
    """

    name: str = "echo"
    status: int = 200
    delay: float = 0.0
    port: int = 0
    requests: int = 0
    connections: int = 0
    last: dict[str, Any] = field(default_factory=dict)
    host: str = "127.0.0.1"
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``."""
        return f"http://{self.host}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port

    async def __aenter__(self) -> EchoServer:
        self._server = await asyncio.start_server(self._accepted, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        pairs = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:-2])]
        fields = {name.lower(): value for name, value in pairs}
        body = b""
        if fields.get("transfer-encoding", "").lower() == "chunked":
            body = await _chunks(reader)
        elif "content-length" in fields:
            body = await reader.readexactly(int(fields["content-length"]))
        self.requests += 1
        text = body.decode("latin-1")
        self.last = {"name": self.name, "method": method, "path": path, "headers": pairs, "body": text}
        await self._answer(writer, method, parse_qs(urlsplit(path).query), json.dumps(self.last).encode())
        return fields.get("connection", "").lower() != "close"

    async def _answer(
        self, writer: asyncio.StreamWriter, method: str, query: dict[str, list[str]], report: bytes
    ) -> None:
        await asyncio.sleep(float(query.get("delay", [self.delay])[0]))
        status = int(query.get("status", [self.status])[0])
        body = b"x" * int(query["size"][0]) if "size" in query else report
        head = f"HTTP/1.1 {status} Echo\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + (b"" if method == "HEAD" else body))
        await writer.drain()
