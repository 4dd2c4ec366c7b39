"""The provider ``swarm``: services of a Docker Swarm and their labels, asked of a manager. Connection and order of work
live here; what labels and states mean does not (``_swarm_decide``).

Name: ``swarm``. The daemon is only read: GET requests on services, tasks, nodes, networks and events. Labels stand on
services (``deploy.labels`` in a stack file), not on their containers.

    providers:
      swarm:
        network: edge
        refreshSeconds: 15

    flags:   --providers.swarm --providers.swarm.network=edge
    labels:  edgerouter.enable=true
             edgerouter.http.routers.shop.rule=Host(`shop.example.com`)
             edgerouter.http.services.shop.loadbalancer.server.port=8080
             edgerouter.port=8080             the port of every service of this service
             edgerouter.swarm.network=edge    the network to reach it over
             edgerouter.swarm.lbswarm=true    one server, the service's own address, instead of its tasks'
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from edgerouter.clients.docker import TRANSPORT_ERRORS
from edgerouter.config.types import Duration
from edgerouter.contracts.snapshot import Provider, ProviderContext, Snapshot
from edgerouter.providers._daemon_options import DaemonOptions, connect
from edgerouter.providers._label_options import settings_of
from edgerouter.providers._swarm_watch import SwarmWatch, UnfitDaemon
from edgerouter.registry import provider


class SwarmOptions(DaemonOptions, frozen=True):
    """Options of the provider ``swarm``."""

    # time between two looks at the Swarm while nothing happens; events and updates are followed at once
    refresh_seconds: Duration = Duration(15)


@provider("swarm", SwarmOptions)
class SwarmProvider(Provider):
    """Lists services and tasks, and yields what ``decide`` makes of them when it changed."""

    options: SwarmOptions

    def __init__(self, options: SwarmOptions, context: ProviderContext) -> None:
        """Raises ConfigurationError for a constraint or default rule that cannot be used."""
        super().__init__(options, context)
        self._settings = settings_of(options, context)

    def watch(self) -> AsyncIterator[Snapshot]:
        """Yield at once and at every change; raises ConnectionError when the manager is lost, or is none."""
        return self._watch()

    async def _watch(self) -> AsyncIterator[Snapshot]:
        options = self.options
        client = connect(options)
        watch = SwarmWatch(client, self._settings, options.endpoint, max(float(options.refresh_seconds), 0.2))
        try:
            async for snapshot in watch.run(follow=options.watch):
                yield snapshot
        except UnfitDaemon:
            raise
        except TRANSPORT_ERRORS as error:
            raise ConnectionError(
                f"the Docker daemon at {options.endpoint}: {error or type(error).__name__}"
            ) from error
        finally:
            await client.close()
