"""HTTPS while things change: certificates are replaced, the router becomes another version, and no request is lost.
And private keys, looked for wherever a running router speaks; and plain HTTP sent on to HTTPS."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import ssl
import time
from pathlib import Path
from typing import Any

from live.test_upgrade import App
from live.tls_peers import Authority, visit
from live.toolbox import Router, exchange, fetch, until

RATE, CLIENTS = 300, 20  # requests a second, of so many clients
ROTATIONS = 3
SECURE: dict[str, Any] = {"entryPoints": {"secure": {"address": "127.0.0.1:0"}}, "api": {"insecure": True}}
PATIENT: dict[str, Any] = {**SECURE, "experimental": {"patience": 8.0}}


def routes(url: str, *pairs: dict[str, str]) -> dict[str, Any]:
    return {
        "http": {
            "routers": {"all": {"rule": "Host(`a.test`)", "service": "app", "entryPoints": ["secure"], "tls": {}}},
            "services": {"app": {"loadBalancer": {"servers": [{"url": url}]}}},
        },
        "tls": {"certificates": list(pairs)},
    }


class Requests:
    """``RATE`` requests a second with an id each: one client in two keeps its connection, the other makes a new one
    each time. ``serials`` are the certificates that were seen."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port, self._context = port, context
        self.sent = 0
        self.failures: list[str] = []
        self.serials: set[str] = set()
        self.going = True

    async def run(self) -> None:
        await asyncio.gather(*(self._client(number % 2 == 0) for number in range(CLIENTS)))

    async def _client(self, keeps: bool) -> None:
        streams = None
        while self.going:
            began = time.monotonic()
            self.sent += 1
            path = f"/{self.sent}"
            try:
                streams = streams or await self._connect()
                reply = await asyncio.wait_for(exchange(*streams, path, host="a.test"), 30)
                if reply.status != 200:
                    self.failures.append(f"{path}: {reply.status} {reply.text}")
                if not keeps or reply.headers.get("connection") == "close":
                    streams[1].close()
                    streams = None
            except (OSError, EOFError, TimeoutError) as error:
                self.failures.append(f"{path}: {error!r}")
                streams = None
            await asyncio.sleep(max(0.0, CLIENTS / RATE - (time.monotonic() - began)))
        if streams is not None:
            streams[1].close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        streams = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context, server_hostname="a.test")
        self.serials.add(str(streams[1].get_extra_info("peercert")["serialNumber"]))
        return streams


async def test_rotations_and_an_upgrade_under_load_lose_no_request_and_no_session(tmp_path: Path) -> None:
    authority, app = Authority(tmp_path), App()
    server = await asyncio.start_server(app, "127.0.0.1", 0)
    pair = authority.issue("a.test")
    dynamic = routes(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", pair)
    contexts = [authority.context(version) for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)]
    async with Router(tmp_path, dynamic, PATIENT, workers=2) as router:
        port = router.port("secure")
        visits = [await asyncio.to_thread(visit, port, context, "a.test", path="/first") for context in contexts]
        sessions = [one.session for one in visits]
        requests = Requests(port, authority.context())
        load = asyncio.ensure_future(requests.run())
        await until(lambda: len(requests.serials) == 1 and requests.sent > RATE, "some load")
        for count in range(ROTATIONS):
            await asyncio.to_thread(authority.issue, "a.test")
            await until(lambda count=count: len(requests.serials) >= count + 2, "the new certificate")
        old = router.worker_pids()
        router.process.send_signal(signal.SIGUSR2)
        await until(lambda: router.find_log(event="upgraded"), "the next version", 120)
        await until(lambda: not set(old) & set(router.worker_pids()), "the old workers' end", 60)
        resumed = []
        for _ in range(10):
            for place, context in enumerate(contexts):
                again = await asyncio.to_thread(visit, port, context, "a.test", session=sessions[place], path="/again")
                resumed.append(again.resumed and again.status == 200)
        assert resumed == [True] * 20
        requests.going = False
        await load
    server.close()
    assert requests.failures == []
    own = sorted(int(path[1:]) for path in app.ids if path[1:].isdigit())
    assert own == list(range(1, requests.sent + 1)), "each request reached the server once"


# --- where keys could be seen --------------------------------------------------------------------------------------

PAGES = [
    *(f"/api/{page}" for page in ("overview", "rawdata", "version", "problems", "providers", "workers", "present")),
    *(f"/api/{page}" for page in ("workloads", "entrypoints", "certificates", "http/routers", "http/services")),
    *("/api/http/middlewares", "/api/explain?url=https://a.test/", "/metrics", "/ping", "/dashboard/"),
]


def traces(key: Path) -> list[bytes]:
    """What a private key may be known by: a line of its PEM, the secret number in bytes, hexadecimal, decimal."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    loaded = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    number = loaded.private_numbers().private_value
    raw = number.to_bytes(32, "big")
    lines = [line for line in key.read_bytes().splitlines() if b"-----" not in line]
    words = [raw, raw.hex().encode(), raw.hex().upper().encode(), str(number).encode(), repr(raw).encode()[2:-1]]
    return [*lines, *words, base64.b64encode(raw).rstrip(b"=")]


def bad_ones(authority: Authority) -> list[dict[str, str]]:
    """Pairs that cannot be served, each with a real key: another's key, a key instead of the chain, half a key."""
    files = authority.folder
    other, swapped, half = (authority.issue(f"{name}.test") for name in ("other", "swapped", "half"))
    Path(half["keyFile"]).write_bytes(Path(half["keyFile"]).read_bytes()[:-60])
    inline = authority.issue("inline.test")
    texts = {name: Path(path).read_text() for name, path in inline.items()}
    return [
        {"certFile": other["certFile"], "keyFile": str(files / "a.test.key")},
        {"certFile": swapped["keyFile"], "keyFile": swapped["certFile"]},
        half,
        {"certFile": texts["keyFile"], "keyFile": texts["certFile"]},
        texts,
    ]


