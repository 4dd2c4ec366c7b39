"""Labels of Traefik 1.x (``traefik.frontend.rule``, ``traefik.backend.*``, segments) -> today's labels. Pure.

Each old label costs one line that says today's form. Today's labels win where both say something. The same tables
serve ``edgerouter convert`` for the frontends and backends of files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from edgerouter.config.legacy_rules import translate

_APART: Final = frozenset(
    ("http", "tcp", "udp", "tls", "enable", "port", "priority", "docker", "swarm", "tags", "domain", "consulcatalog")
)
_SEGMENT: Final = frozenset(("port", "protocol", "weight", "backend", "frontend", "portindex", "portname"))
_PLAIN: Final = frozenset(("frontend", "backend", "protocol", "weight"))
_SECRET: Final = ("users", "key", "cert")
# Frontend and backend options that make a middleware: old path -> (middleware's name, kind, option). The order of kinds
# is that in which Traefik 1.x applied them.
_ORDER: Final = (
    *(
        "errors",
        "whitelist",
        "redirect",
        "headers",
        "clientcert",
        "auth",
        "breaker",
        "buffering",
        "maxconn",
        "rate",
        "path",
    ),
)
_STEPS: Final = {
    "frontend.whitelist.sourcerange": ("whitelist", "ipAllowList", "sourceRange"),
    "frontend.whitelistsourcerange": ("whitelist", "ipAllowList", "sourceRange"),
    "frontend.redirect.regex": ("redirect", "redirectRegex", "regex"),
    "frontend.redirect.replacement": ("redirect", "redirectRegex", "replacement"),
    "frontend.auth.basic.users": ("auth", "basicAuth", "users"),
    "frontend.auth.basic": ("auth", "basicAuth", "users"),
    "frontend.auth.basic.usersfile": ("auth", "basicAuth", "usersFile"),
    "frontend.auth.basic.removeheader": ("auth", "basicAuth", "removeHeader"),
    "frontend.auth.digest.users": ("auth", "digestAuth", "users"),
    "frontend.auth.digest.usersfile": ("auth", "digestAuth", "usersFile"),
    "frontend.auth.digest.removeheader": ("auth", "digestAuth", "removeHeader"),
    "frontend.auth.forward.address": ("auth", "forwardAuth", "address"),
    "frontend.auth.forward.trustforwardheader": ("auth", "forwardAuth", "trustForwardHeader"),
    "frontend.auth.forward.authresponseheaders": ("auth", "forwardAuth", "authResponseHeaders"),
    "frontend.auth.forward.tls.ca": ("auth", "forwardAuth", "tls.ca"),
    "frontend.auth.forward.tls.cert": ("auth", "forwardAuth", "tls.cert"),
    "frontend.auth.forward.tls.key": ("auth", "forwardAuth", "tls.key"),
    "frontend.auth.forward.tls.insecureskipverify": ("auth", "forwardAuth", "tls.insecureSkipVerify"),
    "frontend.passtlsclientcert.pem": ("clientcert", "passTLSClientCert", "pem"),
    "backend.circuitbreaker.expression": ("breaker", "circuitBreaker", "expression"),
    "backend.circuitbreaker": ("breaker", "circuitBreaker", "expression"),
    "backend.maxconn.amount": ("maxconn", "inFlightReq", "amount"),
    "backend.buffering.maxrequestbodybytes": ("buffering", "buffering", "maxRequestBodyBytes"),
    "backend.buffering.memrequestbodybytes": ("buffering", "buffering", "memRequestBodyBytes"),
    "backend.buffering.maxresponsebodybytes": ("buffering", "buffering", "maxResponseBodyBytes"),
    "backend.buffering.memresponsebodybytes": ("buffering", "buffering", "memResponseBodyBytes"),
    "backend.buffering.retryexpression": ("buffering", "buffering", "retryExpression"),
}
_HEADERS: Final = {
    name.lower(): name
    for name in (
        *("allowedHosts", "hostsProxyHeaders", "stsSeconds", "stsIncludeSubdomains", "stsPreload", "forceSTSHeader"),
        *("frameDeny", "customFrameOptionsValue", "contentTypeNosniff", "browserXssFilter", "customBrowserXSSValue"),
        *("contentSecurityPolicy", "publicKey", "referrerPolicy", "isDevelopment", "sslProxyHeaders"),
    )
}
_SERVICE: Final = {  # backend options of the load balancer
    "backend.loadbalancer.stickiness": "sticky.cookie",
    "backend.loadbalancer.sticky": "sticky.cookie",
    "backend.loadbalancer.stickiness.cookiename": "sticky.cookie.name",
    "backend.loadbalancer.stickiness.secure": "sticky.cookie.secure",
    "backend.loadbalancer.stickiness.httponly": "sticky.cookie.httpOnly",
    "backend.loadbalancer.stickiness.samesite": "sticky.cookie.sameSite",
    "backend.healthcheck.path": "healthCheck.path",
    "backend.healthcheck.interval": "healthCheck.interval",
    "backend.healthcheck.port": "healthCheck.port",
    "backend.healthcheck.scheme": "healthCheck.scheme",
    "backend.healthcheck.hostname": "healthCheck.hostname",
    "backend.responseforwarding.flushinterval": "responseForwarding.flushInterval",
    "frontend.passhostheader": "passHostHeader",
    "protocol": "server.scheme",
    "weight": "server.weight",
}


class Said(msgspec.Struct, frozen=True):
    """One line about one old label: ``today`` is the label to write, "" where there is none; ``fault``: not taken."""

    label: str
    today: str
    fault: str = ""


class Modern(msgspec.Struct, frozen=True):
    """``labels`` are today's, without a prefix; ``said`` has one line for each old label."""

    labels: dict[str, str]
    said: tuple[Said, ...]


