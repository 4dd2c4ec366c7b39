"""How a Docker-like daemon is reached, as options; for providers that talk to one."""

from __future__ import annotations

from typing import ClassVar

from edgerouter.clients.docker import ClientTLS, DockerClient
from edgerouter.config.types import Duration, Secret
from edgerouter.providers._label_options import LabelOptions


class DaemonOptions(LabelOptions, frozen=True):
    """A daemon, and what is taken from labels there. Several daemons stand under names of their own."""

    MANY: ClassVar[bool] = True
    # the daemon: unix:///path, tcp://host:port or http(s)://host:port
    endpoint: str = "unix:///var/run/docker.sock"
    # basic authentication, for a daemon behind a proxy
    username: str = ""
    # its password
    password: Secret = Secret("")
    # TLS towards the daemon
    tls: ClientTLS | None = None
    # the longest that one request to the daemon may take; 0: no limit
    http_client_timeout: Duration = Duration(0)


def connect(options: DaemonOptions) -> DockerClient:
    """Make the client; inside a running loop. Raises ConfigurationError: unusable endpoint or TLS file."""
    seconds = float(options.http_client_timeout)
    return DockerClient(options.endpoint, options.tls, seconds, options.username, options.password.reveal())
