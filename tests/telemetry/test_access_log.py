"""The access log: layouts, fields, filters, escaping, batches, rotation, lost lines."""

from __future__ import annotations

import calendar
import json
import re
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgerouter.config.static import AccessLog as Options
from edgerouter.config.types import decode_hook
from edgerouter.errors import ConfigurationError
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response
from edgerouter.telemetry.access_log import AccessLog
from edgerouter.telemetry.log_common import is_plain
from edgerouter.telemetry.log_lines import FIELDS, Stamps

STAMP = re.compile(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]")


def exchange(target: bytes = b"/a?b=c&d", method: str = "GET", fields: bytes = b"") -> Exchange:
    made = Exchange(Request(method, target, "Example.com:8443", Headers(fields)))
    made.request.host = "example.com"
    made.response = Response(200, Headers(b"Content-Type: text/plain\r\n"))
    made.router, made.service = "web@docker", "web@docker"
    made.server_url, made.entrypoint = "http://10.0.0.1:80", "web"
    made.client_address, made.client_port = "192.0.2.7", 4711
    return made


def write(tmp_path: Path, made: Exchange, status: int = 200, duration: float = 0.0125, **options: Any) -> str:
    path = tmp_path / "access.log"
    data = {"filePath": str(path), **options}
    log = AccessLog(msgspec.convert(data, Options, dec_hook=decode_hook))
    log.write(made, status, 3, 1234, duration)
    log.close()
    return path.read_text()


HEADERS = b'User-Agent: curl/8 "x"\r\nReferer: http://r/\r\nAuthorization: Basic c2VjcmV0\r\n'
KEEP = {"headers": {"names": {"user-agent": "keep", "Referer": "redact"}}}


@pytest.mark.parametrize(
    ("form", "fields", "expected"),
    [
        (
            "common",
            {},
            '192.0.2.7 - - T "GET /a?b=c&d HTTP/1.1" 200 1234 "-" "-" 1 "web@docker" "http://10.0.0.1:80" 12ms\n',
        ),
        ("genericCLF", {}, '192.0.2.7 - - T "GET /a?b=c&d HTTP/1.1" 200 1234 "-" "-"\n'),
        ("genericCLF", KEEP, '192.0.2.7 - - T "GET /a?b=c&d HTTP/1.1" 200 1234 "REDACTED" "curl/8 \\"x\\""\n'),
        ("genericCLF", {"names": {"clienthost": "drop"}}, '- - - T "GET /a?b=c&d HTTP/1.1" 200 1234 "-" "-"\n'),
        (
            "genericCLF",
            {"queryParameters": {"defaultMode": "redact"}},
            '192.0.2.7 - - T "GET /a?b=REDACTED&d HTTP/1.1" 200 1234 "-" "-"\n',
        ),
        (
            "genericCLF",
            {"queryParameters": {"defaultMode": "drop"}},
            '192.0.2.7 - - T "GET /a HTTP/1.1" 200 1234 "-" "-"\n',
        ),
    ],
)
def test_common_layouts(tmp_path: Path, form: str, fields: dict[str, Any], expected: str) -> None:
    line = write(tmp_path, exchange(fields=HEADERS), format=form, fields=fields)
    assert STAMP.sub("T", line) == expected


@pytest.mark.parametrize(
    ("method", "version", "user", "status", "duration", "expected"),
    [
        ("GET", 11, "", 200, 0.9999, '- T "GET /a HTTP/1.1" 200 1234 "-" "-" 1 "r" "s" 999ms'),
        ("GET", 11, "joe", 404, 1.0, 'joe T "GET /a HTTP/1.1" 404 1234 "-" "-" 1 "r" "s" 1000ms'),
        ("POST", 20, "", 499, 61.5, '- T "POST /a HTTP/2.0" 499 1234 "-" "-" 1 "r" "s" 61500ms'),
        ("POST", 10, "joe", 0, 0.0, 'joe T "POST /a HTTP/1.0" 0 1234 "-" "-" 1 "r" "s" 0ms'),
        ("", 30, "", 1000, 0.0, '- T "- /a HTTP/3.0" 1000 1234 "-" "-" 1 "r" "s" 0ms'),
    ],
)
def test_every_way_to_a_common_line(
    tmp_path: Path, method: str, version: int, user: str, status: int, duration: float, expected: str
) -> None:
    made = exchange(b"/a", method)
    made.request.version, made.user, made.router, made.server_url = version, user, "r", "s"
    assert STAMP.sub("T", write(tmp_path, made, status, duration)) == f"192.0.2.7 - {expected}\n"


