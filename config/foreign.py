"""What people bring from other configuration of Traefik and does not belong here: Kubernetes objects, Gateway API, TCP,
Go templates. Tables of what to write instead, and how such things are told. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from edgerouter.config.late import refers

Path = tuple[str, ...]
Said = tuple[str, str]  # what is wrong, what to write instead

_KUBERNETES: Final = "this option is of Kubernetes objects"
_TCP: Final = "this is of TCP, which is not served yet"
_GATEWAY: Final = "this is of Gateway API routes"
_FILE_OF_USERS: Final = "write users, or usersFile with the name of a file"
_NAMED: Final = "name a service that is defined beside this one"

OPTIONS: Final[Mapping[str, Said]] = {  # below the kind, in lower case, without places in lists
    "basicauth.secret": (_KUBERNETES, _FILE_OF_USERS),
    "digestauth.secret": (_KUBERNETES, _FILE_OF_USERS),
    "forwardauth.tls.casecret": (_KUBERNETES, "write tls.ca with the name of a file"),
    "forwardauth.tls.certsecret": (_KUBERNETES, "write tls.cert and tls.key with names of files"),
    "ratelimit.redis.secret": (_KUBERNETES, "write redis.username and redis.password, e.g. ${file:/run/secrets/redis}"),
    "loadbalancer.nativelb": (_KUBERNETES, "write the service's address as a server: url: http://host:port"),
    "loadbalancer.nodeportlb": (_KUBERNETES, "write the nodes' addresses as servers: url: http://host:port"),
    "loadbalancer.servers.address": (_TCP, "write url: http://host:port"),
    "loadbalancer.servers.tls": (_TCP, "write url: https://host:port"),
    "loadbalancer.terminationdelay": (_TCP, "leave it out"),
    "loadbalancer.proxyprotocol": (_TCP, "write proxyProtocol into the service's serversTransport"),
    "weighted.services.port": (_KUBERNETES, _NAMED),
    "weighted.services.kind": (_KUBERNETES, _NAMED),
    "weighted.services.namespace": (_KUBERNETES, _NAMED),
    "mirroring.mirrors.port": (_KUBERNETES, _NAMED),
}
OBJECTS: Final = {"errors.service": "write service: NAME of a service that is defined beside it"}
ROUTER: Final[Mapping[str, Said]] = {
    "match": (_KUBERNETES, "write rule"),
    "kind": (_KUBERNETES, "leave it out"),
    "services": (_KUBERNETES, "write service: NAME of one service; weighted ones divide requests among several"),
    "syntax": (_KUBERNETES, "write ruleSyntax"),
    "routes": (_KUBERNETES, "write a router for each route"),
}
TRANSPORT: Final[Mapping[str, Said]] = {
    "spiffe": ("SPIFFE is not there yet", "write rootCAs and certificates with names of files"),
    "certificatessecrets": (_KUBERNETES, "write certificates with names of files"),
}
MIDDLEWARES: Final[Mapping[str, Said]] = {
    "inflightconn": (_TCP, "write inFlightReq, or maxConnectionsPerIP of the entry point"),
    "requestheadermodifier": (_GATEWAY, "write headers with customRequestHeaders"),
    "responseheadermodifier": (_GATEWAY, "write headers with customResponseHeaders"),
    "requestredirect": (_GATEWAY, "write redirectScheme or redirectRegex"),
    "urlrewrite": (_GATEWAY, "write replacePathRegex, or headers with customRequestHeaders for the host"),
}

_WORDS: Final = (
    r"\.|\$|-?\s*(?:env|if|else|end|range|with|define|template|block|index|print|printf|println|len|not|and|or|eq|ne|"
    r"default|quote|upper|lower|trim|split|join|list|dict|until|add|file|readFile|expandenv|toString|b64enc|b64dec)\b"
)
_TEMPLATE: Final = re.compile(r"\{\{-?\s*(?:" + _WORDS + r")[^\n]*?\}\}")
_FILLED_IN: Final = (
    "files are no templates: write ${env:NAME} in options of middlewares and services, "
    "and let another program fill in the rest"
)


def template(text: str) -> tuple[int, str] | None:
    """The place of the first Go template in a text, and the template."""
    found = _TEMPLATE.search(text)
    return None if found is None else (found.start(), found[0])


def said_of_template(found: str) -> Said:
    """What is wrong with one."""
    shown = found if len(found) <= 60 else found[:57] + "..."
    return f"this is a Go template, and nothing here fills it in: {shown}", _FILLED_IN


def texts(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """All texts in plain data, with their paths."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield (*path, str(key)), str(key)
            yield from texts(item, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from texts(item, (*path, f"[{index}]"))


def holds(value: object, mark: str) -> bool:
    """True when some text in plain data, names included, has ``mark`` in it: the quick look before a close one."""
    if isinstance(value, str):
        return mark in value
    if isinstance(value, (dict, Mapping)):
        for key, item in value.items():
            if mark in str(key) or holds(item, mark):
                return True
    elif isinstance(value, (list, tuple)):
        for item in value:
            if holds(item, mark):
                return True
    return False


def templates_in(value: object) -> tuple[Path, Said] | None:
    """The first Go template in an object."""
    if not holds(value, "{{"):
        return None
    for path, text in texts(value):
        found = template(text) if "{{" in text else None
        if found is not None:
            return path, said_of_template(found[1])
    return None


def references_in(value: object) -> tuple[Path, Said] | None:
    """The first ``${env:X}`` in an object that takes none."""
    if not holds(value, "${"):
        return None
    for path, text in texts(value):
        if refers(text):
            hint = "write the value; references stand in options of middlewares, services, serversTransports and tls"
            return path, ("${env:...} and ${file:...} are not read here", hint)
    return None


def kubernetes_object(data: object) -> Said | None:
    """What to say of a manifest in the place of a configuration."""
    if not isinstance(data, (dict, Mapping)) or "apiVersion" not in data or "kind" not in data:
        return None
    kind = str(data["kind"])[:60]
    return (
        f"this is a Kubernetes object of kind {kind}, and no configuration",
        "write http: with routers, services, middlewares; Ingresses are read by providers.kubernetesIngress",
    )


def option(path: Path, message: str) -> Said | None:
    """What to say of a faulty option, given its path from the kind on."""
    name = ".".join(part for part in path if not part.startswith("[")).lower()
    if name in OBJECTS and message.startswith("expected text"):
        return "this is how Kubernetes objects name a service", OBJECTS[name]
    return OPTIONS.get(name) if message.startswith("unknown option") else None
