"""What Traefik 1.x and 2.x called things -> today's files and labels, for ``edgerouter convert``. Pure: data to data.

Understood are dynamic files of 1.x (frontends, backends) and 2.x, Compose and stack files with labels, Ingresses of
older API versions, and plain ``label=value`` lines. What stays as it is stays untouched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from edgerouter.config.ingress_versions import is_old, to_current
from edgerouter.config.legacy_labels import modernize
from edgerouter.config.nest import finish, grow, split

PREFIXES: Final = ("traefik", "edgerouter")
_RENAMED: Final = (  # paths of 2.x, in lower case -> today's
    (re.compile(r"^((?:http|tcp)\.middlewares\.[^.]+)\.ipwhitelist\.", re.I), r"\1.ipAllowList."),
    (re.compile(r"\.headers\.accesscontrolalloworigin$", re.I), ".headers.accessControlAllowOriginList"),
    (re.compile(r"\.headers\.featurepolicy$", re.I), ".headers.permissionsPolicy"),
)
_GONE: Final = (  # paths of 2.x that mean nothing today -> what to do instead
    (re.compile(r"\.headers\.ssl(redirect|temporaryredirect|host|forcehost)$", re.I), "use redirectScheme"),
    (re.compile(r"\.stripprefix\.forceslash$", re.I), "a slash is put before the rest where there is none"),
    (re.compile(r"\.forwardauth\.tls\.caoptional$", re.I), "leave it out"),
    (re.compile(r"^tcp\.services\.[^.]+\.loadbalancer\.terminationdelay$", re.I), "write it in a serversTransport"),
)
_RULE: Final = re.compile(r"^(http|tcp)\.routers\.([^.]+)\.rule$", re.I)
_V2_RULE: Final = re.compile(
    r"\b(HostHeader|Headers|HeadersRegexp)\(|\{\w|\b(Host|HostRegexp|Path|PathPrefix|Method|HostSNI)\(\s*([`\"])[^`\"]*\3\s*,"
)


class Converted(msgspec.Struct, frozen=True):
    """``notes`` say what was renamed, and what could not be."""

    data: Any
    notes: tuple[str, ...]


def labels(given: Mapping[str, str], name: str) -> Converted:
    """Labels of one workload; those with another prefix stay as they are."""
    made: dict[str, str] = {}
    notes: list[str] = []
    for prefix in PREFIXES:
        own = {label.partition(".")[2]: str(text) for label, text in given.items() if _prefix(label) == prefix}
        modern = modernize(own, name)
        old = {said.label for said in modern.said}
        notes += [f"{prefix}.{said.label}: {said.fault or 'now ' + said.today}" for said in modern.said]
        kept = {path: text for path, text in own.items() if path not in old}
        today = dict(_from_v2({**modern.labels, **kept}, notes, prefix + "."))
        made |= {f"{prefix}.{path}": text for path, text in today.items()}
    others = {label: text for label, text in given.items() if _prefix(label) not in PREFIXES}
    return Converted({**others, **made}, tuple(notes))


def _prefix(label: str) -> str:
    return label.partition(".")[0].lower() if "." in label else ""


def document(data: Any) -> Converted:
    """One document of a file."""
    if not isinstance(data, Mapping):
        return Converted(data, ())
    if is_old(data):
        return Converted(to_current(data), (f"{data.get('kind')}: now networking.k8s.io/v1",))
    if "services" in data and not {"http", "tcp", "udp", "frontends", "backends"} & set(data):
        return _compose(data)
    if "frontends" in data or "backends" in data:
        return _old_file(data)
    notes: list[str] = []
    root: dict[str, Any] = {}
    for path, value in _from_v2(dict(_flat(data, "")), notes, ""):
        grow(root, split(path), value)
    return Converted(finish(root), tuple(notes)) if notes else Converted(data, ())


def _from_v2(paths: Mapping[str, Any], notes: list[str], prefix: str) -> Iterator[tuple[str, Any]]:
    for path, value in paths.items():
        gone = next((hint for pattern, hint in _GONE if pattern.search(path)), "")
        if gone:
            notes.append(f"{prefix}{path}: gone; {gone}")
            continue
        today = path
        for pattern, new in _RENAMED:
            today = pattern.sub(new, today)
        if today != path:
            notes.append(f"{prefix}{path}: now {prefix}{today}")
        yield today, value
        rule = _RULE.match(path)
        syntax = f"{path[: -len('.rule')]}.ruleSyntax"
        if rule and _V2_RULE.search(str(value)) and syntax.lower() not in {one.lower() for one in paths}:
            notes.append(f"{prefix}{path}: in the syntax of 2.x; {prefix}{syntax}=v2 says so")
            yield syntax, "v2"


def _flat(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Leaves by dotted path; empty mappings and lists are leaves too."""
    if isinstance(node, Mapping) and node:
        for key, below in node.items():
            yield from _flat(below, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list) and any(isinstance(one, Mapping) for one in node):
        for index, below in enumerate(node):
            yield from _flat(below, f"{path}[{index}]")
    else:
        yield path, node


