"""Names that Traefik has and this product does not have (yet), so that they are told from typing errors.

Tables only. A name leaves them when its plugin or option is there: tables of kinds are always asked first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MIDDLEWARES: Final = (
    *("addPrefix", "basicAuth", "buffering", "chain", "circuitBreaker", "compress", "contentType", "digestAuth"),
    *("encodedCharacters", "errors", "forwardAuth", "grpcWeb", "headers", "inFlightReq", "ipAllowList", "ipWhiteList"),
    *("passTLSClientCert", "plugin", "rateLimit", "redirectRegex", "redirectScheme", "replacePath", "replacePathRegex"),
    *("retry", "stripPrefix", "stripPrefixRegex"),
)
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


def spelled(name: str, names: Iterable[str]) -> str:
    """``name`` as it is spelled in ``names``, whatever its case; "" when it is not one of them."""
    return next((known for known in names if known.lower() == name.lower()), "")
