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

from edgerouter.clients.docker import DockerClient
from edgerouter.config.types import Duration
from edgerouter.providers._daemon import DaemonProvider
from edgerouter.providers._daemon_options import DaemonOptions
from edgerouter.providers._follow import Follow
from edgerouter.providers._swarm_watch import SwarmWatch
from edgerouter.registry import provider


class SwarmOptions(DaemonOptions, frozen=True):
    """Options of the provider ``swarm``."""

    # time between two looks at the Swarm while nothing happens; events and updates are followed at once
    refresh_seconds: Duration = Duration(15)


@provider("swarm", SwarmOptions)
class SwarmProvider(DaemonProvider):
    """Lists services and tasks, and yields what ``decide`` makes of them when it changed."""

    options: SwarmOptions

    def follow(self, client: DockerClient) -> Follow:
        """See ``DaemonProvider``."""
        options = self.options
        return SwarmWatch(client, self._settings, options.endpoint, max(float(options.refresh_seconds), 0.2))