@pytest.mark.parametrize(
    ("options", "cause", "expected"),
    [
        ({}, "CONNECT_REFUSED", '"r" "s" 12ms CONNECT_REFUSED\n'),
        ({}, "not\nplain", '"r" "s" 12ms not\\x0aplain\n'),
        ({}, "", '"r" "s" 12ms\n'),
        ({"fields": {"names": {"cause": "drop"}}}, "NO_ROUTE", '"r" "s" 12ms\n'),
        ({"fields": {"names": {"Cause": "keep"}, "defaultMode": "drop"}}, "NO_ROUTE", '"-" "-" 12ms NO_ROUTE\n'),
        ({"format": "genericCLF"}, "NO_ROUTE", '"-" "-"\n'),
    ],
)
def test_a_failed_request_names_its_cause(tmp_path: Path, options: dict[str, Any], cause: str, expected: str) -> None:
    made = exchange()
    made.router, made.server_url, made.cause = "r", "s", cause
    text = write(tmp_path, made, 502, **options)
    assert text.endswith(expected) and text.count("\n") == 1


def test_fields_that_nobody_wants(tmp_path: Path) -> None:
    text = write(tmp_path, exchange(), fields={"defaultMode": "drop"})
    assert STAMP.sub("T", text) == '- - - T "- - -" - - "-" "-" - "-" "-" 12ms\n'


