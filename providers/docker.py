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

from collections.abc import AsyncIterator

from edgerouter.clients.docker import TRANSPORT_ERRORS
from edgerouter.contracts.snapshot import Provider, ProviderContext, Snapshot
from edgerouter.providers._daemon_options import DaemonOptions, connect
from edgerouter.providers._docker_watch import Watch
from edgerouter.providers._label_options import settings_of
from edgerouter.registry import provider


class DockerOptions(DaemonOptions, frozen=True):
    """Options of the provider ``docker``."""


@provider("docker", DockerOptions)
class DockerProvider(Provider):
    """Lists containers at every event, and yields what ``decide`` makes of them when it changed."""

    options: DockerOptions

    def __init__(self, options: DockerOptions, context: ProviderContext) -> None:
        """Raises ConfigurationError for a constraint or default rule that cannot be used."""
        super().__init__(options, context)
        self._settings = settings_of(options, context)

    def watch(self) -> AsyncIterator[Snapshot]:
        """Yield at once and at every change; raises ConnectionError when the daemon or its event stream is lost."""
        return self._watch()

    async def _watch(self) -> AsyncIterator[Snapshot]:
        options = self.options
        client = connect(options)
        try:
            async for snapshot in Watch(client, self._settings).run(follow=options.watch):
                yield snapshot
        except TRANSPORT_ERRORS as error:
            raise ConnectionError(
                f"the Docker daemon at {options.endpoint}: {error or type(error).__name__}"
            ) from error
        finally:
            await client.close()
