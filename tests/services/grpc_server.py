"""A real gRPC server (grpcio) with the health service, whose state the test sets."""

from __future__ import annotations

from concurrent import futures
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


class GrpcServer:
    """``with GrpcServer() as server: server.set("NOT_SERVING")``; ``implemented`` False: no health service."""

    def __init__(self, implemented: bool = True, tls: tuple[bytes, bytes] | None = None, port: int = 0) -> None:
        self._server: Any = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        self._health = health.HealthServicer()
        if implemented:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        address = f"127.0.0.1:{port}"
        if tls is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, grpc.ssl_server_credentials([tls]))

    def set(self, state: str) -> None:
        """SERVING, NOT_SERVING, UNKNOWN or SERVICE_UNKNOWN, for the server as a whole."""
        self._health.set("", getattr(health_pb2.HealthCheckResponse, state))

    def __enter__(self) -> GrpcServer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
