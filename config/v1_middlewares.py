"""What Traefik 1.x wrote as options of frontends and backends -> today's middlewares, as plain data.

The vocabulary is that of 1.x's container labels without their first word, in lower case
(``frontend.whitelist.sourcerange``); whoever reads other spellings (Ingress annotations) translates them to it first.
Where a value cannot be kept, the middleware's own decoding says so; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

Old = Mapping[str, str]  # "frontend.auth.basic.users" -> text
Step = tuple[str, str, dict[str, Any]]  # name within its owner, kind, options

_TRUE: Final = ("1", "t", "true")
_SECURE: Final = {
    "framedeny": "frameDeny",
    "customframeoptionsvalue": "customFrameOptionsValue",
    "contenttypenosniff": "contentTypeNosniff",
    "browserxssfilter": "browserXssFilter",
    "custombrowserxssvalue": "customBrowserXSSValue",
    "contentsecuritypolicy": "contentSecurityPolicy",
    "publickey": "publicKey",
    "referrerpolicy": "referrerPolicy",
    "isdevelopment": "isDevelopment",
    "stsseconds": "stsSeconds",
    "stsincludesubdomains": "stsIncludeSubdomains",
    "stspreload": "stsPreload",
    "forcestsheader": "forceSTSHeader",
    "allowedhosts": "allowedHosts",
    "hostsproxyheaders": "hostsProxyHeaders",
}
_BUFFERING: Final = {
    "maxrequestbodybytes": "maxRequestBodyBytes",
    "memrequestbodybytes": "memRequestBodyBytes",
    "maxresponsebodybytes": "maxResponseBodyBytes",
    "memresponsebodybytes": "memResponseBodyBytes",
    "retryexpression": "retryExpression",
}


def is_true(text: str) -> bool:
    """Read a boolean as 1.x did: what is none counts as false."""
    return text.strip().lower() in _TRUE


def pairs(text: str) -> dict[str, str]:
    """``K:v||K2:v2``, the form of maps in labels and annotations."""
    split = (part.partition(":") for part in text.split("||") if part.strip())
    return {key.strip(): value.strip() for key, _, value in split}


def listed(text: str) -> list[str]:
    """A comma list."""
    return [part.strip() for part in text.split(",") if part.strip()]


def frontend_steps(old: Old) -> list[Step]:
    """Middlewares of a frontend, outermost first, in the order in which 1.x ran them."""
    parts = (_errors, _allow_list, _redirect, _headers, _client_certificate, _auth, _rate_limits)
    return [step for part in parts for step in part(old)]


def backend_steps(old: Old) -> list[Step]:
    """Middlewares of a backend, outermost first."""
    return [step for part in (_breaker, _buffering, _connections) for step in part(old)]


def _below(old: Old, prefix: str) -> dict[str, str]:
    return {key[len(prefix) :]: value for key, value in old.items() if key.startswith(prefix) and value.strip()}


def _groups(old: Old, prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
    """``prefix<name>.<option>``, name by name."""
    found: dict[str, dict[str, str]] = {}
    for key, value in _below(old, prefix).items():
        name, _, option = key.partition(".")
        found.setdefault(name, {})[option] = value
    yield from sorted(found.items())


def _errors(old: Old) -> Iterable[Step]:
    for name, given in _groups(old, "frontend.errors."):
        options = {"status": listed(given.get("status", "")), "service": given.get("backend", "")}
        yield f"errors-{name}", "errors", {**options, "query": given.get("query", "")}


def _allow_list(old: Old) -> Iterable[Step]:
    ranges = old.get("frontend.whitelist.sourcerange") or old.get("frontend.whitelistsourcerange", "")
    if ranges.strip():
        options: dict[str, Any] = {"sourceRange": listed(ranges)}
        if is_true(old.get("frontend.whitelist.usexforwardedfor", "")):
            options["ipStrategy"] = {"depth": 1}
        yield "allow", "ipAllowList", options


def _redirect(old: Old) -> Iterable[Step]:
    given = _below(old, "frontend.redirect.")
    permanent = is_true(given.get("permanent", ""))
    if "entrypoint" in given:
        # 1.x named an entry point; its scheme is what the client must use.
        scheme = "http" if given["entrypoint"].strip() in ("http", "web") else "https"
        yield "redirect", "redirectScheme", {"scheme": scheme, "permanent": permanent}
    elif "regex" in given or "replacement" in given:
        options = {"regex": given.get("regex", ""), "replacement": dollars(given.get("replacement", ""))}
        yield "redirect", "redirectRegex", {**options, "permanent": permanent}


def dollars(replacement: str) -> str:
    """``$1x`` names the group ``1x`` in Go: 1.x's users meant the first group and then x, so say that."""
    return re.sub(r"\$(\d+)", r"${\1}", replacement)


