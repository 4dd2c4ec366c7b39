"""Who may pass, through the running router with real clients: curl logs in, shows keys and tokens, lies about itself.

One router for all rows, so that it costs one start. What each middleware does in detail is in tests/middlewares.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from hashlib import md5
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import OctKey
from live.toolbox import EchoServer, Router, fetch, until

SECRET = "correct-horse-battery-staple-0123"
BCRYPT = "$2y$05$SPVJlb9BAULMsm4/0vr7U.ypt6VYhSv4lR9LF9BhaLfg50Fz/TQ3C"  # p


def token(**claims: Any) -> str:
    made: str = jwt.encode({"alg": "HS256"}, {"exp": int(time.time()) + 600, **claims}, OctKey.import_key(SECRET))
    return made


def middlewares(auth: str) -> dict[str, Any]:
    return {
        "basic": {"basicAuth": {"users": [f"ann:{BCRYPT}"], "headerField": "X-User", "removeHeader": True}},
        "digest": {"digestAuth": {"users": ["ann:traefik:" + md5(b"ann:traefik:p").hexdigest()]}},
        "key": {"apiKey": {"keys": ["ann:${env:EDGE_TEST_KEY}"]}},
        "token": {"jwt": {"signingSecret": "${file:secret.txt}", "forwardHeaders": {"X-User": "sub"}}},
        "yes": {"forwardAuth": {"address": f"{auth}/?status=200"}},
        "no": {"forwardAuth": {"address": f"{auth}/?status=403"}},
        "here": {"ipAllowList": {"sourceRange": ["127.0.0.1"]}},
        "there": {"ipAllowList": {"sourceRange": ["10.0.0.0/8"], "ipStrategy": {"depth": 1}}},
        "shun": {"ipDenyList": {"sourceRange": ["127.0.0.0/8"]}},
        "strip": {"stripPrefixRegex": {"regex": ["/strip/[0-9]+"]}},
        "plain": {"encodedCharacters": {}},
    }


# arguments of curl, path -> status. The same client may try what it likes: the others' rows must not change.
ROWS: list[tuple[list[str], str, int]] = [
    (["-u", "ann:p"], "/basic", 200),
    (["-u", "ann:p", "-H", "X-User: root", "-H", "X_User: root"], "/basic", 200),
    (["-u", "ann:wrong"], "/basic", 401),
    (["-u", "eve:p"], "/basic", 401),
    ([], "/basic", 401),
    (["-H", "authorization: Basic YW5uOnA=", "-H", "Authorization: Basic ZXZlOng="], "/basic", 401),
    (["--digest", "-u", "ann:p"], "/digest", 200),
    (["--digest", "-u", "ann:p"], "/digest?a=b&c=d", 200),
    (["--digest", "-u", "ann:wrong"], "/digest", 401),
    (["-H", "X-API-Key: s3cret-of-the-environment"], "/key", 200),
    (["-H", "X-API-Key: ${env:EDGE_TEST_KEY}"], "/key", 401),
    (["-H", "Authorization: Bearer TOKEN"], "/token", 200),
    (["-H", "Authorization: Bearer OLD"], "/token", 401),
    ([], "/yes", 200),
    ([], "/no", 403),
    ([], "/here", 200),
    (["-H", "X-Forwarded-For: 10.0.0.1"], "/there", 403),
    (["-H", "X_Forwarded_For: 10.0.0.1", "-H", "X-Real-Ip: 10.0.0.1"], "/there", 403),
    (["-H", "X-Forwarded-For: 8.8.8.8"], "/shun", 403),
    ([], "/strip/12/x", 200),
    ([], "/plain/a%20b", 200),
    ([], "/plain/a%2Fb", 400),
    ([], "/plain/a%2fb", 400),
]


async def curl(port: int, arguments: list[str], path: str) -> tuple[int, str]:
    """(status, body) as curl sees them."""
    command = ["curl", "-s", "--path-as-is", "-w", "\n%{http_code}", *arguments, f"http://127.0.0.1:{port}{path}"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    out = (await asyncio.wait_for(process.communicate(), 60))[0].decode()
    body, _, status = out.rpartition("\n")
    return int(status), body


async def test_who_passes(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text(SECRET + "\n")
    async with EchoServer("app") as app, EchoServer("auth") as auth:
        steps = middlewares(auth.url)
        routers = {name: {"rule": f"PathPrefix(`/{name}`)", "service": "app", "middlewares": [name]} for name in steps}
        services = {"app": {"loadBalancer": {"servers": [{"url": app.url}]}}}
        config = {"http": {"routers": routers, "middlewares": steps, "services": services}}
        env = {"EDGE_TEST_KEY": "s3cret-of-the-environment"}
        async with Router(tmp_path, config, env=env, static={"api": {"insecure": True}}) as router:
            for pid in router.worker_pids():  # what checks tokens is there before the first one
                assert "cryptography/hazmat/bindings/_rust" in Path(f"/proc/{pid}/maps").read_text()
            tokens = {"TOKEN": token(sub="ann"), "OLD": token(sub="ann", exp=1)}
            wrong = []
            for arguments, path, status in ROWS:
                words = [word.replace("TOKEN", tokens["TOKEN"]).replace("OLD", tokens["OLD"]) for word in arguments]
                found, body = await curl(router.port(), words, path)
                if found != status:
                    wrong.append((arguments, path, status, found))
                if found == 200:
                    judge(path, json.loads(body))
            assert wrong == []
            shown = (await fetch(router.port("traefik"), "/api/rawdata")).text + router.log_text()
            assert "s3cret-of" not in shown and SECRET not in shown and BCRYPT not in shown
            await broken_one_alone(router, config)


def judge(path: str, report: dict[str, Any]) -> None:
    """What the server got of a request that passed."""
    fields = {name.lower(): value for name, value in report["headers"]}
    if path.startswith(("/basic", "/token")):
        assert fields["x-user"] == "ann" and "x_user" not in fields
        assert ("authorization" in fields) == path.startswith("/token")
    if path.startswith("/key"):
        assert "x-api-key" not in fields
    if path.startswith("/strip"):
        assert report["path"] == "/x" and fields["x-forwarded-prefix"] == "/strip/12"


async def broken_one_alone(router: Router, config: dict[str, Any]) -> None:
    """Options that are wrong: 500 for their router, with a problem; the others go on."""
    config["http"]["middlewares"]["here"] = {"ipAllowList": {"sourceRange": ["nonsense"]}}
    seen = len(router.lines)
    router.write_dynamic(config)
    await until(lambda: router.find_log(event="applied", since=seen), "the configuration to be live")
    reply = await fetch(router.port(), "/here", headers={"Accept": "application/json"})
    assert (reply.status, reply.json()["cause"]) == (500, "BAD_CONFIG")
    assert (await fetch(router.port(), "/yes")).status == 200
    problems = (await fetch(router.port("traefik"), "/api/problems")).text
    assert "sourceRange: 'nonsense' is no address and no range; write 192.168.1.7" in problems