def towards_servers(authority: Authority) -> dict[str, Any]:
    """Certificates of the router's own: a good one, one the wrong way round, and keys without their first line."""
    pair = authority.issue("own.test")
    chain, key = (Path(pair[name]).read_text() for name in ("certFile", "keyFile"))
    pasted = key.splitlines()[1]
    return {
        "good": {"certificates": [{"certFile": chain, "keyFile": key}]},
        "swapped": {"certificates": [{"certFile": key, "keyFile": chain}]},
        "pasted": {"certificates": [{"certFile": pasted, "keyFile": pasted}]},
        "trusted": {"rootCAs": [pasted, key]},
    }


async def test_private_keys_are_seen_nowhere(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    good, bad, own = authority.issue("a.test"), bad_ones(authority), towards_servers(authority)
    static = {**SECURE, "accessLog": {"format": "json"}}
    dynamic = routes("http://127.0.0.1:1", good, *bad)
    dynamic["http"]["serversTransports"] = own
    for name in own:
        service = {"serversTransport": name, "servers": [{"url": "https://127.0.0.1:1"}]}
        dynamic["http"]["services"][name] = {"loadBalancer": service}
        dynamic["http"]["routers"][name] = {"rule": f"Host(`{name}.up.test`)", "service": name}
    router = Router(tmp_path, dynamic, static)
    shown: dict[str, bytes] = {}
    async with router:
        port = router.port("secure")
        for name in ("a.test", "inline.test", "unknown.test"):
            context = authority.context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            shown[f"answer to {name}"] = (await asyncio.to_thread(visit, port, context, name)).body
        for name in own:
            shown[f"answer of {name}"] = (await fetch(router.port(), "/", host=f"{name}.up.test")).body
        shown["answer to plain HTTP"] = (await fetch(port, "/", host="a.test")).body
        for page in PAGES:
            reply = await fetch(router.port("traefik"), page, host="127.0.0.1")
            assert reply.status == 200, (page, reply.text)
            shown[page] = reply.body
        problems = json.loads(shown["/api/problems"])
        assert sum("certificates" in json.dumps(one) or "tls" in json.dumps(one) for one in problems) >= 4, problems
        for pid in (router.pid, *router.worker_pids()):
            for file in ("cmdline", "environ"):
                shown[f"{pid} {file}"] = Path(f"/proc/{pid}/{file}").read_bytes()
        for words in (["check"], ["explain", "https://a.test/"], ["check", "--format=json"]):
            process = await asyncio.create_subprocess_exec(
                *[*router.command[:3], *words, *router.command[3:]],
                env=router._env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            shown[" ".join(words)] = (await process.communicate())[0]
    shown["log"], shown["standard output"] = router.log_text().encode(), router.stdout.read_bytes()
    assert b"a.test" in shown["/api/rawdata"] and b"a.test" in shown["log"] + shown["standard output"]
    keys = [path for path in tmp_path.glob("*.key") if b"half" not in path.name.encode()]
    wanted = [trace for key in keys for trace in traces(key)] + (tmp_path / "half.test.key").read_bytes().splitlines()[
        1:
    ]
    assert all(f"{name}.up.test".encode() in shown["standard output"] for name in own)
    assert len(keys) == 5 and len(wanted) >= 30
    seen = [(where, trace) for where, text in shown.items() for trace in wanted if trace in text]
    assert seen == []


# --- plain HTTP is sent on -----------------------------------------------------------------------------------------


async def test_one_option_sends_plain_http_to_https(tmp_path: Path) -> None:
    static = {
        **SECURE,
        "entryPoints": {
            "web": {"http": {"redirections": {"entryPoint": {"to": "secure"}}}},
            "secure": {"address": "127.0.0.1:0", "http": {"tls": {}}},
        },
    }
    authority = Authority(tmp_path)
    dynamic: dict[str, Any] = {
        "http": {"routers": {"all": {"rule": "Host(`a.test`)", "service": "ping@internal"}}},
        "tls": {"certificates": [authority.issue("a.test")]},
    }
    async with Router(tmp_path, dynamic, static) as router:
        port = router.port("secure")
        rows = [("GET", "/x/y?z=%201", "/x/y?z=%201"), ("POST", "/", "/"), ("GET", "//evil.test/", "/evil.test/")]
        for method, path, expected in rows:
            reply = await fetch(router.port("web"), path, host="a.test", method=method, body=b"x" * (method == "POST"))
            assert reply.status == (301 if method == "GET" else 308)
            assert reply.headers["location"] == f"https://a.test:{port}{expected}"
        seen = await asyncio.to_thread(visit, port, authority.context(), "a.test", path="/x/y?z=%201")
        assert (seen.status, seen.names) == (200, ["a.test"])
