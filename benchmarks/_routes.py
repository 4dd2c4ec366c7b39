"""The same routes in every peer's language: hosts (a host each), prefixes (one host, a path each), mixed."""

from __future__ import annotations

from typing import Any


def matches(kind: str, count: int) -> list[dict[str, str]]:
    """What each route matches: keys among host, wildcard, path, prefix, header, method."""
    if kind == "prefixes":
        return [{"host": "one.bench.test", "prefix": f"/p{i}/"} for i in range(count)]
    if kind == "hosts":
        return [{"host": f"host-{i}.bench.test"} for i in range(count)]
    plain = int(count * 0.9)
    return [{"host": f"host-{i}.bench.test"} if i < plain else _special(i) for i in range(count)]


def _special(i: int) -> dict[str, str]:
    return [
        {"wildcard": f"w{i}.bench.test"},
        {"host": "exact.bench.test", "path": f"/exact/{i}"},
        {"host": "header.bench.test", "prefix": f"/h{i}/", "header": f"k{i}"},
        {"host": "method.bench.test", "prefix": f"/m{i}/", "method": "GET"},
    ][i % 4]


def rule(match: dict[str, str]) -> str:
    """In EdgeRouter's (Traefik's) rule language."""
    parts = []
    if "wildcard" in match:
        parts.append(f"Host(`*.{match['wildcard']}`)")
    if "host" in match:
        parts.append(f"Host(`{match['host']}`)")
    if "path" in match:
        parts.append(f"Path(`{match['path']}`)")
    if "prefix" in match:
        parts.append(f"PathPrefix(`{match['prefix']}`)")
    if "header" in match:
        parts.append(f"Header(`X-Kind`, `{match['header']}`)")
    if "method" in match:
        parts.append(f"Method(`{match['method']}`)")
    return " && ".join(parts)


def edgerouter(kind: str, count: int, upstream: int) -> dict[str, Any]:
    """As a file provider's configuration: one service and one metrics series a router."""
    servers = [{"url": f"http://127.0.0.1:{upstream}"}]
    routers = {f"r{i}": {"rule": rule(m), "service": f"s{i}"} for i, m in enumerate(matches(kind, count))}
    services = {f"s{i}": {"loadBalancer": {"servers": servers}} for i in range(count)}
    return {"http": {"routers": routers, "services": services}}


def nginx(kind: str, count: int, port: int) -> str:
    """Server blocks by name, locations by path."""
    by_host: dict[str, list[str]] = {}
    for match in matches(kind, count):
        host = f"*.{match['wildcard']}" if "wildcard" in match else match["host"]
        where = f"= {match['path']}" if "path" in match else match.get("prefix", "/")
        by_host.setdefault(host, []).append(f"location {where} {{ proxy_pass http://backend; }}")
    listen = f"listen 127.0.0.1:{port};"
    return "\n".join(f"server {{ {listen} server_name {h};\n{chr(10).join(ls)}\n}}" for h, ls in by_host.items())


def haproxy(kind: str, count: int, folder: str) -> str:
    """A map file where there is one key, as people write it."""
    names = matches(kind, count)
    if kind == "prefixes":
        lines, test = [f"{m['prefix']} app" for m in names], "path,map_beg"
    else:
        lines = [f"{m.get('host', '.' + m.get('wildcard', ''))} app" for m in names]
        test = "req.hdr(host),lower,map_dom" if kind == "mixed" else "req.hdr(host),lower,map_str"
    with open(f"{folder}/haproxy.map", "w") as out:
        out.write("\n".join(sorted(set(lines))) + "\n")
    return f"    use_backend %[{test}({folder}/haproxy.map)]"


def caddy(kind: str, count: int, port: int, upstream: int) -> str:
    """A site each; only for small counts."""
    proxy = f"reverse_proxy 127.0.0.1:{upstream}"
    return "\n".join(f"http://{m['host']}:{port} {{\n  {proxy}\n}}" for m in matches("hosts", count))
