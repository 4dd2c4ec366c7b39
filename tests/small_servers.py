"""Servers of a few lines in threads of their own, for blocking code under test: JSON over HTTP, and DNS."""

from __future__ import annotations

import contextlib
import http.server
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]


@contextlib.contextmanager
def json_server(answer: Callable[[str, str, Message, Any], Answer]) -> Iterator[str]:
    """Its URL without a slash. ``answer(method, path, headers, body)`` gives status, body (None: none) and headers; a
    body that is no JSON comes as None."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"] or 0))
            try:
                body = json.loads(data)
            except ValueError:
                body = None
            self.reply(*answer(self.command, self.path, self.headers, body))

        do_POST = do_PATCH = do_GET

        def reply(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            data = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


@contextlib.contextmanager
def dns_server(
    answer: Callable[[dns.message.Message], dns.message.Message], keyring: dict[dns.name.Name, Any] | None = None
) -> Iterator[int]:
    """Its port on 127.0.0.1, by UDP and TCP; ``answer`` makes a response of a query. Who signs with a key that is not
    in the ring is not answered."""

    def reply(data: bytes) -> bytes:
        try:
            return answer(dns.message.from_wire(data, keyring=keyring)).to_wire()
        except (dns.exception.DNSException, OSError):
            return b""  # who asked waits, and says so

    class ByTcp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            length = int.from_bytes(self.request.recv(2), "big")
            data = b""
            while len(data) < length:
                data += self.request.recv(length - len(data))
            found = reply(data)
            self.request.sendall(len(found).to_bytes(2, "big") + found if found else b"")

    class ByUdp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            found = reply(data)
            if found:
                sock.sendto(found, self.client_address)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), ByTcp) as tcp:
        port = tcp.server_address[1]
        with socketserver.ThreadingUDPServer(("127.0.0.1", port), ByUdp) as udp:
            threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in (tcp, udp)]
            for thread in threads:
                thread.start()
            try:
                yield port
            finally:
                tcp.shutdown()
                udp.shutdown()


def without(absent: str, behind: str) -> Callable[[dns.message.Message], dns.message.Message]:
    """For ``dns_server``: a name that does not exist; of all others what the server ``behind`` (host:port) says."""
    host, _, port = behind.rpartition(":")

    def answer(query: dns.message.Message) -> dns.message.Message:
        if str(query.question[0].name) == f"{absent}.":
            response = dns.message.make_response(query)
            response.set_rcode(dns.rcode.NXDOMAIN)
            return response
        return dns.query.udp(query, host, timeout=5, port=int(port))

    return answer
