"""jwt: which tokens let a request pass, and the forgeries that were tried."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey
from proxy_rig import Rig, answering
from steps import ask, make

from edgerouter.control.build_trial import Trials
from edgerouter.http.exchange import Exchange
from edgerouter.middlewares import _key_source

SECRET = "correct-horse-battery-staple-0123"
RSA, OTHER = RSAKey.generate_key(2048, {"kid": "one"}), RSAKey.generate_key(2048, {"kid": "two"})
PEM = RSA.as_pem(private=False).decode()
# Times are seconds from when the token is made: a long run of tests must not outlast them.
GOOD = {"sub": "ann", "exp": 600, "iss": "https://id/", "aud": ["shop", "x"], "scope": "read orders"}


def from_now(claims: dict[str, Any]) -> dict[str, Any]:
    now = int(time.time())
    return {n: now + v if n in ("exp", "nbf") and isinstance(v, int) else v for n, v in claims.items()}


def signed(claims: dict[str, Any], key: Any = None, alg: str = "HS256", **header: Any) -> str:
    claims = from_now(claims)
    made: str = jwt.encode({"alg": alg, **header}, claims, key or OctKey.import_key(SECRET), algorithms=[alg])
    return made


def raw(header: dict[str, Any], claims: dict[str, Any], signature: str = "") -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, from_now(claims))
    ]
    return ".".join((*parts, signature))


async def go(step: Any, exchange: Exchange) -> int:
    """200: passed."""
    answer = step.on_request(exchange)
    if answer is not None and not hasattr(answer, "status"):
        answer = await answer
    return 200 if answer is None else int(answer.status)


async def status(step: Any, token: str) -> tuple[int, str]:
    exchange = ask(headers={"Authorization": f"Bearer {token}"})
    return await go(step, exchange), exchange.detail


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        (GOOD, ""),
        ({**GOOD, "aud": "shop"}, ""),
        ({**GOOD, "exp": -10}, ""),  # within the leeway
        ({**GOOD, "exp": -60}, "its claims do not hold"),
        ({**GOOD, "exp": "tomorrow"}, "its claims do not hold"),
        ({name: value for name, value in GOOD.items() if name != "exp"}, "its claims do not hold"),
        ({**GOOD, "nbf": 120}, "its claims do not hold"),
        ({**GOOD, "iss": "https://id"}, "its claims do not hold"),
        ({**GOOD, "iss": ["https://id/"]}, "its claims do not hold"),
        ({name: value for name, value in GOOD.items() if name != "iss"}, "its claims do not hold"),
        ({**GOOD, "aud": "shopx"}, "its claims do not hold"),
        ({name: value for name, value in GOOD.items() if name != "aud"}, "its claims do not hold"),
        ({**GOOD, "scope": "read orders2"}, "its claim scope does not hold"),
        ({**GOOD, "scope": ["orders"]}, ""),
        ({name: value for name, value in GOOD.items() if name != "scope"}, "its claim scope does not hold"),
    ],
)
async def test_claims(claims: dict[str, Any], why: str) -> None:
    rules = {"issuer": "https://id/", "audience": ["shop", "store"], "requiredClaims": {"scope": "orders"}}
    step = make("jwt", {"signingSecret": SECRET, **rules})
    found, detail = await status(step, signed(claims))
    assert found == (401 if why else 200) and why in detail
    assert await status(step, signed(claims)) == (found, detail), "the same when it is remembered"


@pytest.mark.parametrize(
    ("alg", "key"),
    [
        *((alg, RSA) for alg in ("RS256", "RS512", "PS256")),
        ("ES256", ECKey.generate_key("P-256")),
        ("ES384", ECKey.generate_key("P-384")),
        ("EdDSA", OKPKey.generate_key("Ed25519")),
    ],
)
async def test_public_keys(alg: str, key: Any, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(key.as_pem(private=False))
    for options in ({"publicKey": file.read_text()}, {"publicKeyFile": str(file)}):
        step = make("jwt", options)
        assert (await status(step, signed(GOOD, key, alg)))[0] == 200
        assert Trials().middleware("m@file", "jwt", options) == ""
    other = make("jwt", {"publicKey": PEM if key is not RSA else OTHER.as_pem(private=False).decode()})
    assert (await status(other, signed(GOOD, key, alg)))[0] == 401
    narrow = make("jwt", {"publicKeyFile": str(file), "algorithms": ["RS384"]})
    assert (await status(narrow, signed(GOOD, key, alg))) == (
        401,
        "jwt: the token does not count: its algorithm is not allowed",
    )


def forgeries() -> Iterator[tuple[str, str]]:
    header, claims, signature = signed(GOOD, RSA, "RS256").split(".")
    yield "no signature", raw({"alg": "none"}, GOOD)
    yield "None in capitals", raw({"alg": "NONE"}, GOOD)
    yield "signature cut off", f"{header}.{claims}."
    yield "two parts", f"{header}.{claims}"
    yield "four parts", f"{header}.{claims}.{signature}.x"
    yield "another payload", f"{header}.{raw({}, {**GOOD, 'sub': 'root'}).split('.')[1]}.{signature}"
    yield "another header", f"{raw({'alg': 'RS512'}, {}).split('.')[0]}.{claims}.{signature}"
    for text in (PEM, PEM.strip(), ""):
        head = raw({"alg": "HS256", "kid": "one"}, GOOD).rpartition(".")[0]
        made = hmac.new(text.encode(), head.encode(), "sha256").digest()
        yield "the public key as a secret", f"{head}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"
    yield "another key", signed(GOOD, OTHER, "RS256")
    yield "its own key", signed(GOOD, OTHER, "RS256", jwk=OTHER.as_dict(private=False))
    yield "a key by URL", signed(GOOD, OTHER, "RS256", jku="https://evil/keys")
    yield "an unknown critical header", raw({"alg": "RS256", "crit": ["x"], "x": 1}, GOOD, signature)
    yield "no alg", raw({"typ": "JWT"}, GOOD, signature)
    yield "a list for a header", raw([1], GOOD, signature)  # type: ignore[arg-type]
    yield "too long", header + "." + claims + "." + "A" * 20000
    yield "rubbish", "a.b.c"
    yield "bytes", "\xff.\xff.\xff"


async def test_forgeries() -> None:
    step = make("jwt", {"publicKey": PEM})
    tried = list(forgeries())
    for what, token in tried:
        found, detail = await status(step, token)
        assert found == 401, what
        assert token not in detail
    assert len(tried) > 15
    assert (await status(step, signed(GOOD, RSA, "RS256")))[0] == 200


@pytest.mark.parametrize(
    ("target", "headers", "passes"),
    [
        ("/", [("Authorization", "Bearer GOOD")], True),
        ("/", [("authorization", "bearer  GOOD")], True),
        ("/", [("Authorization", "GOOD")], False),
        ("/", [("Authorization", "Basic GOOD")], False),
        ("/", [], False),
        ("/", [("Authorization", "Bearer GOOD"), ("Authorization", "Bearer BAD")], False),
        ("/", [("X-Authorization", "Bearer GOOD")], False),
        ("/?token=GOOD", [], True),
        ("/?token=GOOD&token=BAD", [], False),
        ("/?token=GOOD", [("Cookie", "t=GOOD")], True),
        ("/?token=BAD", [("Authorization", "Bearer GOOD")], False),
        ("/", [("Cookie", "a=b; t=GOOD")], True),
        ("/?tokenx=GOOD", [("Cookie", "tt=GOOD")], False),
    ],
)
async def test_where_the_token_is(target: str, headers: list[tuple[str, str]], passes: bool) -> None:
    good, bad = signed(GOOD), signed({**GOOD, "exp": -9999})
    step = make("jwt", {"signingSecret": SECRET, "query": "token", "cookie": "t"})
    exchange = ask(target=target.replace("GOOD", good).replace("BAD", bad))
    for name, value in headers:
        exchange.request.headers.add(name, value.replace("GOOD", good).replace("BAD", bad))
    assert await go(step, exchange) == (200 if passes else 401)


async def test_claims_become_fields_and_clients_own_do_not() -> None:
    fields = {"X-User": "sub", "X-Groups": "groups", "X-Level": "level", "X-None": "none", "X-Split": "split"}
    options = {"signingSecret": SECRET, "forwardHeaders": fields, "stripAuthorizationHeader": True}
    claims = {**GOOD, "sub": "änn", "groups": ["a", "b"], "level": 7, "split": "a\r\nX-Root: 1"}
    step = make("jwt", options)
    for _ in range(2):  # checked, then remembered
        exchange = ask(headers={"Authorization": f"Bearer {signed(claims)}", "x_user": "root"})
        for name in ("X-User", "X-None", "X_None", "X-Split"):
            exchange.request.headers.add(name, "root")
        assert await go(step, exchange) == 200
        found = {name: value.encode("latin-1").decode() for name, value in exchange.request.headers.items()}
        assert found == {"X-User": "änn", "X-Groups": "a,b", "X-Level": "7"}
        assert exchange.user == "änn"


async def test_a_remembered_token_ends_when_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    step = make("jwt", {"signingSecret": SECRET, "leeway": "0s"})
    token = signed({**GOOD, "exp": 2})
    assert (await status(step, token))[0] == 200
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3)
    assert (await status(step, token))[0] == 401


# -- key sets ---------------------------------------------------------------------------------------------------------


def key_set(*keys: RSAKey) -> str:
    return json.dumps(KeySet(list(keys)).as_dict(private=False))


async def test_a_key_set_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    secret = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode(), "kid": "secret"}
    listed = json.loads(key_set(RSA, OTHER))["keys"]
    file.write_text(json.dumps({"keys": [*listed, secret, {"kty": "new"}, "rubbish", {**listed[0], "use": "enc"}]}))
    step = make("jwt", {"jwksFile": str(file)})
    for key in (RSA, OTHER):
        assert (await status(step, signed(GOOD, key, "RS256", kid=key.kid)))[0] == 200
        assert (await status(step, signed(GOOD, key, "RS256")))[0] == 200, "no name: any key may fit"
    assert (await status(step, signed(GOOD, RSA, "RS256", kid="two")))[0] == 401
    assert (await status(step, signed(GOOD, RSA, "RS256", kid="three"))) == (
        401,
        "jwt: the token does not count: its key is not known",
    )
    assert (await status(step, signed(GOOD)))[0] == 401, "a secret in a published set is none"


async def test_keys_behind_a_url_change_and_vanish(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[bytes] = []
    asked: list[bytes] = []
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    async def serve(reader: Any, writer: Any) -> None:
        while True:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answers[0])
            await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    monkeypatch.setattr(_key_source, "ASK_AGAIN_AFTER", 0.0)
    rig = await Rig.start(answering(ok), steps=[make("jwt", {"jwksUrl": url})])

    async def get(key: RSAKey) -> int:
        token = signed(GOOD, key, "RS256", kid=key.kid)
        head = f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        return int((await rig.ask(head.encode())).split(b" ")[1])

    try:
        answers.append(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        assert await get(RSA) == 500
        assert rig.records[-1].cause == "AUTH_SERVER_FAILED" and "it answered 503" in rig.records[-1].exchange.detail
        answers[0] = _answer(key_set(RSA))
        assert [await get(RSA), await get(RSA)] == [200, 200]
        before = len(asked)
        assert await get(OTHER) == 401, "asked again, and still not known"
        assert len(asked) == before + 1
        answers[0] = _answer(key_set(OTHER))
        assert [await get(OTHER), await get(RSA)] == [200, 401], "keys that are gone do not count"
        answers[0] = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
        assert [await get(OTHER), await get(RSA)] == [200, 401], "what was got stays in use"
    finally:
        server.close()
        await rig.stop()


def _answer(body: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


# -- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "jwt: write one of signingSecret, publicKey, publicKeyFile, jwksFile and jwksUrl"),
        ({"signingSecret": SECRET, "publicKey": PEM}, "jwt: write one of"),
        ({"publicKey": "no key"}, "jwt: its key cannot be used: no public key in PEM form"),
        ({"publicKeyFile": "/nonexistent"}, "jwt: its key cannot be used: "),
        ({"jwksFile": "/dev/null"}, "jwt: its key cannot be used: no JSON Web Key Set"),
        ({"jwksUrl": "keys"}, "jwt: jwksUrl: 'keys' is no address"),
        ({"signingSecret": SECRET, "algorithms": ["none"]}, "algorithms: 'none' does not fit the key"),
        ({"signingSecret": SECRET, "algorithms": ["RS256"]}, "algorithms: 'RS256' does not fit the key"),
        ({"publicKey": PEM, "algorithms": ["HS256"]}, "algorithms: 'HS256' does not fit the key"),
        ({"signingSecret": SECRET, "forwardHeaders": {"a b": "sub"}}, "forwardHeaders: 'a b' is no header field"),
    ],
)
def test_bad_options_are_named_by_the_control_process(options: dict[str, Any], message: str) -> None:
    assert message in Trials().middleware("m@file", "jwt", options)
