"""Annotations of Ingresses and Services -> what they ask for, sorted by where it goes. Pure; nothing is looked up.

Today's spelling is ``edgerouter.ingress.kubernetes.io/router.*`` and ``service.*`` (``traefik.`` means the same).
1.x's spellings (``traefik.ingress.kubernetes.io/*``, ``ingress.kubernetes.io/*``, ``traefik.frontend.*``,
``traefik.backend.*``) are translated to the vocabulary of ``config.v1_middlewares``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import yaml

from edgerouter.config.types import Problem

PREFIXES: Final = ("edgerouter.ingress.kubernetes.io/", "traefik.ingress.kubernetes.io/", "ingress.kubernetes.io/")

# 1.x's annotation -> the vocabulary of config.v1_middlewares, or a word of this room's own (without a dot).
ON_INGRESS: Final = {
    "frontend-entry-points": "entrypoints",
    "priority": "priority",
    "preserve-host": "preserve-host",
    "protocol": "protocol",
    "rule-type": "rule-type",
    "request-modifier": "request-modifier",
    "rewrite-target": "rewrite-target",
    "app-root": "app-root",
    "service-weights": "service-weights",
    "auth-type": "auth-type",
    "auth-secret": "auth-secret",
    "auth-realm": "auth-realm",
    "auth-tls-secret": "auth-tls-secret",
    "rate-limit": "rate-limit",
    "error-pages": "error-pages",
    "pass-client-tls-cert": "pass-client-tls-cert",
    "pass-tls-cert": "pass-tls-cert",
    "redirect-entry-point": "frontend.redirect.entrypoint",
    "redirect-regex": "frontend.redirect.regex",
    "redirect-replacement": "frontend.redirect.replacement",
    "redirect-permanent": "frontend.redirect.permanent",
    "whitelist-source-range": "frontend.whitelist.sourcerange",
    "whitelist-x-forwarded-for": "frontend.whitelist.usexforwardedfor",
    "auth-remove-header": "frontend.auth.basic.removeheader",
    "auth-header-field": "frontend.auth.headerfield",
    "auth-url": "frontend.auth.forward.address",
    "auth-trust-headers": "frontend.auth.forward.trustforwardheader",
    "auth-response-headers": "frontend.auth.forward.authresponseheaders",
    "auth-tls-insecure": "frontend.auth.forward.tls.insecureskipverify",
    "custom-request-headers": "frontend.headers.customrequestheaders",
    "custom-response-headers": "frontend.headers.customresponseheaders",
    "allowed-hosts": "frontend.headers.allowedhosts",
    "proxy-headers": "frontend.headers.hostsproxyheaders",
    "ssl-redirect": "frontend.headers.sslredirect",
    "ssl-temporary-redirect": "frontend.headers.ssltemporaryredirect",
    "ssl-host": "frontend.headers.sslhost",
    "ssl-force-host": "frontend.headers.sslforcehost",
    "ssl-proxy-headers": "frontend.headers.sslproxyheaders",
    "hsts-max-age": "frontend.headers.stsseconds",
    "hsts-include-subdomains": "frontend.headers.stsincludesubdomains",
    "hsts-preload": "frontend.headers.stspreload",
    "force-hsts": "frontend.headers.forcestsheader",
    "frame-deny": "frontend.headers.framedeny",
    "custom-frame-options-value": "frontend.headers.customframeoptionsvalue",
    "content-type-nosniff": "frontend.headers.contenttypenosniff",
    "browser-xss-filter": "frontend.headers.browserxssfilter",
    "custom-browser-xss-value": "frontend.headers.custombrowserxssvalue",
    "content-security-policy": "frontend.headers.contentsecuritypolicy",
    "public-key": "frontend.headers.publickey",
    "referrer-policy": "frontend.headers.referrerpolicy",
    "is-development": "frontend.headers.isdevelopment",
}
ON_SERVICE: Final = {
    "affinity": "affinity",
    "session-cookie-name": "session-cookie-name",
    "session-secure": "session-secure",
    "session-http-only": "session-http-only",
    "session-same-site": "session-same-site",
    "circuit-breaker-expression": "backend.circuitbreaker.expression",
    "load-balancer-method": "load-balancer-method",
    "max-conn-amount": "backend.maxconn.amount",
    "max-conn-extractor-func": "backend.maxconn.extractorfunc",
    "responseforwarding-flushinterval": "flush-interval",
    "buffering": "buffering",
}
BY_LABEL: Final = {
    "traefik.frontend.entrypoints": "entrypoints",
    "traefik.frontend.priority": "priority",
    "traefik.frontend.passhostheader": "preserve-host",
    "traefik.frontend.passtlscert": "pass-tls-cert",
    "traefik.frontend.rule.type": "rule-type",
    "traefik.frontend.redirect.entrypoint": "frontend.redirect.entrypoint",
    "traefik.frontend.redirect.regex": "frontend.redirect.regex",
    "traefik.frontend.redirect.replacement": "frontend.redirect.replacement",
    "traefik.backend.loadbalancer.stickiness": "affinity",
    "traefik.backend.loadbalancer.sticky": "affinity",
    "traefik.backend.loadbalancer.stickiness.cookiename": "session-cookie-name",
    "traefik.backend.loadbalancer.method": "load-balancer-method",
    "traefik.backend.circuitbreaker": "backend.circuitbreaker.expression",
    "traefik.backend.circuitbreaker.expression": "backend.circuitbreaker.expression",
    "traefik.backend.maxconn.amount": "backend.maxconn.amount",
    "traefik.backend.maxconn.extractorfunc": "backend.maxconn.extractorfunc",
}
_BEFORE_V1: Final = ("traefik.frontend.", "traefik.backend.")
# Read by ingress classes, or nobody's business here.
_ELSEWHERE: Final = ("kubernetes.io/", "kubectl.kubernetes.io/", "nginx.ingress.kubernetes.io/", "cert-manager.io/")


class Asked(msgspec.Struct, kw_only=True):
    """What annotations ask for.

    ``today``: below ``router.`` or ``service.``, by the path behind it. ``old``: 1.x's, by the vocabulary named above.
    ``written`` says for each which annotation it was.
    """

    today: dict[str, str] = {}
    old: dict[str, str] = {}
    written: dict[str, str] = {}
    problems: list[Problem] = []

    def problem(self, word: str, message: str, hint: str = "", severity: str = "error") -> None:
        """Note what is wrong with what ``word`` of ``today`` or ``old`` holds."""
        self.problems.append(Problem(f"annotations.{self.written.get(word, word)}", message, hint, "", severity))


def read(annotations: Mapping[str, str], room: str) -> Asked:
    """Sort the annotations of an Ingress (``room`` is "router") or of a Service ("service")."""
    asked = Asked()
    known = ON_INGRESS if room == "router" else ON_SERVICE
    for annotation in sorted(annotations, key=_rank):
        value = annotations[annotation]
        prefix = next((prefix for prefix in PREFIXES if annotation.startswith(prefix)), "")
        if prefix:
            _take(asked, annotation, annotation[len(prefix) :], value, known, room)
        elif annotation.lower().startswith(_BEFORE_V1):
            _take_label(asked, annotation, value)
    return asked


def _rank(annotation: str) -> tuple[int, str]:
    """Of two spellings of one thing, ours counts first, then the longer of 1.x's."""
    place = next((at for at, prefix in enumerate(PREFIXES) if annotation.startswith(prefix)), len(PREFIXES))
    return place, annotation


