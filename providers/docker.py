"""The provider ``docker``: containers of one Docker (or Podman) daemon and their labels. Connection and order of work
live here; what labels and states mean does not (``_docker_decide``).

Name: ``docker``. The daemon is only read: GET requests on containers, networks and events.

    providers:
      docker:
        exposedByDefault: false
        network: edge

    providers:                 # several daemons: routers are called web@docker-east
      docker:
        east: {endpoint: "tcp://east.example:2376", tls: {ca: /ca.pem, cert: /cert.pem, key: /key.pem}}
        west: {endpoint: "unix:///run/podman/podman.sock"}

    flags:   --providers.docker --providers.docker.exposedByDefault=false
    labels:  edgerouter.enable=true
             edgerouter.http.routers.shop.rule=Host(`shop.example.com`)
             edgerouter.http.services.shop.loadbalancer.server.port=8080
             edgerouter.port=8080             the port of every service of this container
             edgerouter.priority=10           the priority of every router of this container
             edgerouter.docker.network=edge   the network to reach it over
"""

from __future__ import annotations

from edgerouter.clients.docker import DockerClient
from edgerouter.providers._daemon import DaemonProvider
from edgerouter.providers._daemon_options import DaemonOptions
from edgerouter.providers._docker_watch import Watch
from edgerouter.providers._follow import Follow
from edgerouter.registry import provider


class DockerOptions(DaemonOptions, frozen=True):
    """Options of the provider ``docker``."""


@provider("docker", DockerOptions)
class DockerProvider(DaemonProvider):
    """Lists containers at every event, and yields what ``decide`` makes of them when it changed."""

    def follow(self, client: DockerClient) -> Follow:
        """See ``DaemonProvider``."""
        return Watch(client, self._settings)