def _compose(data: Mapping[str, Any]) -> Converted:
    """Labels of a Compose or stack file's services."""
    notes: list[str] = []
    services = {}
    for name, service in (data.get("services") or {}).items():
        if isinstance(service, Mapping):
            service = dict(service)
            _relabel(service, name, notes)
            if isinstance(service.get("deploy"), Mapping):
                service["deploy"] = dict(service["deploy"])
                _relabel(service["deploy"], name, notes)
        services[name] = service
    return Converted({**data, "services": services}, tuple(notes)) if notes else Converted(data, ())


def _relabel(holder: dict[str, Any], name: str, notes: list[str]) -> None:
    given = holder.get("labels")
    if isinstance(given, list):
        found = labels(dict(_pair(str(line)) for line in given), name)
        holder["labels"] = [f"{label}={text}" for label, text in found.data.items()]
    elif isinstance(given, Mapping):
        texts = {str(label): _text(value) for label, value in given.items()}
        found = labels(texts, name)
        holder["labels"] = found.data
    else:
        return
    notes.extend(f"{name}: {note}" for note in found.notes)


def _pair(line: str) -> tuple[str, str]:
    label, _, text = line.partition("=")
    return label.strip(), text.strip()


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _old_file(data: Mapping[str, Any]) -> Converted:
    """Frontends and backends of a 1.x file."""
    root: dict[str, Any] = {}
    notes: list[str] = []
    backends = data.get("backends") or {}
    for name, frontend in (data.get("frontends") or {}).items():
        frontend = dict(frontend)
        routes = frontend.pop("routes", {}) or {}
        backend = str(frontend.pop("backend", name))
        given = _options(frontend, "frontend")
        given["frontend.rule"] = ";".join(str(route.get("rule", "")) for route in routes.values())
        rest = {key: value for key, value in (backends.get(backend) or {}).items() if key != "servers"}
        modern = modernize({**given, **_options(rest, "backend"), "backend": backend}, str(name))
        notes += [f"frontends.{name}: {said.label}: {said.fault or 'now ' + said.today}" for said in modern.said]
        for path, text in modern.labels.items():
            grow(root, split(path), _list(path, text))
    for name, backend in backends.items():
        servers = [_server(one) for one in (backend.get("servers") or {}).values()]
        for index, server in enumerate(servers):
            for key, value in server.items():
                service = str(name).replace(".", "-")
                grow(root, split(f"http.services.{service}.loadbalancer.servers[{index}].{key}"), value)
    others = {key: value for key, value in data.items() if key not in ("frontends", "backends")}
    return Converted({**finish(root), **others}, tuple(notes))


def _server(server: Mapping[str, Any]) -> dict[str, Any]:
    return {key: server[key] for key in ("url", "weight") if key in server}


def _options(node: Mapping[str, Any], prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, value in _flat(node, prefix):
        if path.lower().endswith(("customrequestheaders", "customresponseheaders")) or not path:
            continue
        found[path] = ",".join(map(str, value)) if isinstance(value, list) else _text(value)
    return found


_LISTS: Final = (
    "middlewares",
    "entrypoints",
    "sourcerange",
    "users",
    "prefixes",
    "regex",
    "status",
    "authresponseheaders",
)


def _list(path: str, text: str) -> Any:
    """Options that are lists in files."""
    word = path.rpartition(".")[2]
    wants = word in _LISTS and not (word == "regex" and "stripprefixregex" not in path)
    return [part for part in text.split(",") if part] if wants else text


_MARK: Final = re.compile(r"^(?:--label[= ]\s*|-l\s+|-\s+)")


def lines(text: str) -> dict[str, str] | None:
    """``label=value`` and ``label: value`` lines, as they stand in commands and files; None when there are others."""
    found: dict[str, str] = {}
    for raw in text.splitlines():
        line = _MARK.sub("", raw.strip()).rstrip("\\").strip().strip("'\"")
        if not line or line.startswith("#"):
            continue
        label, sign, value = line.partition("=")
        if not sign or not re.fullmatch(r"[\w.\[\]/@-]+", label.strip()):
            return None
        found[label.strip()] = value.strip().strip("'\"")
    return found


def join(found: Sequence[Converted]) -> tuple[str, ...]:
    """All notes."""
    return tuple(note for one in found for note in one.notes)
