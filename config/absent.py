"""What Traefik has and this product does not have (yet): names that are told from typing errors, and options that are
read and have no effect, so that nobody relies on them.

Tables only. A name leaves them when its plugin or option is there: tables of kinds are always asked first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MIDDLEWARES: Final = ("plugin",)
SERVICES: Final = ("failover", "highestRandomWeight", "loadBalancer", "mirroring", "weighted")
PROVIDERS: Final = (
    *("consul", "consulCatalog", "docker", "ecs", "etcd", "file", "http", "knative", "kubernetesCRD"),
    *("kubernetesGateway", "kubernetesIngress", "kubernetesIngressNGINX", "nomad", "plugin", "redis", "rest", "swarm"),
    "zooKeeper",
)
METRICS: Final = ("datadog", "influxDB2", "otlp", "prometheus", "statsD")

REMOVED_MIDDLEWARE_OPTIONS: Final = {
    "stripprefix.forceslash": "leave it out: a leading slash is always there",
    "stripprefixregex.forceslash": "leave it out: a leading slash is always there",
    "headers.sslredirect": "use the middleware redirectScheme",
    "headers.ssltemporaryredirect": "use the middleware redirectScheme with permanent: false",
    "headers.sslhost": "use the middleware redirectRegex",
    "headers.sslforcehost": "use the middleware redirectRegex",
    "headers.featurepolicy": "write permissionsPolicy",
    "forwardauth.tls.caoptional": "leave it out",
}

NOT_YET: Final = "this is accepted, and is not there yet"
_ROTATION: Final = "the file only grows: rotate it from outside; it is opened anew when it was moved"
# Options of the static configuration whose value changes nothing -> why, or what to do instead. ``*``: any name.
# Those that ask for what is so anyway (reusePort, disableDashboardAd) are not among them.
STATIC_WITHOUT_EFFECT: Final = {
    "accessLog.dualOutput": "lines go to one place: filePath, or standard output",
    "api.debug": NOT_YET,
    "certificatesResolvers.*.acme.certificatesDuration": "renewal goes by a certificate's own lifetime",
    "entryPoints.*.allowACMEByPass": NOT_YET,
    "entryPoints.*.forwardedHeaders.addXForwardedSchemeHeaders": NOT_YET,
    "entryPoints.*.forwardedHeaders.connection": NOT_YET,
    "entryPoints.*.http2": "HTTP/2 is not there yet: HTTP/1.1 is served",
    "entryPoints.*.http3": NOT_YET,
    "entryPoints.*.observability.traceVerbosity": NOT_YET,
    "entryPoints.*.udp": NOT_YET,
    "global.checkNewVersion": "new versions are never looked for",
    "global.sendAnonymousUsage": "nothing is ever sent",
    "hostResolver": NOT_YET,
    "log.compress": _ROTATION,
    "log.maxAge": _ROTATION,
    "log.maxBackups": _ROTATION,
    "log.maxSize": _ROTATION,
    "metrics.prometheus.headerLabels": NOT_YET,
    "ocsp": NOT_YET,
    "spiffe": NOT_YET,
    "tcpServersTransport": NOT_YET,
    "tracing": NOT_YET,
}
NO_UDP: Final = "UDP is not there yet: nothing listens on this address"
# The same for routers.
ROUTER_WITHOUT_EFFECT: Final = {
    "observability.traceVerbosity": "tracing is not there yet",
    "observability.tracing": "tracing is not there yet",
}


def spelled(name: str, names: Iterable[str]) -> str:
    """``name`` as it is spelled in ``names``, whatever its case; "" when it is not one of them."""
    return next((known for known in names if known.lower() == name.lower()), "")