def _take(asked: Asked, annotation: str, word: str, value: str, known: Mapping[str, str], room: str) -> None:
    part, dot, path = word.partition(".")
    if dot and part in ("router", "service"):
        if part == room:
            _put(asked, asked.today, path.lower(), annotation, value)
        else:
            other = "Service" if part == "service" else "Ingress"
            asked.problem(annotation, f"this annotation belongs on the {other}", f"move it to the {other}", "warning")
        return
    translated = known.get(word)
    if translated is None:
        close = difflib.get_close_matches(word, [*known, f"{room}.entrypoints", f"{room}.middlewares"], n=1)
        elsewhere = word in ON_INGRESS or word in ON_SERVICE
        hint = "it belongs on the " + ("Service" if room == "router" else "Ingress") if elsewhere else ""
        hint = hint or (f"did you mean {close[0]!r}?" if close else "see the reference of annotations")
        asked.problem(annotation, f"unknown annotation {annotation!r}", hint, "warning")
        return
    _put(asked, asked.old, translated, annotation, value)


def _take_label(asked: Asked, annotation: str, value: str) -> None:
    word = BY_LABEL.get(annotation.lower())
    if word is None:
        asked.problem(annotation, f"unknown annotation {annotation!r}", "see the reference of annotations", "warning")
    else:
        _put(asked, asked.old, word, annotation, value)


def _put(asked: Asked, room: dict[str, str], word: str, annotation: str, value: str) -> None:
    if word in room:
        if room[word] != value:
            message = f"not used, because {asked.written[word]} says something else"
            asked.problem(annotation, message, "keep one of the two", "warning")
        return
    room[word] = value
    asked.written[word] = annotation


def expand_yaml(asked: Asked) -> None:
    """Put annotations that hold YAML (``rate-limit``, ``error-pages``, ``buffering``, ``pass-client-tls-cert``) into
    ``old`` under the vocabulary's own words; what is no YAML becomes a problem."""
    for word, target in (
        ("rate-limit", "frontend.ratelimit."),
        ("error-pages", "frontend.errors."),
        ("buffering", "backend.buffering."),
        ("pass-client-tls-cert", "frontend.passtlsclientcert."),
    ):
        if word in asked.old:
            found = yaml_of(asked, word)
            for path, value in _flat(found):
                asked.old.setdefault(target + path, value)
                asked.written.setdefault(target + path, asked.written[word])


def yaml_of(asked: Asked, word: str) -> dict[str, Any]:
    """The mapping that an annotation holds as YAML; {} and a problem when it holds none."""
    try:
        found = yaml.load(asked.old[word], Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        asked.problem(word, f"this is no YAML{place}: {getattr(error, 'problem', error)}")
        return {}
    if not isinstance(found, dict):
        asked.problem(word, "expected names with values", "write name: value lines")
        return {}
    return found


_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _flat(node: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    made: list[tuple[str, str]] = []
    for key, value in node.items():
        path = f"{prefix}{str(key).lower()}"
        if isinstance(value, Mapping):
            made.extend(_flat(value, f"{path}."))
        elif isinstance(value, list):
            made.append((path, ",".join(str(item) for item in value)))
        else:
            made.append((path, str(value).lower() if isinstance(value, bool) else str(value)))
    return made