def test_a_line_is_stamped_with_the_time_when_its_request_began(tmp_path: Path) -> None:
    log = AccessLog(Options(file_path=str(tmp_path / "access.log")))
    before = int(time.time())
    for ago in (0, 0, 3600, 86_400, 0):
        made = exchange()
        made.started = time.monotonic() - ago
        log.write(made, 200, 0, 0, 0.0)
        log.tick()
    log.close()
    stamps = re.findall(r"\[(.*?)\]", (tmp_path / "access.log").read_text())
    found = [calendar.timegm(time.strptime(stamp, "%d/%b/%Y:%H:%M:%S +0000")) for stamp in stamps]
    late = [moment - before + ago for moment, ago in zip(found, (0, 0, 3600, 86_400, 0), strict=True)]
    assert len(found) == 5 and min(late) >= -1 and max(late) <= time.time() - before + 1


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 15, 16, 17])
def test_every_byte_at_every_place_is_plain_or_not(size: int) -> None:
    assert is_plain(b"~ " * (size // 2) + b"!" * (size % 2))
    for place in range(size):
        for byte in range(256):
            data = b"x" * place + bytes([byte]) + b"~" * (size - place - 1)
            assert is_plain(data) is (32 <= byte <= 126 and byte not in b'"\\'), data


def test_json_has_every_field(tmp_path: Path) -> None:
    made = exchange(fields=HEADERS)
    made.cause, made.detail, made.tls_version, made.tls_cipher = "CONNECT_REFUSED", "10.0.0.1:80 refused", "1.3", "X"
    record = json.loads(write(tmp_path, made, 502, format="json"))
    assert [field for field in FIELDS if field not in record] == []
    expected = {
        "Duration": 12_500_000,
        "ServiceAddr": "10.0.0.1:80",
        "ClientAddr": "192.0.2.7:4711",
        "RequestHost": "example.com",
        "RequestPort": "8443",
        "DownstreamStatusLine": "502 Bad Gateway",
        "OriginStatus": 0,
        "Cause": "CONNECT_REFUSED",
        "CauseDetail": "10.0.0.1:80 refused",
        "level": "info",
        "msg": "",
    }
    assert {name: record[name] for name in expected} == expected
    assert not [name for name in record if name.startswith(("request_", "downstream_"))]
    assert "c2VjcmV0" not in json.dumps(record)


def test_json_headers_by_mode(tmp_path: Path) -> None:
    fields = {"defaultMode": "drop", "headers": {"defaultMode": "keep", "names": {"authorization": "redact"}}}
    record = json.loads(write(tmp_path, exchange(fields=HEADERS), format="json", fields=fields))
    assert record.pop("time") and record == {
        "request_User-Agent": 'curl/8 "x"',
        "request_Referer": "http://r/",
        "request_Authorization": "REDACTED",
        "downstream_Content-Type": "text/plain",
        "level": "info",
        "msg": "",
    }


EVIL = [
    b'/x" 200 0 "-" "-" 1 "admin" "-" 0ms\n1.1.1.1 - - [x] "GET /',
    b"/\r\n\x1b[31m\x00\x7f",
    "/ü€\u2028".encode(),
    b"/\\",
]


@pytest.mark.parametrize("target", EVIL)
@pytest.mark.parametrize("form", ["common", "genericCLF", "json"])
def test_nobody_can_forge_a_line(tmp_path: Path, form: str, target: bytes) -> None:
    made = exchange(target)
    made.user = 'joe - [x] "y"\n'
    made.request.headers = Headers.of([("User-Agent", target.decode("latin-1").translate({13: 9, 10: 9, 0: 9}))])
    text = write(tmp_path, made, format=form, fields={"headers": {"defaultMode": "keep"}})
    assert text.count("\n") == 1 and text.endswith("\n")
    if form == "json":
        assert json.loads(text)["RequestPath"] == target.decode("latin-1")
    else:
        assert text[:-1].isascii() and text[:-1].isprintable()
        assert len(re.findall(r'(?<!\\)(?:\\\\)*"', text)) == (10 if form == "common" else 6)
        assert text.split(" ")[2].startswith("joe") and re.match(r"\[\d\d/", text.split(" ")[3])


@pytest.mark.parametrize(
    ("filters", "status", "retries", "duration", "kept"),
    [
        ({}, 200, 0, 0.0, True),
        ({"statusCodes": ["500-599", "404"]}, 404, 0, 0.0, True),
        ({"statusCodes": ["500-599", "404"]}, 503, 0, 0.0, True),
        ({"statusCodes": ["500-599", "404"]}, 200, 0, 0.0, False),
        ({"retryAttempts": True}, 200, 1, 0.0, True),
        ({"retryAttempts": True}, 200, 0, 9.0, False),
        ({"minDuration": "1s"}, 200, 0, 1.0, True),
        ({"minDuration": "1s"}, 200, 0, 0.9, False),
        ({"minDuration": "1s", "statusCodes": ["404"]}, 404, 0, 0.0, True),
    ],
)
def test_filters(
    tmp_path: Path, filters: dict[str, Any], status: int, retries: int, duration: float, kept: bool
) -> None:
    made = exchange()
    made.retries = retries
    assert bool(write(tmp_path, made, status, duration, filters=filters)) is kept


@pytest.mark.parametrize("code", ["abc", "99", "500-400", "200-1000", ""])
def test_a_wrong_status_range_is_named(tmp_path: Path, code: str) -> None:
    with pytest.raises(ConfigurationError, match=r"accessLog\.filters\.statusCodes: expected a code or a range"):
        write(tmp_path, exchange(), filters={"statusCodes": [code]})


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"accessLog\.filePath: cannot open .*No such file"):
        write(tmp_path / "absent", exchange())


def test_rotation_splits_at_the_moment_of_reopening(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLog(Options(file_path=str(path)))
    log.write(exchange(b"/before"), 200, 0, 0, 0.0)
    log.flush()
    path.rename(old)
    log.write(exchange(b"/still"), 200, 0, 0, 0.0)
    log.reopen()
    log.write(exchange(b"/after"), 200, 0, 0, 0.0)
    log.close()
    assert re.findall("GET (/[a-z]+)", old.read_text()) == ["/before", "/still"]
    assert re.findall("GET (/[a-z]+)", path.read_text()) == ["/after"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0


def test_lines_leave_at_a_tick_or_at_64_kb(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(Options(file_path=str(path)))
    for _ in range(3):
        log.write(exchange(), 200, 0, 0, 0.0)
    assert path.stat().st_size == 0
    log.tick()
    for _ in range(1000):
        log.write(exchange(), 200, 0, 0, 0.0)
    log.close()
    lines = path.read_text().splitlines()
    assert [line.split('"')[6].strip() for line in lines] == [str(i) for i in range(1, 1004)]


def test_a_full_disk_is_counted_and_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog(Options(file_path="/dev/full"))
    for _ in range(3):
        log.write(exchange(), 200, 0, 0, 0.0)
        log.flush()
    log.close()
    assert log.lost_lines() == 3
    assert capfd.readouterr().err.count("access log lines are lost: /dev/full: No space left") == 1


WRITER = """
from edgerouter.config.static import AccessLog as Options
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request
from edgerouter.telemetry.access_log import AccessLog
log = AccessLog(Options())
made = Exchange(Request("GET", b"/" + b"x" * 90, "h", Headers()))
for _ in range(2000):
    log.write(made, 200, 0, 0, 0.0)
log.flush()
"""


def test_workers_share_one_pipe_without_mixing_lines() -> None:
    """Nothing is lost at exit either: the writers end without closing the log."""
    reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert reader.stdin is not None
    writers = [subprocess.Popen([sys.executable, "-c", WRITER], stdout=reader.stdin) for _ in range(2)]
    reader.stdin.close()
    reader.stdin = None
    text, _ = reader.communicate(timeout=30)
    assert [writer.wait(10) for writer in writers] == [0, 0]
    lines = text.decode().splitlines()
    assert len(lines) == 4000
    assert {len(line.split('"')) for line in lines} == {11} and all(line.endswith("0ms") for line in lines)


@pytest.mark.parametrize(
    ("zone", "local"),
    [
        ("UTC", "2023-11-14T22:13:20Z"),
        ("IST-5:30", "2023-11-15T03:43:20+05:30"),
        ("ABC+3", "2023-11-14T19:13:20-03:00"),
    ],
)
def test_times_are_rfc_3339(monkeypatch: pytest.MonkeyPatch, zone: str, local: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    stamps = Stamps()
    assert [stamps.utc(1_700_000_000.25), stamps.local(1_700_000_000.25)] == ["2023-11-14T22:13:20.250000Z", local]
    assert stamps.utc(1_700_000_001.0).startswith("2023-11-14T22:13:21.")
    monkeypatch.undo()
    time.tzset()
