"""The reference page of annotations, made of what is read: today's from the models, 1.x's from tables. Text only.

Each word of 1.x has a meaning, a value to write, and the form of today; a test asks for a row for every word that
``_ingress_annotations`` knows, and tries every value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from edgerouter.config.describe import Option, options_of
from edgerouter.config.dynamic import Router
from edgerouter.providers._ingress_annotations import BY_LABEL, ON_INGRESS, ON_SERVICE, PREFIXES
from edgerouter.providers._ingress_one import FROM_SPEC
from edgerouter.providers._ingress_rules import MATCHERS

Row = tuple[str, str, str]  # what it does, a value, what to write today

_MIDDLEWARE: Final = "router.middlewares, with the middleware "
_HEADERS: Final = _MIDDLEWARE + "headers"

INGRESS: Final[Mapping[str, Row]] = {
    "frontend-entry-points": ("entry points", "web,websecure", "router.entrypoints"),
    "priority": ("which of several rules is tried first", "10", "router.priority"),
    "preserve-host": ("send the client's Host to the servers", "false", "service.passhostheader"),
    "protocol": ("how servers are spoken to: http, https, h2c", "https", "service.serversscheme"),
    "rule-type": (
        "Path, PathPrefix, PathStrip, PathPrefixStrip, ReplacePath: how paths match, and what is cut off",
        "PathPrefixStrip",
        "pathType, and router.middlewares with stripPrefix",
    ),
    "request-modifier": (
        "`AddPrefix: /x`, `ReplacePath: /x`, `ReplacePathRegex: ^/a/(.*) /b/$1`",
        "AddPrefix: /x",
        _MIDDLEWARE + "addPrefix, replacePath or replacePathRegex",
    ),
    "rewrite-target": ("put this in the place of the path that matched", "/x", _MIDDLEWARE + "replacePathRegex"),
    "app-root": ("redirect / to this", "/start", _MIDDLEWARE + "redirectRegex"),
    "service-weights": (
        "percentages of the services of one path, with up to three decimals, as YAML",
        "web: 100%",
        "a weighted service in a file, or an IngressRoute's services",
    ),
    "auth-type": ("basic, digest or forward", "basic", _MIDDLEWARE + "basicAuth, digestAuth or forwardAuth"),
    "auth-secret": ("secret of this namespace with one key of users, one a line", "users", "usersFile"),
    "auth-realm": ("accepted; the realm is traefik", "traefik", "realm of basicAuth and digestAuth"),
    "auth-tls-secret": ("secret with the certificate that the auth server is shown", "pair", "tls of forwardAuth"),
    "auth-remove-header": ("keep Authorization from the servers", "true", "removeHeader of basicAuth"),
    "auth-header-field": ("tell the servers the user in this header", "X-User", "headerField of basicAuth"),
    "auth-url": ("address of the auth server", "http://auth.test/", _MIDDLEWARE + "forwardAuth"),
    "auth-trust-headers": ("believe X-Forwarded-* of clients", "true", "trustForwardHeader of forwardAuth"),
    "auth-response-headers": (
        "headers of its answer that servers get",
        "X-A,X-B",
        "authResponseHeaders of forwardAuth",
    ),
    "auth-tls-insecure": ("do not check the auth server's certificate", "true", "tls of forwardAuth"),
    "rate-limit": (
        "extractorfunc and rateset, as YAML",
        "{extractorfunc: client.ip, rateset: {a: {period: 10s, average: 5, burst: 9}}}",
        _MIDDLEWARE + "rateLimit",
    ),
    "error-pages": (
        "pages for statuses, as YAML",
        '{a: {status: ["500-599"], backend: default-web-80, query: "/{status}.html"}}',
        _MIDDLEWARE + "errors",
    ),
    "pass-client-tls-cert": ("tell servers of the client's certificate, as YAML", "{pem: true}", "passTLSClientCert"),
    "pass-tls-cert": ("not possible: nobody has a client's key", "true", "serversTransport.certificates"),
    "redirect-entry-point": ("redirect to this entry point", "https", _MIDDLEWARE + "redirectScheme"),
    "redirect-regex": ("with redirect-replacement", "^http://a/(.*)", _MIDDLEWARE + "redirectRegex"),
    "redirect-replacement": ("with redirect-regex", "https://b/$1", _MIDDLEWARE + "redirectRegex"),
    "redirect-permanent": ("301 and 308 instead of 302 and 307", "true", "permanent of redirectRegex"),
    "whitelist-source-range": ("addresses that may come in", "10.0.0.0/8,192.0.2.1", _MIDDLEWARE + "ipAllowList"),
    "whitelist-x-forwarded-for": ("take the address from X-Forwarded-For", "true", "ipStrategy of ipAllowList"),
    "custom-request-headers": ("`Name:value||Name:value`, for servers", "X-A:b||X-C:d", _HEADERS),
    "custom-response-headers": ("`Name:value||Name:value`, for clients", "X-A:b||X-C:d", _HEADERS),
    "allowed-hosts": ("hosts that are answered", "a.test,b.test", _HEADERS),
    "proxy-headers": ("headers that may hold the host", "X-Forwarded-Host", _HEADERS),
    "ssl-redirect": ("redirect to https", "true", _MIDDLEWARE + "redirectScheme"),
    "ssl-temporary-redirect": ("with ssl-redirect: 302", "true", "permanent of redirectScheme"),
    "ssl-host": ("host to redirect to", "a.test", _MIDDLEWARE + "redirectRegex"),
    "ssl-force-host": ("redirect other hosts too", "true", _MIDDLEWARE + "redirectRegex"),
    "ssl-proxy-headers": ("`Name:value`: headers that say https", "X-Forwarded-Proto:https", _HEADERS),
    "hsts-max-age": ("seconds of Strict-Transport-Security", "315360000", _HEADERS),
    "hsts-include-subdomains": ("with hsts-max-age", "true", _HEADERS),
    "hsts-preload": ("with hsts-max-age", "true", _HEADERS),
    "force-hsts": ("over http too", "true", _HEADERS),
    "frame-deny": ("X-Frame-Options: DENY", "true", _HEADERS),
    "custom-frame-options-value": ("X-Frame-Options", "SAMEORIGIN", _HEADERS),
    "content-type-nosniff": ("X-Content-Type-Options: nosniff", "true", _HEADERS),
    "browser-xss-filter": ("X-XSS-Protection: 1; mode=block", "true", _HEADERS),
    "custom-browser-xss-value": ("X-XSS-Protection", "1", _HEADERS),
    "content-security-policy": ("Content-Security-Policy", "default-src 'self'", _HEADERS),
    "public-key": ("Public-Key-Pins", "pin-sha256=x", _HEADERS),
    "referrer-policy": ("Referrer-Policy", "same-origin", _HEADERS),
    "is-development": ("switch the security headers off", "true", _HEADERS),
}
SERVICE: Final[Mapping[str, Row]] = {
    "affinity": ("keep a client on its server by a cookie", "true", "service.sticky.cookie"),
    "session-cookie-name": ("its name", "at", "service.sticky.cookie.name"),
    "session-secure": ("over TLS only", "true", "service.sticky.cookie.secure"),
    "session-http-only": ("not for scripts", "true", "service.sticky.cookie.httponly"),
    "session-same-site": ("none, lax or strict", "lax", "service.sticky.cookie.samesite"),
    "circuit-breaker-expression": (
        "when requests are refused at once",
        "NetworkErrorRatio() > 0.5",
        "service.middlewares, with circuitBreaker",
    ),
    "load-balancer-method": ("wrr or drr", "drr", "service.strategy (p2c)"),
    "max-conn-amount": (
        "requests at once, with max-conn-extractor-func",
        "10",
        "service.middlewares, with inFlightReq",
    ),
    "max-conn-extractor-func": ("client.ip, request.host or request.header.NAME", "client.ip", "inFlightReq"),
    "responseforwarding-flushinterval": ("accepted: nothing is held back", "10ms", "leave it out"),
    "buffering": (
        "bounds of bodies and retries, as YAML",
        "{maxrequestbodybytes: 1000, retryexpression: IsNetworkError() && Attempts() < 2}",
        "service.middlewares, with buffering",
    ),
}
OWN: Final[Mapping[str, str]] = {
    "service.nativelb": "`true`: one server, the Service's cluster address",
    "service.nodeportlb": "`true`: the nodes' internal addresses with the node port",
    "service.serversscheme": "http, https or h2c; else by `appProtocol`, port 443, and ports named https*",
    "service.middlewares": "middlewares of everybody who uses this Service, as name@provider",
}


def reference_page(balancer: type) -> str:
    """The page in Markdown; ``balancer`` are the options of a load balancer."""
    router = [_today("router", one) for one in options_of(Router) if one.name.lower() not in (*FROM_SPEC, "rulesyntax")]
    service = [_today("service", one) for one in options_of(balancer) if not one.name.startswith("servers[")]
    own = [f"| `{name}` | {text} |" for name, text in OWN.items()]
    matchers = f"| `router.pathmatcher` | for paths of type ImplementationSpecific: {', '.join(MATCHERS)} |"
    head = ["| annotation | |", "|---|---|"]
    parts = [
        _INTRODUCTION,
        "## On Ingresses\n",
        *head,
        *router,
        matchers,
        "\n## On Services\n",
        *head,
        *service,
        *own,
        "\n## Of Traefik 1.x, on Ingresses\n",
        _OLD,
        *_old(INGRESS, ON_INGRESS),
        "\n## Of Traefik 1.x, on Services\n",
        *_old(SERVICE, ON_SERVICE),
    ]
    return "\n".join(parts) + "\n"


def options_page(options: type) -> str:
    """The page of the provider's options in Markdown."""
    rows = ["| option | is | default | |", "|---|---|---|---|"]
    for one in options_of(options):
        default = f"`{one.default}`" if one.default else ""
        rows.append(f"| `{one.name}` | {one.type} | {default} | {_cell(one.text)} |")
    return "\n".join([_OPTIONS, *rows]) + "\n"


