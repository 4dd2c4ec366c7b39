"""The provider ``docker``: containers of one Docker (or Podman) daemon and their labels. Connection and order of work
live here; what labels and states mean does not (``_docker_decide``).

Name: ``docker``. The daemon is only read: GET requests on containers, networks and events.

    providers:
      docker:
        exposedByDefault: false
        network: edge

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
from typing import Final

import msgspec

from edgerouter.clients.docker import TRANSPORT_ERRORS, ClientTLS, DockerClient
from edgerouter.config.dynamic import Model
from edgerouter.config.types import Duration, Secret
from edgerouter.contracts.snapshot import Provider, ProviderContext, Snapshot
from edgerouter.errors import ConfigurationError
from edgerouter.providers._constraints import compile_constraints
from edgerouter.providers._default_rule import Template, TemplateError
from edgerouter.providers._docker_decide import Settings
from edgerouter.providers._docker_watch import Watch
from edgerouter.registry import provider

DEFAULT_RULE: Final = "Host(`{{ normalize .Name }}`)"


class DockerOptions(Model, frozen=True):
    """Options of the provider ``docker``."""

    # the daemon: unix:///path, tcp://host:port or http(s)://host:port
    endpoint: str = "unix:///var/run/docker.sock"
    # basic authentication, for a daemon behind a proxy
    username: str = ""
    # its password
    password: Secret = Secret("")
    # TLS towards the daemon
    tls: ClientTLS | None = None
    # follow events; false reads once
    watch: bool = True
    # route containers that have no enable label
    exposed_by_default: bool = True
    # the rule of routers that have none: a template over .Name, .ContainerName and .Labels
    default_rule: str = DEFAULT_RULE
    # an expression over labels that says which containers are taken
    constraints: str = ""
    # the network to reach containers over, unless a label names one
    network: str = ""
    # reach containers by their published port and its host address
    use_bind_port_ip: bool = msgspec.field(default=False, name="useBindPortIP")
    # keep routers of starting and unhealthy containers live, with a service that has no server
    allow_empty_services: bool = False
    # the longest that one request to the daemon may take; 0: no limit
    http_client_timeout: Duration = Duration(0)
    # labels may use services and middlewares of @internal, as the dashboard
    allow_internal: bool = False
    # the folder that labels may name files of; empty: none
    files_root: str = ""


def settings_of(options: DockerOptions, context: ProviderContext) -> Settings:
    """Compile what options hold as text; raises ConfigurationError that names the option."""
    try:
        template = Template(options.default_rule) if options.default_rule else None
    except TemplateError as error:
        raise ConfigurationError(f"providers.{context.name}.defaultRule: {error}") from error
    try:
        constraint = compile_constraints(options.constraints)
    except ConfigurationError as error:
        raise ConfigurationError(f"providers.{context.name}.{error.message}") from error
    return Settings(
        provider=context.name,
        kinds=context.kinds,
        prefixes=context.prefixes,
        exposed_by_default=options.exposed_by_default,
        constraint=constraint,
        constraints=options.constraints,
        template=template,
        network=options.network,
        use_bind_port_ip=options.use_bind_port_ip,
        allow_empty_services=options.allow_empty_services,
        allow_internal=options.allow_internal,
        files_root=options.files_root,
    )


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
        client = DockerClient(
            options.endpoint, options.tls, options.http_client_timeout, options.username, options.password.reveal()
        )
        try:
            async for snapshot in Watch(client, self._settings).run(follow=options.watch):
                yield snapshot
        except TRANSPORT_ERRORS as error:
            raise ConnectionError(
                f"the Docker daemon at {options.endpoint}: {error or type(error).__name__}"
            ) from error
        finally:
            await client.close()
