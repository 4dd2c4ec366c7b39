"""1.x's annotations of one Ingress -> the middlewares of its routers, as plain data. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from edgerouter.config.v1_middlewares import Step, dollars, frontend_steps, is_true, listed
from edgerouter.providers._ingress_annotations import Asked, expand_yaml
from edgerouter.providers._ingress_rules import RULE_TYPES
from edgerouter.providers._kubernetes_facts import KubernetesSecret, PathRule

FindSecret = Callable[[str], KubernetesSecret | None]
_MODIFIERS: Final = ("AddPrefix", "ReplacePath", "ReplacePathRegex")


def shared_steps(asked: Asked, find_secret: FindSecret) -> list[Step]:
    """Steps of all paths of an Ingress, outermost first; what cannot be used becomes a refused one and a problem."""
    if not asked.old:
        return []
    expand_yaml(asked)
    made = _secret_auth(asked, find_secret)
    steps = [step for step in frontend_steps(asked.old) if not (made and step[0] == "auth")]
    if "pass-tls-cert" in asked.old and is_true(asked.old["pass-tls-cert"]):
        hint = "use a serversTransport with certificates of the router's own"
        asked.problem("pass-tls-cert", "a client's certificate cannot be presented to a server", hint, "warning")
    return steps + made + _modifier(asked)


def path_steps(asked: Asked, path: PathRule) -> list[Step]:
    """Steps of one path: what its rule type strips, what its target rewrites, where its root leads."""
    steps: list[Step] = []
    change = rule_type(asked)[1]
    if change == "strip" and path.path != "/":
        steps.append(("strip", "stripPrefix", {"prefixes": [path.path]}))
    if change == "replace":
        steps.append(("replace", "replacePath", {"path": path.path}))
    target = asked.old.get("rewrite-target", "").strip()
    if target:
        regex = f"^{re.escape(path.path.rstrip('/'))}(/.*)?$" if path.path != "/" else "^(/.*)$"
        options = {"regex": regex, "replacement": f"{target.rstrip('/')}${{1}}"}
        steps.append(("rewrite", "replacePathRegex", options))
    root = asked.old.get("app-root", "").strip()
    if root and path.path == "/":
        options = {"regex": "^(https?://[^/]+)/$", "replacement": "${1}/" + root.lstrip("/")}
        steps.insert(
            0,
            (
                "root",
                "redirectRegex",
                {**options, "permanent": is_true(asked.old.get("frontend.redirect.permanent", ""))},
            ),
        )
    return steps


def rule_type(asked: Asked) -> tuple[str, str]:
    """The matcher that ``rule-type`` (1.x) or ``router.pathmatcher`` names, and what the former does to the path."""
    old = asked.old.get("rule-type", "").strip()
    if old and old.lower() not in RULE_TYPES:
        hint = "write Path, PathPrefix, PathStrip or PathPrefixStrip"
        asked.problem("rule-type", f"unknown rule type {old[:40]!r}", hint)
    return RULE_TYPES.get(old.lower(), ("", ""))


def _modifier(asked: Asked) -> list[Step]:
    """``request-modifier``: ``AddPrefix: /x``, ``ReplacePath: /x``, ``ReplacePathRegex: ^/a/(.*) /b/$1``."""
    text = asked.old.get("request-modifier", "").strip()
    if not text:
        return []
    kind, _, value = (part.strip() for part in text.partition(":"))
    if kind == "AddPrefix" and value:
        return [("modify", "addPrefix", {"prefix": value})]
    if kind == "ReplacePath" and value:
        return [("modify", "replacePath", {"path": value})]
    parts = value.split()
    if kind == "ReplacePathRegex" and len(parts) == 2:
        return [("modify", "replacePathRegex", {"regex": parts[0], "replacement": dollars(parts[1])})]
    hint = f"write one of {', '.join(_MODIFIERS)}, a colon and its value"
    asked.problem("request-modifier", f"cannot read {text[:60]!r}", hint)
    return [_refused("modify", "request-modifier cannot be read")]


def _secret_auth(asked: Asked, find_secret: FindSecret) -> list[Step]:
    """``auth-type`` with ``auth-secret``, or ``auth-url`` with ``auth-tls-secret``."""
    kind = asked.old.get("auth-type", "").strip().lower()
    if kind in ("basic", "digest"):
        return [_users(asked, find_secret, kind)]
    if kind == "forward" or (not kind and "frontend.auth.forward.address" in asked.old):
        return _forward(asked, find_secret)
    if kind:
        asked.problem("auth-type", f"unknown auth type {kind[:40]!r}", "write basic, digest or forward")
        return [_refused("auth", "auth-type is unknown")]
    if "auth-secret" in asked.old:
        asked.problem("auth-secret", "auth-secret without auth-type", "add auth-type: basic")
        return [_refused("auth", "auth-secret without auth-type")]
    return []


def _users(asked: Asked, find_secret: FindSecret, kind: str) -> Step:
    name = asked.old.get("auth-secret", "").strip()
    secret = find_secret(name) if name else None
    if secret is None:
        asked.problem(
            "auth-secret", f"there is no secret {name!r} in this namespace", "create it, with one key of users"
        )
        return _refused("auth", f"there is no secret {name!r}")
    if len(secret.values) != 1:
        asked.problem(
            "auth-secret", f"secret {name!r} has {len(secret.values)} keys", "keep one key, with a user a line"
        )
        return _refused("auth", f"secret {name!r} has not one key")
    lines = next(iter(secret.values.values())).reveal().splitlines()
    options: dict[str, Any] = {"users": [line.strip() for line in lines if line.strip() and not line.startswith("#")]}
    if asked.old.get("frontend.auth.headerfield"):
        options["headerField"] = asked.old["frontend.auth.headerfield"]
    if is_true(asked.old.get("frontend.auth.basic.removeheader", "")):
        options["removeHeader"] = True
    return "auth", "basicAuth" if kind == "basic" else "digestAuth", options


def _forward(asked: Asked, find_secret: FindSecret) -> list[Step]:
    url = asked.old.get("frontend.auth.forward.address", "").strip()
    if not url:
        asked.problem("auth-type", "auth-type forward needs auth-url", "add auth-url")
        return [_refused("auth", "auth-type forward without auth-url")]
    step = next(step for step in frontend_steps({**asked.old, "frontend.auth.basic.users": ""}) if step[0] == "auth")
    name = asked.old.get("auth-tls-secret", "").strip()
    if not name:
        return [step]
    secret = find_secret(name)
    if secret is None or not {"tls.crt", "tls.key"} <= set(secret.values):
        asked.problem("auth-tls-secret", f"there is no secret {name!r} with tls.crt and tls.key in this namespace")
        return [_refused("auth", f"secret {name!r} cannot be used")]
    tls = {"cert": secret.values["tls.crt"].reveal(), "key": secret.values["tls.key"].reveal()}
    return [(step[0], step[1], {**step[2], "tls": {**step[2].get("tls", {}), **tls}})]


def _refused(name: str, why: str) -> Step:
    """A step that stands for one that cannot be made: its routers answer 500, and are never served without it."""
    return name, "", {"why": why}


def old_entry_points(asked: Asked) -> list[str]:
    """``frontend-entry-points``."""
    return listed(asked.old.get("entrypoints", ""))
