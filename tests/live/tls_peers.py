"""Certificates and clients for the live TLS tests: an authority, PEM files, ``ssl`` contexts, one-shot requests."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import trustme


class Authority:
    """An authority of the test's own; ``issue`` writes certificate and key below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.ca_file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.ca_file))

    def issue(self, *names: str, file: str = "", **more: object) -> dict[str, str]:
        """One certificate for the names, as an entry of ``tls.certificates``."""
        leaf = self.ca.issue_cert(*names, key_type=trustme.KeyType.ECDSA, **more)  # type: ignore[arg-type]
        stem = file or names[0].replace("*", "_")
        chain, key = self.folder / f"{stem}.crt", self.folder / f"{stem}.key"
        chain.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        key.write_bytes(leaf.private_key_pem.bytes())
        return {"certFile": str(chain), "keyFile": str(key)}

    def context(self, version: ssl.TLSVersion | None = None, pair: dict[str, str] | None = None) -> ssl.SSLContext:
        """A client that believes this authority, speaks only ``version`` and shows ``pair`` if it is asked."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ca.configure_trust(context)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if pair is not None:
            context.load_cert_chain(pair["certFile"], pair["keyFile"])
        return context


class Visit:
    """What one connection came to."""

    def __init__(self, connection: ssl.SSLSocket, answer: bytes) -> None:
        self.resumed = connection.session_reused
        self.session = connection.session
        self.version = connection.version()
        self.names = [name for _, name in connection.getpeercert().get("subjectAltName", ())]  # type: ignore[union-attr]
        self.protocol = connection.selected_alpn_protocol()
        self.cipher = (connection.cipher() or ("",))[0]
        self.status = int(answer[9:12]) if answer.startswith(b"HTTP/") else 0
        self.body = answer.partition(b"\r\n\r\n")[2]


def visit(
    port: int,
    context: ssl.SSLContext,
    name: str,
    host: str = "",
    session: ssl.SSLSession | None = None,
    path: str = "/",
) -> Visit:
    """One request over a connection of its own; TLS 1.3 tickets come with the answer. Raises what the client sees."""
    raw = socket.create_connection(("127.0.0.1", port), 20)
    with raw, context.wrap_socket(raw, server_hostname=name, session=session) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host or name}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return Visit(connection, answer)
