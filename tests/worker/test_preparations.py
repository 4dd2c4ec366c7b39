"""What middlewares have done before they serve: the cryptography of tokens is there before the first token."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from edgerouter.contracts.plugins import Middleware
from edgerouter.registry import Plugin
from edgerouter.worker.preparations import Preparations

SECRET = "correct-horse-battery-staple-0123"
CODE = """
import asyncio, json, sys
from edgerouter.registry import load
from edgerouter.worker.preparations import Preparations
before = "joserfc" in sys.modules
asyncio.run(Preparations(load("middlewares")).make([sys.argv[1]]))
ready = set(sys.modules)
from edgerouter.middlewares import _tokens
for algorithm, key, token in json.loads(sys.stdin.read()):
    keys = _tokens.keys_of_secret(key) if algorithm == "HS256" else _tokens.keys_of_pem(key)
    _tokens.TokenCheck(_tokens.Rules((algorithm,))).check(token, keys)
print(json.dumps([before, "joserfc.jwt" in ready, sorted(set(sys.modules) - ready)]))
"""


def token(algorithm: str, key: Any, public: str) -> tuple[str, str, str]:
    return algorithm, public, jwt.encode({"alg": algorithm}, {"exp": 1 << 40}, key, algorithms=[algorithm])


def test_a_first_token_of_any_kind_imports_nothing() -> None:
    pairs = [
        *((name, RSAKey.generate_key(2048)) for name in ("RS256", "PS256")),
        *(("ES256", ECKey.generate_key("P-256")), ("ES384", ECKey.generate_key("P-384"))),
        ("Ed25519", OKPKey.generate_key("Ed25519")),
    ]
    tokens = [token(name, key, key.as_pem(private=False).decode()) for name, key in pairs]
    tokens.append(token("HS256", OctKey.import_key(SECRET), SECRET))
    for kind in ("jwt", "oidc"):
        done = subprocess.run(
            [sys.executable, "-c", CODE, kind], input=json.dumps(tokens), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [False, True, []], kind


async def test_each_is_made_once_and_a_failure_is_told(caplog: Any) -> None:
    calls: list[str] = []
    interval = sys.getswitchinterval()

    class Good(Middleware):
        @staticmethod
        def prepare() -> None:
            calls.append("good")
            assert sys.getswitchinterval() < interval

    class Bad(Middleware):
        @staticmethod
        def prepare() -> None:
            raise ImportError("no such library")

    kinds = {"good": Good, "same": Good, "bad": Bad, "none": Middleware}
    preparations = Preparations({name: Plugin("middlewares", name, cls) for name, cls in kinds.items()})
    for _ in range(2):
        await preparations.make(["same", "none", "good", "bad", "unknown"])
    assert calls == ["good"]
    assert caplog.messages == ["middlewares of kind bad cannot be prepared: no such library"]
    assert sys.getswitchinterval() == interval