def _today(room: str, option: Option) -> str:
    name = option.name.lower().replace("[n]", ".0").replace("<name>", "NAME")
    return f"| `{room}.{name}` | {_cell(option.text)} ({option.type}) |"


def _old(rows: Mapping[str, Row], known: Mapping[str, str]) -> Iterable[str]:
    yield "| annotation | | for example | today |"
    yield "|---|---|---|---|"
    for word, (text, value, today) in rows.items():
        labels = [f"`{label}`" for label, meaning in BY_LABEL.items() if meaning == known[word]]
        name = " ".join([f"`{word}`", *([f"(or {', '.join(labels)})"] if labels else [])])
        yield f"| {name} | {_cell(text)} | `{_cell(value)}` | {_cell(today)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


_INTRODUCTION: Final = f"""# Annotations of Ingresses and Services

Made by `edgerouter docs --write docs/reference/kubernetes` from what the router reads. Every name below stands behind a
prefix: `{PREFIXES[0]}` or `{PREFIXES[1]}`,
and for those of Traefik 1.x `{PREFIXES[2]}` too. Where two say different things of one Ingress, the first
of these prefixes counts, and the other is a problem in the ledger. A value that cannot be understood is a problem of
its own Ingress; one longer than 64 KiB is not read.

```yaml
metadata:
  annotations:
    {PREFIXES[0]}router.entrypoints: websecure
    {PREFIXES[0]}router.middlewares: auth@file,compress@file
    {PREFIXES[0]}router.tls: "true"
```

The class: `spec.ingressClassName`, or the annotation `kubernetes.io/ingress.class` with the name of the option
`ingressClass` (without that option: `traefik`, `edgerouter`, or no annotation).
"""
_OPTIONS: Final = """# The provider kubernetesIngress

Made by `edgerouter docs --write docs/reference/kubernetes` from the provider's own options. They have Traefik's names;
those of 1.x (`--kubernetes.namespaces`) mean the same, and each costs a line that says today's. In a pod nothing is
needed: the address of the API server and the account are the pod's. What the account needs is in
`config/samples/kubernetes/rbac.yml`; each right that it lacks is a problem with the rule that grants it, and something
stands in for it: Endpoints for EndpointSlices, annotations and names for IngressClasses.

```yaml
providers:
  kubernetesIngress:
    ingressClass: edgerouter
    namespaces: [shop, blog]
    ingressEndpoint:
      publishedService: kube-system/edgerouter
```
"""
_OLD: Final = """Two ways to write them: a word behind a prefix, and, where named, Traefik's labels in any case.
"""
