"""basicAuth, digestAuth, apiKey: who gets in, with what, and every way that was tried to get in without."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import pytest
from steps import Clock, ask, make

from edgerouter.http.exchange import Exchange
from edgerouter.middlewares import _verifier
from edgerouter.middlewares._nonces import count_used
from edgerouter.middlewares._passwords import matches, md5_crypt
from edgerouter.middlewares._verifier import MOST_WAITING, Verifier
from edgerouter.telemetry.records import DEFAULT_SIZE, SharedRecords, create_records


def made_by_htpasswd(flags: str, password: str) -> str:
    program = shutil.which("htpasswd")
    assert program, "htpasswd is not installed: run .ci/live-peers.sh as root"
    said = subprocess.run([program, "-nb", *flags.split(), "ann", password], capture_output=True, text=True, check=True)
    return said.stdout.strip()


def shown(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


async def status(step: Any, exchange: Exchange) -> int:
    """200: passed."""
    answer = step.on_request(exchange)
    if answer is not None and not hasattr(answer, "status"):
        answer = await answer
    return 200 if answer is None else int(answer.status)


# -- hashes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", ["-B -C 4", "-m", "-s"])
@pytest.mark.parametrize("password", ["p", "", "test", "a longer one with spaces and: colons", "päß", "x" * 80])
def test_hashes_as_htpasswd_makes_them(flags: str, password: str) -> None:
    stored = made_by_htpasswd(flags, password).partition(":")[2]
    assert matches(password.encode(), stored)
    assert not matches(password.encode() + b"x", stored) or ("-B" in flags and len(password) >= 72)
    assert not matches(b"other", stored)


def test_unix_md5() -> None:
    assert md5_crypt(b"p", "$1$abc$") == "$1$abc$Y.5JwZlXvTsMEFhYjLCbq."


# -- basicAuth --------------------------------------------------------------------------------------------------------

SHA = "{SHA}UWuXg/ylF+7L0dBk2i0WUxCxl1k="  # p


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


@pytest.mark.parametrize(
    ("headers", "status_"),
    [
        ([("Authorization", f"Basic {encoded(b'ann:p')}")], 200),
        ([("authorization", f"basic {encoded(b'ann:p')}")], 200),
        ([("AUTHORIZATION", f"BASIC  {encoded(b'ann:p')}  ")], 200),
        ([], 401),
        ([("Authorization", "")], 401),
        ([("Authorization", "Basic")], 401),
        ([("Authorization", "Basic !!!")], 401),
        ([("Authorization", f"Basic {encoded(b'ann')}")], 401),
        ([("Authorization", f"Basic {encoded(b':p')}")], 401),
        ([("Authorization", f"Basic {encoded(b'Ann:p')}")], 401),
        ([("Authorization", f"Basic {encoded(b'ann:P')}")], 401),
        ([("Authorization", f"Basic {encoded(b'ann:p:')}")], 401),
        ([("Authorization", f"Basic {encoded(b'ann:')}")], 401),
        ([("Authorization", f"Basic {encoded(('ann:' + SHA).encode())}")], 401),
        ([("Authorization", f"Bearer {encoded(b'ann:p')}")], 401),
        ([("Authorization", f"Basic{encoded(b'ann:p')}")], 401),
        ([("Authorization", f"Basic {encoded(b'ann:p')}\x80")], 401),
        ([("Authorization", f"Basic {encoded(b'a' + bytes([10]) + b'nn:p')}")], 401),
        # two fields: the server might believe the other one
        ([("Authorization", f"Basic {encoded(b'ann:p')}"), ("Authorization", f"Basic {encoded(b'bob:x')}")], 401),
        ([("Authorization", f"Basic {encoded(b'bob:x')}"), ("authorization", f"Basic {encoded(b'ann:p')}")], 401),
        ([("Proxy-Authorization", f"Basic {encoded(b'ann:p')}")], 401),
        ([("X-Authorization", f"Basic {encoded(b'ann:p')}"), ("Cookie", "Authorization=x")], 401),
    ],
)
async def test_basic(headers: list[tuple[str, str]], status_: int) -> None:
    exchange = ask()
    for name, value in headers:
        exchange.request.headers.add(name, value)
    step: Any = make("basicAuth", {"users": [f"ann:{SHA}"]})
    answer = step.on_request(exchange)
    assert (200 if answer is None else answer.status) == status_
    if answer is None:
        assert (exchange.cause, exchange.user) == ("", "ann")
        assert exchange.request.headers.get("Authorization") is not None
    else:
        assert answer.body.take() == b"401 Unauthorized\n"
        assert answer.headers.get("WWW-Authenticate") == 'Basic realm="traefik"'
        assert exchange.cause == "UNAUTHORIZED"


async def test_basic_tells_the_server_who_it_is_and_nobody_else_does() -> None:
    options = {"users": [f"ann:{SHA}"], "headerField": "X-Web-User", "removeHeader": True, "realm": 'a "b"'}
    step: Any = make("basicAuth", options)
    exchange = ask(headers=shown("ann", "p"))
    forged = ["X-Web-User", "x-web-user", "X_Web_User", "X-WEB_USER"]
    for name in forged:
        exchange.request.headers.add(name, "root")
    assert step.on_request(exchange) is None
    fields = dict(exchange.request.headers.items())
    assert fields == {"X-Web-User": "ann"}
    refused = step.on_request(ask())
    assert refused.headers.get("WWW-Authenticate") == 'Basic realm="a \\"b\\""'


@pytest.mark.parametrize("flags", ["-B -C 4", "-m"])
async def test_slow_hashes_are_checked_once(flags: str) -> None:
    step: Any = make("basicAuth", {"users": [made_by_htpasswd(flags, "right")]})
    for password, status_ in (("right", 200), ("wrong", 401)):
        first = step.on_request(ask(headers=shown("ann", password)))
        assert not hasattr(first, "status") and first is not None, "in a thread"
        answer = await first
        assert (200 if answer is None else answer.status) == status_
        again = step.on_request(ask(headers=shown("ann", password)))
        assert (200 if again is None else again.status) == status_, "remembered"


async def test_unknown_users_take_as_long_as_known_ones() -> None:
    step: Any = make("basicAuth", {"users": [made_by_htpasswd("-B -C 4", "p")]})
    waiting = step.on_request(ask(headers=shown("nobody", "p")))
    assert (await waiting).status == 401, "even with the password of another"


async def test_the_loop_goes_on_while_passwords_are_checked() -> None:
    stored = made_by_htpasswd("-B -C 10", "p")
    step: Any = make("basicAuth", {"users": [stored]})
    checks = [status(step, ask(headers=shown("ann", f"wrong {turn}"))) for turn in range(8)]
    task = asyncio.gather(*checks)
    turns, busy = 0, time.thread_time()
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    assert await task == [401] * 8
    assert turns > 100, f"{turns} turns of the loop in {time.thread_time() - busy} s of its own"


async def test_a_flood_of_passwords_is_turned_away_and_users_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_verifier, "MOST_WAITING", 4)
    step: Any = make("basicAuth", {"users": [made_by_htpasswd("-B -C 10", "p")]})
    assert await status(step, ask(headers=shown("ann", "p"))) == 200
    flood = [ask(headers=shown("ann", f"flood {turn}")) for turn in range(12)]
    tasks = [asyncio.ensure_future(status(step, exchange)) for exchange in flood]
    await asyncio.sleep(0)
    assert step.on_request(ask(headers=shown("ann", "p"))) is None, "checked before: passes at once"
    statuses = await asyncio.gather(*tasks)
    assert statuses.count(401) >= 4 and statuses.count(503) >= 1 and set(statuses) == {401, 503}
    assert {exchange.cause for exchange in flood} == {"UNAUTHORIZED", "AUTH_BUSY"}


async def test_the_same_check_is_made_once_at_a_time() -> None:
    stored = made_by_htpasswd("-B -C 10", "p").partition(":")[2]
    verifier = Verifier()
    results = [verifier.check("ann", b"p", stored) for _ in range(MOST_WAITING + 10)]
    assert not any(isinstance(result, bool) for result in results)
    assert await asyncio.gather(*results) == [True] * len(results)  # type: ignore[arg-type]
    assert verifier.check("ann", b"p", stored) is True
    assert verifier.check("ann", b"q", SHA) is False


async def test_the_file_of_users_is_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"# people\n\nann:{SHA}\nbob:{SHA}\n")
    clock = Clock()
    other = "{SHA}" + encoded(bytes.fromhex("22ea1c649c82946aa6e479e1ffd321e4a318b1b0"))  # q
    step: Any = make("basicAuth", {"users": [f"bob:{other}"], "usersFile": str(file)}, now=clock)
    assert await status(step, ask(headers=shown("ann", "p"))) == 200
    assert await status(step, ask(headers=shown("bob", "p"))) == 401, "users win over usersFile"
    assert await status(step, ask(headers=shown("bob", "q"))) == 200
    file.write_text(f"cat:{SHA}\n")
    await until_status(step, clock, "cat", 200)
    assert await status(step, ask(headers=shown("ann", "p"))) == 401
    for broken in (lambda: file.write_text("cat without a colon\n"), file.unlink):
        broken()
        for _ in range(5):
            clock.seconds += 2
            await asyncio.sleep(0.01)
            assert await status(step, ask(headers=shown("cat", "p"))) == 200, "the users from before"
    file.write_text(f"dan:{SHA}\n")
    await until_status(step, clock, "dan", 200)


async def until_status(step: Any, clock: Clock, name: str, wanted: int) -> None:
    async with asyncio.timeout(20):
        while await status(step, ask(headers=shown(name, "p"))) != wanted:
            clock.seconds += 1.1
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "basicAuth: users: there are none; write users or usersFile"),
        ({"users": ["ann"]}, "basicAuth: users: line 1: expected name:hash, as htpasswd -nB NAME prints it"),
        ({"users": [f"ann:{SHA}", "bob:plaintext"]}, "basicAuth: users: line 2: no hash of a kind that is known"),
        ({"users": ["bob:$6$x$y"]}, "make it with htpasswd -nB NAME"),
        ({"users": ["bob:$2y$05$short"]}, "no hash of a kind that is known"),
        ({"usersFile": "/nonexistent/users"}, "/nonexistent/users cannot be read: No such file or directory"),
        ({"users": [f"ann:{SHA}"], "realm": "a\r\nSet-Cookie: b"}, "basicAuth: realm: "),
        ({"users": [f"ann:{SHA}"], "headerField": "X User"}, "headerField: 'X User' is no header field"),
        ({"users": [f"ann:{SHA}"], "headerField": "Host"}, "headerField: 'Host' is written by the router itself"),
    ],
)
def test_bad_options_of_basic(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make("basicAuth", options)
    assert message in str(caught.value)
    assert "plaintext" not in str(caught.value), "what may be a password is not quoted"


# -- digestAuth -------------------------------------------------------------------------------------------------------

HA1 = md5(b"ann:traefik:p").hexdigest()


def digest(text: str) -> str:
    return md5(text.encode()).hexdigest()


def proof(nonce: str, uri: str = "/", nc: str = "00000001", ha1: str = HA1, method: str = "GET", **changes: str) -> str:
    response = digest(f"{ha1}:{nonce}:{nc}:abc:auth:{digest(f'{method}:{uri}')}")
    parts = {"username": "ann", "realm": "traefik", "nonce": nonce, "uri": uri, "response": response, **changes}
    text = ", ".join(f'{name}="{value}"' for name, value in parts.items())
    return f'Digest {text}, qop=auth, nc={nc}, cnonce="abc"'


def challenge(step: Any) -> str:
    answer = step.on_request(ask())
    assert (answer.status, answer.body.take()) == (401, b"401 Unauthorized\n")
    match = re.fullmatch(
        r'Digest realm="traefik", nonce="([^"]+)", opaque="[0-9a-f]+", algorithm=MD5, qop="auth"',
        answer.headers.get("WWW-Authenticate"),
    )
    assert match is not None
    return match[1]


def digest_status(step: Any, field: str, target: str = "/", method: str = "GET") -> tuple[int, bool]:
    answer = step.on_request(ask(method=method, target=target, headers={"Authorization": field}))
    if answer is None:
        return 200, False
    return answer.status, answer.headers.get("WWW-Authenticate").endswith(", stale=true")


@pytest.fixture
def memory() -> Iterator[int]:
    fd = create_records(DEFAULT_SIZE, workers=4)
    yield fd
    os.close(fd)


def test_digest_over_all_workers(memory: int) -> None:
    clock = Clock()
    options = {"users": [f"ann:traefik:{HA1}"], "removeHeader": True, "headerField": "X-User"}
    steps = [make("digestAuth", options, SharedRecords(memory, slot), clock) for slot in range(2)]
    nonce = challenge(steps[0])
    exchange = ask(headers={"Authorization": proof(nonce), "X_User": "root"})
    assert steps[1].on_request(exchange) is None
    assert dict(exchange.request.headers.items()) == {"X-User": "ann"}
    assert exchange.user == "ann"
    assert digest_status(steps[0], proof(nonce)) == (401, True), "listened to and sent again"
    assert digest_status(steps[0], proof(nonce, nc="00000003")) == (200, False)
    assert digest_status(steps[1], proof(nonce, nc="00000002")) == (200, False), "overtaken"
    assert digest_status(steps[1], proof(nonce, nc="00000003")) == (401, True)
    clock.seconds += 299
    assert digest_status(steps[1], proof(nonce, nc="00000004")) == (200, False)
    clock.seconds += 1
    assert digest_status(steps[1], proof(nonce, nc="00000005")) == (401, True), "too old"


@pytest.mark.parametrize(
    "field",
    [
        lambda nonce: "",
        lambda nonce: "Digest",
        lambda nonce: "Digest username=ann",
        lambda nonce: "Basic YW5uOnA=",
        lambda nonce: proof(nonce, ha1=digest("ann:traefik:wrong")),
        lambda nonce: proof(nonce, ha1=""),
        lambda nonce: proof(nonce, ha1="nobody", username="eve"),
        lambda nonce: proof(nonce, uri="/other"),
        lambda nonce: proof(nonce, method="POST"),
        lambda nonce: proof(nonce, realm="other"),
        lambda nonce: proof(nonce, username="eve"),
        lambda nonce: proof(nonce, response="0" * 32),
        lambda nonce: proof(nonce, response=""),
        lambda nonce: proof(nonce, algorithm="SHA-256"),
        lambda nonce: proof(nonce, algorithm="MD5-sess"),
        lambda nonce: proof(nonce) + ', username="eve"',
        lambda nonce: proof(nonce).replace("qop=auth", "qop=auth-int"),
        lambda nonce: proof(nonce).replace("nc=00000001", "nc=1"),
        lambda nonce: proof(nonce).replace('cnonce="abc"', 'cnonce="abd"'),
        lambda nonce: proof(nonce) + ",,",
    ],
)
def test_digest_refuses(field: Any) -> None:
    step = make("digestAuth", {"users": [f"ann:traefik:{HA1}"]})
    nonce = challenge(step)
    assert digest_status(step, field(nonce)) == (401, False)
    assert digest_status(step, proof(nonce)) == (200, False), "the nonce was not used up by it"


@pytest.mark.parametrize("forged", ["", "x", "3e8.0011223344556677.000000000000000000000000", "-1.a.b", "zz.zz.zz"])
def test_forged_nonces_are_stale(forged: str) -> None:
    step = make("digestAuth", {"users": [f"ann:traefik:{HA1}"]})
    assert digest_status(step, proof(forged)) == (401, True)


@pytest.mark.parametrize("nc", ["00000000", "80000000", "ffffffff"])
def test_counts_that_cannot_be(nc: str) -> None:
    step = make("digestAuth", {"users": [f"ann:traefik:{HA1}"]})
    assert digest_status(step, proof(challenge(step), nc=nc)) == (401, True)


def test_two_proofs_are_none() -> None:
    step: Any = make("digestAuth", {"users": [f"ann:traefik:{HA1}"]})
    exchange = ask(headers={"Authorization": proof(challenge(step))})
    exchange.request.headers.add("Authorization", "Digest x")
    assert step.on_request(exchange).status == 401


def test_each_count_is_good_once() -> None:
    value, used = 0, set()
    for count in (1, 2, 5, 3, 4, 40, 9, 10, 39, 8, 2**31 - 1, 2**31 - 2):
        after = count_used(value, count)
        allowed = count > max(used, default=0) or (count not in used and max(used) - count <= 31)
        assert (after >= 0) == allowed, count
        if after >= 0:
            value = after
            used.add(count)
            assert after < 2**63
    assert all(count_used(value, count) == -1 for count in used)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "digestAuth: users: there are none"),
        ({"users": [f"ann:{SHA}"]}, "digestAuth: users: line 1: expected name:realm:hash, as htdigest writes it"),
        ({"users": [f"ann:traefik:{HA1}x"]}, "expected name:realm:hash"),
    ],
)
def test_bad_options_of_digest(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make("digestAuth", options)
    assert message in str(caught.value)


# -- apiKey -----------------------------------------------------------------------------------------------------------

HASHED = "{SHA256}" + sha256(b"s3cret").hexdigest()
BEARER = {"header": "Authorization", "headerAuthScheme": "Bearer", "query": "api_key", "cookie": "key"}


@pytest.mark.parametrize(
    ("source", "target", "headers", "status_"),
    [
        ({}, "/", [("X-API-Key", "s3cret")], 200),
        ({}, "/", [("x-api-key", "s3cret")], 200),
        ({}, "/", [("X-API-Key", "s3cret"), ("x-api-key", "s3cret")], 200),
        ({}, "/", [("X-API-Key", "s3cret"), ("x-api-key", "other")], 401),
        ({}, "/", [("X-API-Key", "S3CRET")], 401),
        ({}, "/", [("X-API-Key", "")], 401),
        ({}, "/", [("X-API-Key", HASHED)], 401),
        ({}, "/", [("X_API_Key", "s3cret")], 401),
        ({}, "/?api_key=s3cret", [("Cookie", "key=s3cret")], 401),
        (BEARER, "/", [("Authorization", "bearer s3cret")], 200),
        (BEARER, "/", [("Authorization", "s3cret")], 401),
        (BEARER, "/", [("Authorization", "Basic s3cret")], 401),
        (BEARER, "/?a=1&api_key=s3%63ret", [], 200),
        (BEARER, "/?api_key=s3cret&api_key=x", [], 401),
        (BEARER, "/?API_KEY=s3cret", [], 401),
        (BEARER, "/", [("Cookie", "a=b; key=s3cret; c=d")], 200),
        (BEARER, "/", [("Cookie", "key=s3cret"), ("Cookie", "key=other")], 401),
        (BEARER, "/?api_key=x", [("Authorization", "Bearer s3cret")], 401),
        (BEARER, "/", [("Cookie", "xkey=s3cret; key")], 401),
    ],
)
def test_api_key(source: dict[str, str], target: str, headers: list[tuple[str, str]], status_: int) -> None:
    step: Any = make("apiKey", {"keys": [f"ann:{HASHED}", "bob:other-key"], "keySource": source})
    exchange = ask(target=target)
    for name, value in headers:
        exchange.request.headers.add(name, value)
    answer = step.on_request(exchange)
    assert (200 if answer is None else answer.status) == status_
    if answer is None:
        assert exchange.user == "ann"
        assert "s3cret" not in f"{exchange.request.headers.items()}{exchange.request.target_text()}"
    else:
        assert exchange.cause == "UNAUTHORIZED"


def test_api_key_leaves_the_rest_alone() -> None:
    step: Any = make("apiKey", {"keys": ["bob:k"], "keySource": BEARER, "headerField": "X-Partner"})
    exchange = ask(target="/x?a=1&api_key=k&b=2", headers={"Cookie": "a=b; key=k; c=d", "X_Partner": "root"})
    assert step.on_request(exchange) is None
    assert exchange.request.target_text() == "/x?a=1&b=2"
    assert dict(exchange.request.headers.items()) == {"Cookie": "a=b; c=d", "X-Partner": "bob"}
    kept: Any = make("apiKey", {"keys": ["bob:k"], "removeKey": False})
    exchange = ask(headers={"X-API-Key": "k"})
    assert kept.on_request(exchange) is None
    assert exchange.request.headers.get("X-API-Key") == "k"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "apiKey: keys: there are none; write keys or keysFile"),
        ({"keys": ["k"]}, "apiKey: keys: line 1: expected name:key, or name:{SHA256} and a hash"),
        ({"keys": ["a:{SHA256}12"]}, "a hash is {SHA256} and 64 hexadecimal digits"),
        ({"keys": ["a:k"], "keySource": {"header": ""}}, "keySource names no place"),
        ({"keys": ["a:k"], "keySource": {"header": "X Y"}}, "keySource.header: 'X Y' is no header field"),
    ],
)
def test_bad_options_of_api_key(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make("apiKey", options)
    assert message in str(caught.value)
