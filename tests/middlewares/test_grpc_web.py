"""grpcWeb: browsers' requests in, gRPC to the server; its answer and trailers back as gRPC-Web, over real sockets."""

from __future__ import annotations

import base64

import pytest
from on_the_wire import Seen, asked, chunked, fields_of, reply, request, running, serving
from steps import make

MESSAGE = b"\0\0\0\0\x05hello"
ANSWER = b"\0\0\0\0\x03abc"
TRAILERS = b"grpc-status: 0\r\ngrpc-message: fine\r\n"
FRAME = b"\x80" + len(TRAILERS).to_bytes(4, "big") + TRAILERS


def grpc(kind: str = "application/grpc") -> bytes:
    return chunked(ANSWER, ANSWER, trailers=TRAILERS.decode().title(), Content_Type=kind, Trailer="grpc-status")


@pytest.mark.parametrize(
    ("kind", "body", "given"),
    [
        ("application/grpc-web", MESSAGE, "application/grpc"),
        ("application/grpc-web+proto", MESSAGE, "application/grpc+proto"),
        ("application/grpc-web+thrift; charset=x", MESSAGE, "application/grpc+thrift"),
        ("application/grpc-web-text", base64.b64encode(MESSAGE), "application/grpc"),
        ("application/grpc-web-text+proto", base64.b64encode(MESSAGE), "application/grpc+proto"),
        ("application/grpc-web-text", base64.b64encode(MESSAGE[:4]) + base64.b64encode(MESSAGE[4:]),
         "application/grpc"),
        ("application/grpc-web-text", b"\r\n".join([base64.b64encode(MESSAGE)[:5], base64.b64encode(MESSAGE)[5:]]),
         "application/grpc"),
    ],
)  # fmt: skip
async def test_both_forms(kind: str, body: bytes, given: str) -> None:
    seen: Seen = []
    async with running(serving(grpc(given), seen=seen), steps=[make("grpcWeb", {})]) as rig:
        found = await asked(rig, request("POST", "/svc/Method", body, Content_Type=kind, X_Grpc_Web="1"))
        assert seen[0][1] == MESSAGE
        assert fields_of(seen[0][0], "Content-Type") == [given] and fields_of(seen[0][0], "TE") == ["trailers"]
        assert found.headers["content-type"] == kind.partition(";")[0] and "trailer" not in found.headers
        data = b"".join(base64.b64decode(part) for part in parts(found.body)) if "text" in kind else found.body
        assert data.lower() == (ANSWER + ANSWER + FRAME).lower()


def parts(text: bytes) -> list[bytes]:
    """Base64 texts that stand one behind the other."""
    found, start = [], 0
    for place in range(4, len(text) + 1, 4):
        if text[place - 1 : place] == b"=" or place == len(text):
            found.append(text[start:place])
            start = place
    return found


@pytest.mark.parametrize("body", [b"abc", b"ab==c===", b"!!!!", b"a\0bc"])
async def test_what_is_no_base64_is_refused(body: bytes) -> None:
    seen: Seen = []
    async with running(serving(grpc(), seen=seen), steps=[make("grpcWeb", {})]) as rig:
        found = await asked(rig, request("POST", body=body, Content_Type="application/grpc-web-text"))
        assert found.status == 400 and seen == []
        assert rig.records[0].cause == "BAD_REQUEST_GRPC_WEB"


async def test_an_answer_of_trailers_only_stays_in_its_fields() -> None:
    answer = reply(200, Content_Type="application/grpc", Grpc_Status="12", Grpc_Message="no")
    async with running(serving(answer), steps=[make("grpcWeb", {})]) as rig:
        found = await asked(rig, request("POST", body=MESSAGE, Content_Type="application/grpc-web"))
        assert (found.headers["grpc-status"], found.headers["content-type"], found.body) == (
            "12",
            "application/grpc-web",
            b"",
        )


@pytest.mark.parametrize(
    ("method", "kind"),
    [("GET", "application/grpc-web"), ("POST", "application/grpc"), ("POST", "application/json")],
)
async def test_other_requests_go_on_as_they_are(method: str, kind: str) -> None:
    seen: Seen = []
    async with running(serving(grpc(), seen=seen), steps=[make("grpcWeb", {"allowOrigins": ["*"]})]) as rig:
        data = await rig.ask(request(method, body=b"x", Content_Type=kind, Connection="close"))
        assert fields_of(seen[0][0], "Content-Type") == [kind] and seen[0][1] == b"x"
        assert data.lower().endswith(b"0\r\n" + TRAILERS + b"\r\n") and b"Access-Control" not in data


@pytest.mark.parametrize(
    ("allowed", "origin", "passes"),
    [
        (["*"], "https://a.test", True),
        (["https://a.test"], "https://a.test", True),
        (["https://a.test"], "https://b.test", False),
        (["https://a.test"], "https://a.test.evil", False),
        ([], "https://a.test", False),
    ],
)
async def test_origins(allowed: list[str], origin: str, passes: bool) -> None:
    asks = {
        "Origin": origin,
        "Access_Control_Request_Method": "POST",
        "Access_Control_Request_Headers": "x-grpc-web,x-a",
    }
    seen: Seen = []
    async with running(serving(grpc(), seen=seen), steps=[make("grpcWeb", {"allowOrigins": allowed})]) as rig:
        found = await asked(rig, request("OPTIONS", **asks))
        names = ("allow-origin", "allow-methods", "allow-headers", "max-age", "allow-credentials")
        got = [found.headers.get(f"access-control-{name}") for name in names]
        assert found.status == 204 and seen == []
        assert got == ([origin, "POST", "x-grpc-web,x-a", "600", "true"] if passes else [None] * 5)
        found = await asked(rig, request("POST", body=MESSAGE, Content_Type="application/grpc-web", Origin=origin))
        assert found.headers.get("access-control-allow-origin") == (origin if passes else None)
        shown = found.headers.get("access-control-expose-headers", "")
        assert ("grpc-status" in shown) is passes and found.headers["vary"] == "Origin"


async def test_other_preflights_are_the_server_s() -> None:
    asks = {"Origin": "https://a.test", "Access_Control_Request_Method": "POST"}
    async with running(serving(reply(200, b"own")), steps=[make("grpcWeb", {"allowOrigins": ["*"]})]) as rig:
        assert (await asked(rig, request("OPTIONS", **asks))).body == b"own"
