"""TLS clients for the load: a connection, a handshake, one request, goodbye; eight at once, in a process of its own.

``python _handshakes.py PORT full|resumed COUNT AUTHORITY_FILE`` prints how many handshakes there were and how many of
them were resumed; any failure ends it with an exit code.
"""

from __future__ import annotations

import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

AT_ONCE, HOST = 8, "host-0.bench.test"
REQUEST = f"GET /api/items?page=4 HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()


def visit(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
    """One connection; whether it was resumed, and the session for the next one."""
    raw = socket.create_connection(("127.0.0.1", port), 60)
    with raw, context.wrap_socket(raw, server_hostname=HOST, session=session) as connection:
        connection.sendall(REQUEST)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        if not answer.startswith(b"HTTP/1.1 200 ") or connection.version() != "TLSv1.3":
            raise SystemExit(f"{connection.version()}: {answer[:200]!r}")
        return bool(connection.session_reused), connection.session


def many(port: int, authority: str, resume: bool, count: int) -> int:
    """That many one after another; how many were resumed."""
    context = ssl.create_default_context(cafile=authority)
    session = visit(port, context, None)[1] if resume else None
    resumed = 0
    for _ in range(count):
        again, fresh = visit(port, context, session)
        resumed += again
        session = fresh if resume else None
    return resumed


def main(arguments: list[str]) -> int:
    port, kind, count, authority = int(arguments[0]), arguments[1], int(arguments[2]), arguments[3]
    share = count // AT_ONCE
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = [pool.submit(many, port, authority, kind == "resumed", share) for _ in range(AT_ONCE)]
        print(share * AT_ONCE, sum(one.result() for one in done))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
