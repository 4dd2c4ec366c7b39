"""Traefik 1.x flags that people still copy, and options that v2 had: what they are called today.

Every 1.x flag that is understood costs one warning with today's name; one that means nothing today is a problem.
The only place that knows 1.x words for the static configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from edgerouter.config.fit import boolean, dotted
from edgerouter.config.flags import Setting
from edgerouter.config.nest import split
from edgerouter.config.places import Path
from edgerouter.config.types import Problem

RENAMED: Final = {
    "accesslogsfile": "accessLog.filePath",
    "checknewversion": "global.checkNewVersion",
    "consul": "providers.consul",
    "consulcatalog": "providers.consulCatalog",
    "docker": "providers.docker",
    "docker.swarmmoderefreshseconds": "providers.swarm.refreshSeconds",
    "ecs": "providers.ecs",
    "etcd": "providers.etcd",
    "file": "providers.file",
    "forwardingtimeouts": "serversTransport.forwardingTimeouts",
    "insecureskipverify": "serversTransport.insecureSkipVerify",
    "kubernetes": "providers.kubernetesIngress",
    "loglevel": "log.level",
    "maxidleconnsperhost": "serversTransport.maxIdleConnsPerHost",
    "providersthrottleduration": "providers.providersThrottleDuration",
    "rest": "providers.rest",
    "rootcas": "serversTransport.rootCAs",
    "sendanonymoususage": "global.sendAnonymousUsage",
    "traefiklog": "log",
    "traefiklogsfile": "log.filePath",
    "web.address": "entryPoints.traefik.address",
    "web.metrics": "metrics",
    "web.path": "api.basePath",
    "zookeeper": "providers.zooKeeper",
}
_PROVIDERS: Final = frozenset(
    ("consul", "consulcatalog", "docker", "ecs", "etcd", "file", "kubernetes", "rest", "web", "zookeeper")
)
_NONE: Final = "leave it out"
GONE: Final = {  # name -> what to do instead
    "acme": "write certificatesResolvers.NAME.acme, and tls.certResolver at the routers",
    "allowminweightzero": _NONE,
    "boltdb": _NONE,
    "cluster": _NONE,
    "constraints": "write providers.NAME.constraints, an expression over labels",
    "docker.constraints": "write providers.docker.constraints, an expression such as Label(`tag`,`api`)",
    "dynamodb": _NONE,
    "eureka": _NONE,
    "gracetimeout": "write entryPoints.NAME.transport.lifeCycle.graceTimeOut",
    "idletimeout": "write entryPoints.NAME.transport.respondingTimeouts.idleTimeout",
    "keeptrailingslash": _NONE,
    "kubernetes.enablepasstlscert": "use the middleware passTLSClientCert, or certificates in a serversTransport",
    "lifecycle": "write entryPoints.NAME.transport.lifeCycle",
    "marathon": _NONE,
    "mesos": _NONE,
    "rancher": _NONE,
    "respondingtimeouts": "write entryPoints.NAME.transport.respondingTimeouts",
    "retry": "use the middleware retry",
    "servicefabric": _NONE,
    "storeconfig": _NONE,
    "web.readonly": _NONE,
    "web.statistics": _NONE,
}
SWITCHES: Final = frozenset((*_PROVIDERS, "debug", "docker.swarmmode", "docker.watch", "retry", "acme"))
_COMPACT: Final = {  # parts of an entry point in 1.x form
    "address": "address",
    "forwardedheaders.insecure": "forwardedHeaders.insecure",
    "forwardedheaders.trustedips": "forwardedHeaders.trustedIPs",
    "proxyprotocol.insecure": "proxyProtocol.insecure",
    "proxyprotocol.trustedips": "proxyProtocol.trustedIPs",
    "redirect.entrypoint": "http.redirections.entryPoint.to",
    "redirect.permanent": "http.redirections.entryPoint.permanent",
}
REMOVED: Final = {  # v2 options, * is any name -> what stands in their place
    "pilot": _NONE,
    "providers.marathon": _NONE,
    "providers.rancher": _NONE,
    "providers.docker.swarmmode": "write providers.swarm",
    "providers.docker.swarmmoderefreshseconds": "write providers.swarm.refreshSeconds",
    "providers.*.tls.caoptional": _NONE,
    "providers.consul.namespace": "write providers.consul.namespaces",
    "providers.consulcatalog.namespace": "write providers.consulCatalog.namespaces",
    "providers.nomad.namespace": "write providers.nomad.namespaces",
    "experimental.http3": "leave it out: entryPoints.NAME.http3 is enough",
    "tracing.jaeger": "write tracing.otlp",
    "tracing.zipkin": "write tracing.otlp",
    "tracing.datadog": "write tracing.otlp",
    "tracing.instana": "write tracing.otlp",
    "tracing.haystack": "write tracing.otlp",
    "tracing.elastic": "write tracing.otlp",
    "metrics.influxdb": "write metrics.influxDB2",
}


class _Modern:
    """Rewrites settings; collects what is to be said about it."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        self.settings: list[Setting] = []
        self.problems: list[Problem] = []
        names = {dotted(setting.path).lower(): setting for setting in settings}
        mode = names.get("docker.swarmmode")
        self.swarm = mode is not None and boolean(mode.value) is True
        self.old = any(setting.path[0].lower() in _PROVIDERS for setting in settings)
        self.names = frozenset(names)

    def say(self, setting: Setting, message: str, hint: str, severity: str = "warning") -> None:
        self.problems.append(Problem(dotted(setting.path), message, hint, setting.place, severity))

    def put(self, setting: Setting, name: str, value: Any) -> None:
        self.settings.append(Setting(split(name), value, setting.place))

    def take(self, setting: Setting) -> None:
        name = dotted(setting.path).lower()
        special = _SPECIAL.get(name)
        gone = _longest(name, GONE)
        renamed = _longest(name, RENAMED)
        if special is not None:
            special(self, setting)
        elif gone and len(gone) >= len(renamed):
            self.say(setting, "this flag of Traefik 1.x has no meaning today", GONE[gone], "error")
        elif renamed:
            self.rename(setting, renamed)
        else:
            self.settings.append(setting)

    def rename(self, setting: Setting, old: str) -> None:
        new = split(RENAMED[old])
        if old == "docker" and self.swarm:
            new = ("providers", "swarm")
        path = (*new, *setting.path[len(split(old)) :])
        self.say(setting, "this is a flag of Traefik 1.x", f"write --{dotted(path)}")
        self.settings.append(Setting(path, setting.value, setting.place))

    def api(self, setting: Setting) -> None:
        self.settings.append(setting)
        if self.old and boolean(setting.value) and "api.insecure" not in self.names:
            message = "beside a flag of Traefik 1.x: the API and the dashboard are open to all on :8080"
            self.say(
                setting, message, "write --api.insecure=true, or --api with today's flags for a router of your own"
            )
            self.put(setting, "api.insecure", "true")

    def web(self, setting: Setting) -> None:
        if boolean(setting.value):
            self.say(setting, "this is a flag of Traefik 1.x: API and dashboard on :8080", "write --api.insecure=true")
            self.put(setting, "api.insecure", "true")

    def swarm_mode(self, setting: Setting) -> None:
        if boolean(setting.value) is None:
            self.say(setting, f"expected true or false, got {setting.value!r}", "write --providers.swarm", "error")
        elif self.swarm:
            self.say(setting, "this is a flag of Traefik 1.x", "write --providers.swarm")
            self.put(setting, "providers.swarm", "true")
        else:
            self.say(setting, "this is a flag of Traefik 1.x", _NONE)

    def debug(self, setting: Setting) -> None:
        self.say(setting, "this is a flag of Traefik 1.x", "write --log.level=DEBUG")
        if boolean(setting.value):
            self.put(setting, "log.level", "DEBUG")

    def domain(self, setting: Setting) -> None:
        kind = "swarm" if self.swarm else "docker"
        rule = f"Host(`{{{{ normalize .Name }}}}.{setting.value}`)"
        self.say(setting, "this is a flag of Traefik 1.x", f"write --providers.{kind}.defaultRule='{rule}'")
        self.put(setting, f"providers.{kind}.defaultRule", rule)

    def default_entry_points(self, setting: Setting) -> None:
        self.say(setting, "this is a flag of Traefik 1.x", "write --entryPoints.NAME.asDefault=true for each")
        for name in str(setting.value).split(","):
            self.put(setting, f"entryPoints.{name.strip()}.asDefault", "true")

    def api_entry_point(self, setting: Setting) -> None:
        hint = "write --entryPoints.traefik.address, or a router with the service api@internal"
        self.say(setting, "this flag of Traefik 1.x has no meaning today", hint, "error")

    def entry_points(self, setting: Setting) -> None:
        """``Name:http Address::80 Redirect.EntryPoint:https``."""
        pairs = [part.partition(":") for part in str(setting.value).split()]
        parts = {key.lower(): (key, value) for key, _, value in pairs}
        _, name = parts.pop("name", ("", ""))
        if not name:
            hint = "write --entryPoints.NAME.address=:80"
            self.say(setting, f"expected options of an entry point, got {setting.value!r}", hint, "error")
            return
        if "redirect.entrypoint" in parts:
            parts.setdefault("redirect.permanent", ("", "false"))
        for key, (written, value) in parts.items():
            self.compact(setting, name, key, written, value)

    def compact(self, setting: Setting, name: str, key: str, written: str, value: str) -> None:
        if key == "tls":
            note = "" if not value else "; put the certificates into tls.certificates of a file"
            self.say(setting, "TLS in Traefik 1.x form", f"write --entryPoints.{name}.http.tls=true{note}")
            self.put(setting, f"entryPoints.{name}.http.tls", "true")
        elif key == "compress":
            self.say(setting, "Compress is not taken over", "use the middleware compress")
        elif key in _COMPACT:
            option = f"entryPoints.{name}.{_COMPACT[key]}"
            if written:
                self.say(setting, "an entry point in Traefik 1.x form", f"write --{option}={value}")
            self.put(setting, option, value)
        else:
            self.say(setting, f"{written} is not understood", "use a middleware, or today's options", "error")


_SPECIAL: Final = {
    "api": _Modern.api,
    "api.entrypoint": _Modern.api_entry_point,
    "debug": _Modern.debug,
    "defaultentrypoints": _Modern.default_entry_points,
    "docker.domain": _Modern.domain,
    "docker.swarmmode": _Modern.swarm_mode,
    "entrypoints": _Modern.entry_points,
    "web": _Modern.web,
}


def modernize(settings: Sequence[Setting]) -> tuple[list[Setting], list[Problem]]:
    """Flags in today's names, and a problem (mostly a warning) for every one that was renamed."""
    modern = _Modern(settings)
    for setting in settings:
        modern.take(setting)
    return modern.settings, modern.problems


def _longest(name: str, table: dict[str, str]) -> str:
    """The longest entry that is ``name`` or stands above it; "" when none does."""
    return max((old for old in table if name == old or name.startswith(old + ".")), key=len, default="")


def removed(path: Path) -> str:
    """What stands in the place of an option that v2 had; "" for every other option."""
    if len(path) > 1 and path[0].lower() == "providers":
        any_provider = ".".join(("providers", "*", *path[2:])).lower()
    else:
        any_provider = ""
    return REMOVED.get(".".join(path).lower()) or REMOVED.get(any_provider) or ""
