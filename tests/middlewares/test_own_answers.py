"""respond, maintenance and requestId: a request in, exactly what comes back (but for the date), over real sockets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from on_the_wire import Seen, asked, fields_of, reply, request, running, serving
from steps import make

NOSNIFF = b"X-Content-Type-Options: nosniff\r\n"
JSON = {"Accept": "application/json"}

ANSWERS: list[tuple[str, str, dict[str, Any], dict[str, str], bytes]] = [
    ("a text", "respond", {"body": "hi"}, {}, b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
     b"Content-Length: 2\r\nConnection: close\r\n\r\nhi"),
    ("only a status", "respond", {"status": 410}, {}, b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n"
     b"Connection: close\r\n\r\n"),
    ("no body may be", "respond", {"status": 204}, {}, b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
    ("fields", "respond", {"body": "{}", "contentType": "application/json", "headers": {"X-A": "1", "Vary": "b"}}, {},
     b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-A: 1\r\nVary: b\r\nContent-Length: 2\r\n"
     b"Connection: close\r\n\r\n{}"),
    ("a page", "maintenance", {"page": "<p>x", "retryAfter": "2m"}, {},
     b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html; charset=utf-8\r\n" + NOSNIFF
     + b"Cache-Control: no-store\r\nVary: Accept\r\nRetry-After: 120\r\nContent-Length: 4\r\n"
     b"Connection: close\r\n\r\n<p>x"),
    ("JSON", "maintenance", {"retryAfter": 0}, JSON,
     b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n" + NOSNIFF
     + b"Cache-Control: no-store\r\nVary: Accept\r\nContent-Length: 37\r\nConnection: close\r\n\r\n"
     b'{"status":503,"cause":"MAINTENANCE"}\n'),
]  # fmt: skip


@pytest.mark.parametrize(("why", "kind", "options", "fields", "exact"), ANSWERS, ids=[row[0] for row in ANSWERS])
async def test_answers(why: str, kind: str, options: dict[str, Any], fields: dict[str, str], exact: bytes) -> None:
    async with running(steps=[make(kind, options)]) as rig:
        front, _, rest = re.split(rb"(Date: .*? GMT\r\n)", await rig.ask(request(Connection="close", **fields)))
        assert front + rest == exact
        head = await asked(rig, request("HEAD", Connection="close", **fields))
        assert (head.body, head.status) == (b"", int(exact.split()[1]))
        assert {record.cause for record in rig.records} == {"MAINTENANCE" if kind == "maintenance" else ""}


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({}, 503),
        ({"enabled": False}, 200),
        ({"allow": ["127.0.0.0/8"]}, 200),
        ({"allow": ["127.0.0.1"]}, 200),
        ({"allow": ["10.0.0.0/8", "::1"]}, 503),
    ],
)
async def test_who_passes_maintenance(options: dict[str, Any], status: int) -> None:
    async with running(serving(reply(200, b"ok")), steps=[make("maintenance", options)]) as rig:
        assert (await asked(rig, request(X_Forwarded_For="10.0.0.1"))).status == status


def test_a_page_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("<h1>later</h1>")
    make("maintenance", {"pageFile": str(file)})
    file.write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(ValueError, match="larger than 1 MB"):
        make("maintenance", {"pageFile": str(file)})


ID = re.compile(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}")


@pytest.mark.parametrize(
    ("options", "given", "kept"),
    [
        ({}, "mine", False),
        ({"trust": True}, "mine", True),
        ({"trust": True}, "a:b/c=d~e@f+g.h_i-9", True),
        ({"trust": True}, "", False),
        ({"trust": True}, "x" * 128, True),
        ({"trust": True}, "x" * 129, False),
        ({"trust": True}, "a b", False),
        ({"trust": True}, "<script>", False),
    ],
)
async def test_request_id(options: dict[str, Any], given: str, kept: bool) -> None:
    seen: Seen = []
    answer = reply(200, b"ok", X_Request_Id="the server's")
    async with running(serving(answer, seen=seen), steps=[make("requestId", options)]) as rig:
        found = await asked(rig, request(X_Request_Id=given))
        sent = fields_of(seen[0][0], "X-Request-Id")
        assert sent == [found.headers["x-request-id"]]
        assert sent == [given] if kept else ID.fullmatch(sent[0])


async def test_two_ids_are_none() -> None:
    seen: Seen = []
    async with running(serving(reply(200), seen=seen), steps=[make("requestId", {"trust": True})]) as rig:
        await asked(rig, request(X_Request_Id="a\r\nX-Request-ID: b"))
        assert all(ID.fullmatch(one) for one in fields_of(seen[0][0], "X-Request-Id"))


async def test_another_field_and_no_answer() -> None:
    seen: Seen = []
    step = make("requestId", {"header": "X-Correlation-Id", "respond": False})
    async with running(serving(reply(200), seen=seen), steps=[step]) as rig:
        found = await asked(rig, request())
        assert "x-correlation-id" not in found.headers
        assert len(fields_of(seen[0][0], "X-Correlation-Id")) == 1


def test_later_ids_sort_behind() -> None:
    from edgerouter.middlewares.request_id import new_id

    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [one[:12] for one in ids] == sorted(one[:12] for one in ids)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("respond", {"status": 101}, "write 200 to 599"),
        ("respond", {"status": 304, "body": "x"}, "304 has no body"),
        ("respond", {"headers": {"X-A": "1\r\nX-B: 2"}}, "is no header field"),
        ("respond", {"headers": {"Content-Length": "5"}}, "the router's own"),
        ("respond", {"body": "x", "contentType": "a\nb"}, "is no header field"),
        ("maintenance", {"allow": ["10.0.0.0/40"]}, "maintenance: allow: .*write 192.168.1.7 or"),
        ("maintenance", {"page": "x", "pageFile": "/x"}, "not both"),
        ("maintenance", {"pageFile": "/does/not/exist"}, "/does/not/exist cannot be read: No such file"),
        ("requestId", {"header": "X Id"}, "'X Id' is no name of a field"),
        ("requestId", {"header": "Host"}, "the router's own"),
    ],
)
def test_bad_options(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(kind, options)