def _headers(old: Old) -> Iterable[Step]:
    given = _below(old, "frontend.headers.")
    if is_true(given.get("sslredirect", "")):
        permanent = not is_true(given.get("ssltemporaryredirect", ""))
        host = given.get("sslhost", "").strip()
        if host:
            regex, replacement = "^https?://[^/]+(.*)", f"https://{host}${{1}}"
            options = {"regex": regex, "replacement": replacement, "permanent": permanent}
            if not is_true(given.get("sslforcehost", "")):
                options["regex"] = "^http://[^/]+(.*)"
            yield "ssl", "redirectRegex", options
        else:
            yield "ssl", "redirectScheme", {"scheme": "https", "permanent": permanent}
    options = {today: given[name] for name, today in _SECURE.items() if name in given}
    for name, today in (
        ("customrequestheaders", "customRequestHeaders"),
        ("customresponseheaders", "customResponseHeaders"),
    ):
        if name in given:
            options[today] = pairs(given[name])
    if "sslproxyheaders" in given:
        options["sslProxyHeaders"] = pairs(given["sslproxyheaders"])
    if options:
        yield "headers", "headers", options


def _client_certificate(old: Old) -> Iterable[Step]:
    given = _below(old, "frontend.passtlsclientcert.")
    if not given:
        return
    options: dict[str, Any] = {"pem": is_true(given.get("pem", ""))}
    info: dict[str, Any] = {}
    for key, value in given.items():
        if key.startswith("infos."):
            at = info
            *way, last = key.split(".")[1:]
            for part in way:
                at = at.setdefault(part, {})
            at[last] = is_true(value)
    if info:
        options["info"] = info
    yield "client-cert", "passTLSClientCert", options


def _auth(old: Old) -> Iterable[Step]:
    field = old.get("frontend.auth.headerfield", "")
    for scheme, kind in (("basic", "basicAuth"), ("digest", "digestAuth")):
        given = _below(old, f"frontend.auth.{scheme}.")
        users = given.get("users") or old.get(f"frontend.auth.{scheme}", "")
        if users.strip() or "usersfile" in given:
            options: dict[str, Any] = {"users": listed(users)} if users.strip() else {}
            options |= {"usersFile": given["usersfile"]} if "usersfile" in given else {}
            options |= {"removeHeader": True} if is_true(given.get("removeheader", "")) else {}
            options |= {"headerField": field} if field else {}
            yield "auth", kind, options
            return
    given = _below(old, "frontend.auth.forward.")
    if "address" in given:
        yield "auth", "forwardAuth", _forward(given)


def _forward(given: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {"address": given["address"]}
    if is_true(given.get("trustforwardheader", "")):
        options["trustForwardHeader"] = True
    if "authresponseheaders" in given:
        options["authResponseHeaders"] = listed(given["authresponseheaders"])
    names = {"tls.ca": "ca", "tls.cert": "cert", "tls.key": "key"}
    tls: dict[str, Any] = {today: given[name] for name, today in names.items() if name in given}
    if is_true(given.get("tls.insecureskipverify", "")):
        tls["insecureSkipVerify"] = True
    return {**options, "tls": tls} if tls else options


def _rate_limits(old: Old) -> Iterable[Step]:
    criterion = source_criterion(old.get("frontend.ratelimit.extractorfunc", ""))
    for name, given in _groups(old, "frontend.ratelimit.rateset."):
        known: dict[str, Any] = {key: given[key] for key in ("period", "average", "burst") if key in given}
        yield f"rate-{name}", "rateLimit", {**known, **criterion}


def source_criterion(function: str) -> dict[str, Any]:
    """What 1.x called an extractor: ``client.ip``, ``request.host`` or ``request.header.NAME``."""
    function = function.strip()
    if function == "request.host":
        return {"sourceCriterion": {"requestHost": True}}
    if function.startswith("request.header."):
        return {"sourceCriterion": {"requestHeaderName": function.removeprefix("request.header.")}}
    return {"sourceCriterion": {"ipStrategy": {}}} if function == "client.ip" else {}


def _breaker(old: Old) -> Iterable[Step]:
    expression = old.get("backend.circuitbreaker.expression") or old.get("backend.circuitbreaker", "")
    if expression.strip():
        yield "breaker", "circuitBreaker", {"expression": expression.strip()}


def _buffering(old: Old) -> Iterable[Step]:
    given = _below(old, "backend.buffering.")
    options = {today: given[name] for name, today in _BUFFERING.items() if name in given}
    if options:
        yield "buffering", "buffering", options


def _connections(old: Old) -> Iterable[Step]:
    amount = old.get("backend.maxconn.amount", "").strip()
    if amount and amount != "0":  # 0 was "no limit"; today it would let nobody in
        criterion = source_criterion(old.get("backend.maxconn.extractorfunc", "request.host"))
        yield "connections", "inFlightReq", {"amount": amount, **criterion}