def modernize(labels: Mapping[str, str], name: str) -> Modern:
    """``labels`` by path below the prefix (``frontend.rule``); ``name`` is what the workload's service is called."""
    old = {label: value for label, value in labels.items() if _is_old(label)}
    if not old:
        return Modern({}, ())
    segments: dict[str, dict[str, str]] = {}
    base: dict[str, str] = {}
    for label, value in old.items():
        head, _, rest = label.partition(".")
        if head.lower() in _PLAIN:
            base[label] = value
        else:
            segments.setdefault(head, {})[rest] = value
    made: dict[str, str] = {}
    said: list[Said] = []
    for segment, own in sorted(segments.items()):
        whole = {**{_lower(path): ("", value) for path, value in base.items()}}
        whole |= {_lower(path): (f"{segment}.{path}", value) for path, value in own.items()}
        whole.setdefault("port", ("", labels.get("port", "")))
        _Part(f"{name}-{segment}", whole, made, said).take()
    if base:
        mute: list[Said] = []  # with segments, plain labels are only defaults: told of, and nothing made
        part = _Part(
            name, {_lower(path): (path, value) for path, value in base.items()}, {} if segments else made, mute
        )
        part.take()
        said = [*(one for one in said if one.label), *mute]
    return Modern(made, tuple(sorted(said, key=lambda one: one.label)))


def _lower(path: str) -> str:
    return path.lower()


def may_be_old(at: tuple[str, ...]) -> bool:
    """True for the path of every label of Traefik 1.x, in lower case: the quick look before ``modernize``."""
    return at[0] in _PLAIN or (len(at) > 1 and at[0] not in _APART and at[1] in _SEGMENT)


def _is_old(label: str) -> bool:
    return may_be_old(tuple(label.lower().split(".")))


