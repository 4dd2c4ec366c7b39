"""The provider ``kubernetesIngress``: Ingresses of a cluster, with the Services, endpoints and secrets that they name.

Name: ``kubernetesIngress``. The API server is watched (no polling), and only read, but for the status of Ingresses and
Events about those that cannot be served. In a pod the service account's credentials are used, elsewhere ``KUBECONFIG``
or ``~/.kube/config``; ``endpoint``, ``token`` and ``certAuthFilePath`` override both.

    providers:
      kubernetesIngress:
        ingressClass: edgerouter

    flags:        --providers.kubernetesIngress --providers.kubernetesIngress.namespaces=shop,blog
    annotations:  edgerouter.ingress.kubernetes.io/router.entrypoints: web     (traefik. means the same)
                  edgerouter.ingress.kubernetes.io/router.middlewares: auth@file
                  edgerouter.ingress.kubernetes.io/service.sticky.cookie: "true"     (on the Service)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec

from edgerouter.clients.kubernetes import KubernetesClient
from edgerouter.clients.kubernetes_login import Credentials
from edgerouter.config.dynamic import Model
from edgerouter.config.types import Duration, Secret
from edgerouter.contracts.snapshot import Outcome, Provider, ProviderContext, Snapshot, Workload
from edgerouter.providers._ingress_decide import Memory, decide
from edgerouter.providers._ingress_one import Settings
from edgerouter.providers._ingress_report import Address, Reporter
from edgerouter.providers._ingress_services import Rules
from edgerouter.providers._kubernetes_mirror import Mirror, Scope
from edgerouter.registry import provider


class IngressEndpoint(Model, frozen=True):
    """What the status of Ingresses names."""

    # this address
    ip: str = ""
    # this host name
    hostname: str = ""
    # the addresses of this service, as namespace/name
    published_service: str = ""


class KubernetesIngressOptions(Model, frozen=True):
    """Options of the provider ``kubernetesIngress``."""

    # the API server's address; empty: the pod's own cluster, or what kubeconfig says
    endpoint: str = ""
    # bearer token for it
    token: Secret = Secret("")
    # file of the CA that signed the API server's certificate
    cert_auth_file_path: str = ""
    # namespaces to look at; empty: all
    namespaces: tuple[str, ...] = ()
    # a label selector for Ingresses
    label_selector: str = ""
    # the class of Ingresses to serve; empty: those without a class and those of our controllers
    ingress_class: str = ""
    # what the status of Ingresses names
    ingress_endpoint: IngressEndpoint = IngressEndpoint()
    # with a published service of type NodePort: the nodes' internal addresses
    report_node_internal_ips: bool = msgspec.field(default=False, name="reportNodeInternalIPs")
    # changes within this time make one configuration
    throttle_duration: Duration = Duration(0)
    # keep routers live whose service has no endpoint: they answer 503 instead of letting others try
    allow_empty_services: bool = False
    # serve Services of type ExternalName
    allow_external_name_services: bool = False
    # send to cluster addresses instead of endpoints, unless a Service says otherwise
    native_lb_by_default: bool = msgspec.field(default=False, name="nativeLBByDefault")
    # servers see their own address in Host, unless a Service or an Ingress says otherwise
    disable_pass_host_headers: bool = False
    # do not look at IngressClasses
    disable_ingress_class_lookup: bool = False
    # do not look at what is not in a namespace: IngressClasses and nodes
    disable_cluster_scope_resources: bool = False
    # paths of type Prefix match whole elements: /foo is not /foobar
    strict_prefix_matching: bool = True
    # annotations may use services and middlewares of @internal, as the dashboard
    allow_internal: bool = False
    # namespaces whose Ingresses may use middlewares of other providers; absent: all
    cross_provider_namespaces: tuple[str, ...] | None = None


def settings_of(options: KubernetesIngressOptions, context: ProviderContext) -> Settings:
    """What of the options decides."""
    return Settings(
        provider=context.name,
        kinds=context.kinds,
        ingress_class=options.ingress_class,
        allow_empty_services=options.allow_empty_services,
        allow_internal=options.allow_internal,
        cross_provider_namespaces=options.cross_provider_namespaces,
        strict_prefix=options.strict_prefix_matching,
        rules=Rules(
            allow_external_names=options.allow_external_name_services,
            native_by_default=options.native_lb_by_default,
            pass_host=not options.disable_pass_host_headers,
        ),
    )


@provider("kubernetesIngress", KubernetesIngressOptions)
class KubernetesIngressProvider(Provider):
    """Mirrors the cluster's objects, and yields what ``decide`` makes of them when it changed."""

    options: KubernetesIngressOptions

    def __init__(self, options: KubernetesIngressOptions, context: ProviderContext) -> None:
        super().__init__(options, context)
        endpoint = options.ingress_endpoint
        self._settings = settings_of(options, context)
        self._reporter = Reporter(
            Address(
                ip=endpoint.ip,
                hostname=endpoint.hostname,
                published=endpoint.published_service,
                internal=options.report_node_internal_ips,
            )
        )
        self._memory = Memory()
        self._live: tuple[KubernetesClient, Mirror] | None = None
        self._told: tuple[Workload, ...] = ()
        self._writing = asyncio.Lock()

    def watch(self) -> AsyncIterator[Snapshot]:
        """Yield when everything was listed, and at every change; raises ConnectionError when the server is lost, and
        ConfigurationError when nothing says where it is."""
        return self._watch()

    async def _watch(self) -> AsyncIterator[Snapshot]:
        options = self.options
        credentials = Credentials(
            endpoint=options.endpoint, token=options.token.reveal(), ca_file=options.cert_auth_file_path
        )
        client = await KubernetesClient.connect(credentials)
        mirror = Mirror(client, self._scope())
        late: asyncio.Task[None] | None = None
        try:
            async with aclosing(_generator(mirror)) as worlds:
                async for world in worlds:
                    self._live = (client, mirror)
                    if self._told and self._reporter.is_late(world):  # nobody reports a change of addresses alone
                        late = asyncio.ensure_future(self._write())
                    problems = (*world.problems, *self._reporter.problems(self.context.name))
                    world = msgspec.structs.replace(world, problems=problems)
                    # In a thread: with thousands of Ingresses the first time takes a second, and workers must be heard.
                    yield await asyncio.to_thread(decide, world, self._settings, self._memory)
        finally:
            self._live = None
            if late is not None:
                late.cancel()
            await mirror.stop()
            await client.close()

    def _scope(self) -> Scope:
        options = self.options
        return Scope(
            provider=self.context.name,
            namespaces=options.namespaces,
            label_selector=options.label_selector,
            cluster_scope=not options.disable_cluster_scope_resources,
            classes=not options.disable_ingress_class_lookup,
            published=options.ingress_endpoint.published_service,
            throttle=float(options.throttle_duration),
        )

    async def report(self, outcome: Outcome) -> None:
        """Write the status of Ingresses, and Events about those that cannot be served."""
        self._told = outcome.workloads
        await self._write()

    async def _write(self) -> None:
        async with self._writing:
            if self._live is not None:
                client, mirror = self._live
                barred = self._reporter.problems(self.context.name)
                await self._reporter.report(client, mirror.ingress_version, mirror.now(), self._told)
                if self._reporter.problems(self.context.name) != barred:
                    mirror.renew()


def _generator(mirror: Mirror) -> Any:
    return mirror.worlds()