class _Part:
    """One frontend with its backend. ``given`` maps old paths to (label as written, "" for a default; value)."""

    def __init__(self, name: str, given: Mapping[str, tuple[str, str]], made: dict[str, str], said: list[Said]) -> None:
        self.name = "-".join(part for part in name.replace(".", "-").split("/") if part)
        backend = given.get("backend", ("", ""))[1]
        self.service = backend.replace(".", "-") or self.name
        self.given = given
        self.made = made
        self.said = said
        self.steps: dict[str, None] = {}

    def take(self) -> None:
        """Translate all, then name the middlewares in their order."""
        for path in sorted(self.given):
            label, value = self.given[path]
            if value or label:
                self._one(path, label, value.strip())
        if self.steps:
            order = sorted(self.steps, key=lambda step: (_ORDER.index(step.partition("-")[0]), step))
            self.made[f"http.routers.{self.name}.middlewares"] = ",".join(f"{self.name}-{step}" for step in order)
        if self.made and f"http.routers.{self.name}.rule" in self.made:
            self.made.setdefault(f"http.routers.{self.name}.service", self.service)
            start = f"http.services.{self.service}."
            if not any(path.startswith(start) for path in self.made):
                self.made[f"{start}loadbalancer.passhostheader"] = "true"  # the default: so that there is a service

    def _put(self, label: str, path: str, value: str) -> None:
        self.made[path] = value
        secret = path.rpartition(".")[2].lower() in _SECRET
        if label:
            self.said.append(Said(label, f"{path}={'...' if secret else value}"))

    def _fault(self, label: str, fault: str) -> None:
        if label:
            self.said.append(Said(label, "", fault))

    def _step(self, label: str, step: str, kind: str, option: str, value: str) -> None:
        self.steps[step] = None
        self._put(label, f"http.middlewares.{self.name}-{step}.{kind.lower()}.{option.lower()}", value)

    def _one(self, path: str, label: str, value: str) -> None:
        special = _SPECIAL.get(path)
        if special is not None:
            special(self, label, value)
        elif path in _STEPS:
            step, kind, option = _STEPS[path]
            self._step(label, step, kind, option, value)
        elif path in _SERVICE:
            self._put(label, f"http.services.{self.service}.loadbalancer.{_SERVICE[path].lower()}", value)
        elif path == "port":
            if value:
                self._put(label, f"http.services.{self.service}.loadbalancer.server.port", value)
        else:
            self._family(path, label, value)

    def _family(self, path: str, label: str, value: str) -> None:
        """Options that hold names of their own."""
        if path.startswith("frontend.headers."):
            self._headers(path.removeprefix("frontend.headers."), label, value)
        elif path.startswith("frontend.errors.") and path.count(".") == 3:
            _, _, name, option = path.split(".")
            today = {"status": "status", "backend": "service", "query": "query"}.get(option)
            self._step(label, f"errors-{name}", "errors", today, value) if today else self._unknown(label)
        elif path.startswith("frontend.ratelimit.rateset.") and path.count(".") == 4:
            name, option = path.split(".")[3:]
            self._step(label, f"rate-{name}", "rateLimit", option, value)
        elif path.startswith("backend.healthcheck.headers"):
            self._pairs(f"http.services.{self.service}.loadbalancer.healthcheck.headers", label, value)
        elif path.startswith("frontend.passtlsclientcert.infos."):
            option = path.removeprefix("frontend.passtlsclientcert.infos.")
            self._step(label, "clientcert", "passTLSClientCert", f"info.{option}", value)
        else:
            self._unknown(label)

    def _unknown(self, label: str) -> None:
        self._fault(label, "this label of Traefik 1.x has no counterpart; leave it out")

    def _pairs(self, path: str, label: str, value: str) -> None:
        """``Name:value||Name2:value2``."""
        for pair in value.split("||"):
            key, colon, text = pair.partition(":")
            if colon:
                self._put(label, f"{path}.{key.strip().lower()}", text.strip())
            else:
                self._fault(label, f"expected Name:value, got {pair[:40]!r}")

    def _headers(self, option: str, label: str, value: str) -> None:
        if option in ("customrequestheaders", "customresponseheaders"):
            self.steps["headers"] = None
            self._pairs(f"http.middlewares.{self.name}-headers.headers.{option}", label, value)
        elif option in ("sslredirect", "ssltemporaryredirect"):
            if value.lower() == "true":
                self._step(label, "redirect", "redirectScheme", "scheme", "https")
                if option == "sslredirect":
                    self._step("", "redirect", "redirectScheme", "permanent", "true")
        elif option in _HEADERS:
            self._step(label, "headers", "headers", _HEADERS[option], value)
        else:
            self._unknown(label)

    # -- options that are more than renamed ---------------------------------------------------------------------

    def rule(self, label: str, value: str) -> None:
        """The rule, and the middlewares of its modifiers."""
        old = translate(value)
        for kind, option, text in old.steps:
            self._step("", f"path-{kind.lower()}", kind, option, text)
        if old.faults:
            self._fault(label, "; ".join(old.faults))
        else:
            self._put(label, f"http.routers.{self.name}.rule", old.rule)

    def entry_points(self, label: str, value: str) -> None:
        """Names of entry points."""
        self._put(label, f"http.routers.{self.name}.entrypoints", value)

    def priority(self, label: str, value: str) -> None:
        """0 meant none."""
        self._put(label, f"http.routers.{self.name}.priority", value)

    def backend(self, label: str, value: str) -> None:
        """The service's name."""
        self._put(label, f"http.routers.{self.name}.service", self.service)

    def redirect(self, label: str, value: str) -> None:
        """To an entry point: its name told the scheme."""
        self._step(label, "redirect", "redirectScheme", "scheme", "http" if value.lower() == "http" else "https")

    def permanent(self, label: str, value: str) -> None:
        """Of either redirection."""
        kind = "redirectRegex" if "frontend.redirect.regex" in self.given else "redirectScheme"
        self._step(label, "redirect", kind, "permanent", value)

    def method(self, label: str, value: str) -> None:
        """drr has no exact counterpart."""
        strategy = "p2c" if value.lower() == "drr" else "wrr"
        self._put(label, f"http.services.{self.service}.loadbalancer.strategy", strategy)

    def swarm(self, label: str, value: str) -> None:
        """The service's own address."""
        self._put(label, "swarm.lbswarm", value)

    def forwarded(self, label: str, value: str) -> None:
        """The last address of X-Forwarded-For."""
        if value.lower() == "true":
            self._step(label, "whitelist", "ipAllowList", "ipStrategy.depth", "1")

    def extractor(self, step: str, label: str, value: str) -> None:
        """Who is counted: client.ip, request.host, request.header.NAME."""
        kind = "inFlightReq" if step == "maxconn" else "rateLimit"
        option, text = {"client.ip": ("ipstrategy.depth", "0"), "request.host": ("requesthost", "true")}.get(
            value.lower(), ("requestheadername", value.rpartition(".")[2])
        )
        steps = [one for one in self.steps if one.startswith(step)] or [step]
        for one in steps:
            self._step(label, one, kind, f"sourcecriterion.{option}", text)
            label = ""

    def max_source(self, label: str, value: str) -> None:
        """Of maxconn."""
        self.extractor("maxconn", label, value)

    def rate_source(self, label: str, value: str) -> None:
        """Of rateLimit: for each of its sets."""
        for path in self.given:
            if path.startswith("frontend.ratelimit.rateset.") and path.count(".") == 4:
                self.steps[f"rate-{path.split('.')[3]}"] = None
        self.extractor("rate", label, value)


_SPECIAL: Final[dict[str, Callable[[_Part, str, str], None]]] = {
    "frontend.rule": _Part.rule,
    "frontend.entrypoints": _Part.entry_points,
    "frontend.priority": _Part.priority,
    "frontend.redirect.entrypoint": _Part.redirect,
    "frontend.redirect.permanent": _Part.permanent,
    "frontend.whitelist.usexforwardedfor": _Part.forwarded,
    "frontend.ratelimit.extractorfunc": _Part.rate_source,
    "backend": _Part.backend,
    "backend.loadbalancer.method": _Part.method,
    "backend.loadbalancer.swarm": _Part.swarm,
    "backend.maxconn.extractorfunc": _Part.max_source,
}
