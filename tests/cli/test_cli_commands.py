"""The command as people type it: exit codes, what is printed and where, nothing started by mistake."""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgerouter import __version__, registry
from edgerouter.cli import main

HERE = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_configuration_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name in [name for name in os.environ if name.startswith(("EDGEROUTER_", "TRAEFIK_"))]:
        monkeypatch.delenv(name)


def lines(text: str) -> list[str]:
    return [line.removeprefix("edgerouter: ") for line in text.splitlines()]


@pytest.mark.parametrize("words", [["version"], ["--version"], ["-v"]])
def test_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    out = capsys.readouterr().out
    assert __version__ in out
    assert re.search(r"Mode: +(compiled|pure)\n", out)


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], ["check", "--help"], ["--workers=x", "--help"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    out = capsys.readouterr().out
    for name in ("healthcheck", "--entryPoints.<name>.address", "--providers.docker.endpoint", "--configFile="):
        assert name in out


@pytest.mark.parametrize(("words", "parts"), [([], {"static", "dynamic"}), (["static"], None), (["dynamic"], None)])
def test_schema(words: list[str], parts: set[str] | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", *words]) == 0
    made = json.loads(capsys.readouterr().out)
    assert set(made) == parts if parts else made["title"].endswith(f"{words[0]} configuration")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chekc"], "there is no command 'chekc'; there is: run, check, explain, ledger, certificates, trust, convert"),
        (["schema", "other"], "write schema, schema static or schema dynamic"),
        (["version", "--nonsense"], "write version, with nothing behind it"),
        (["--workers=x"], "error: flag --workers: workers: expected a whole number, got 'x'"),
        (["run", "stray"], "error: command line: 'stray' is no flag; remove it"),
        (["run", "--wrkers=1"], "error: flag --wrkers: wrkers: unknown option 'wrkers'; did you mean 'workers'?"),
        (["check", "--configFile=absent.yml"], "error: absent.yml: cannot be read: No such file or directory"),
    ],
)
def test_exit_code_2(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert next(line for line in lines(captured.err) if not line.startswith("warning")).startswith(message)


@pytest.mark.parametrize("command", [["check"], []])
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--workers=65", "workers: expected 0 (one a CPU) to 64, got 65"),
        ("--providers.docker.constraints=Label(", "providers.docker.constraints: this parenthesis is never closed"),
        ("--providers.docker.defaultRule=Host(`{{ x`)", "providers.docker.defaultRule: '{{' is not closed"),
        ("--providers.docker.endpoint=tcpp://x", "providers.docker.endpoint: 'tcpp://x' is no address of a daemon"),
        ("--providers.swarm.endpoint=x", "providers.swarm.endpoint: 'x' is no address of a daemon"),
        ("--providers.file", "providers.file: it names nothing to read"),
        ("--metrics.statsD.address=x", "metrics.statsD.address: expected host:port"),
    ],
)
def test_what_only_its_user_finds_wrong(
    command: list[str], flag: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A start refuses it before a port is opened, and ``check`` says the same."""
    assert main([*command, flag]) == 2
    err = lines(capsys.readouterr().err)
    assert [line for line in err if line.startswith(f"error: flag {flag.partition('=')[0]}: {message}")], err


@pytest.mark.parametrize("words", [["--help"], ["version"], ["schema"]])
def test_a_reader_may_leave(words: list[str]) -> None:
    """``edgerouter --help | head -1``: no traceback."""
    env = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "edgerouter", *words],
        env=env,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_check_prints_every_problem_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "edgerouter.yml").write_text("entryPoints:\n  web:\n    adress: :80\nlog:\n  level: LOUD\n")
    assert main(["check", "--workers=x"]) == 2
    err = lines(capsys.readouterr().err)
    assert err == [
        "error: ./edgerouter.yml:3: entryPoints.web.adress: unknown option 'adress'; did you mean 'address'?",
        "error: ./edgerouter.yml:5: log.level: expected one of "
        "DEBUG, ERROR, FATAL, INFO, PANIC, TRACE, WARN, got 'LOUD'",
        "error: flag --workers: workers: expected a whole number, got 'x'",
        "3 errors",
    ]


GOOD = """\
http:
  routers:
    web: {rule: "Host(`a`)", service: web, middlewares: [strip]}
  services:
    web: {loadBalancer: {servers: [{url: "http://127.0.0.1:1"}]}}
  middlewares:
    strip: {stripPrefix: {prefixes: [/a]}}
"""


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("service: web", "service: wbe", "http.routers.web"),
        ("Host(`a`)", "Host(`a`", "http.routers.web.rule"),
        ("[strip]", "[stripp]", "http.routers.web"),
        ("prefixes:", "prefix:", "dynamic.yml:7: http.middlewares.strip.stripPrefix.prefix"),
        ("url:", "ulr:", "dynamic.yml:5: http.services.web.loadBalancer.servers[0].ulr"),
        ("  routers:", "  routrs:", "dynamic.yml:2: http.routrs"),
        ("http:", "http: [", "no valid YAML"),
    ],
)
def test_check_reads_the_file_providers_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, path: str
) -> None:
    (tmp_path / "dynamic.yml").write_text(GOOD)
    flag = f"--providers.file.filename={tmp_path / 'dynamic.yml'}"
    assert main(["check", flag]) == 0
    assert capsys.readouterr().out.startswith("OK")
    (tmp_path / "dynamic.yml").write_text(GOOD.replace(old, new, 1))
    assert main(["check", flag]) == 2
    assert path in capsys.readouterr().err


def test_check_needs_something_to_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--providers.file"]) == 2
    assert "filename or directory" in capsys.readouterr().err


def test_check_does_not_ask_other_providers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dynamic.yml").write_text(GOOD.replace("service: web", "service: web@docker"))
    flags = [f"--providers.file.filename={tmp_path / 'dynamic.yml'}", "--providers.docker.endpoint=tcp://127.0.0.1:1"]
    assert main(["check", *flags]) == 0
    assert "web@docker" in capsys.readouterr().err


class Ping(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/ping" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ping)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (404, 1)])
def test_healthcheck(
    server: http.server.ThreadingHTTPServer,
    status: int,
    code: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Ping, "status", status)
    port = server.server_address[1]
    assert main(["healthcheck", f"--entrypoints.traefik.address=:{port}"]) == code
    captured = capsys.readouterr()
    url = f"http://127.0.0.1:{port}/ping"
    assert captured.out == (f"OK: {url}\n" if code == 0 else "")
    assert captured.err == ("" if code == 0 else f"edgerouter: not well: {url} answers {status}\n")


def test_healthcheck_of_nobody(
    server: http.server.ThreadingHTTPServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    port = server.server_address[1]
    server.socket.close()
    assert main(["healthcheck", f"--entrypoints.traefik.address=127.0.0.1:{port}"]) == 1
    assert f"http://127.0.0.1:{port}/ping" in capsys.readouterr().err
    assert main(["healthcheck", "--ping=false"]) == 1
    assert "ping is turned off" in capsys.readouterr().err
    assert main(["healthcheck", "--pong"]) == 1
    assert "unknown option 'pong'" in capsys.readouterr().err


def test_nothing_is_imported_to_run_before_all_is_checked(tmp_path: Path) -> None:
    """A wrong configuration ends in the command itself; the control process is not even loaded."""
    code = "import sys; from edgerouter.cli import main; print(main(['--wrkers=1']), 'edgerouter.app' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "2 False\n"


def test_python_dash_m() -> None:
    env = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "edgerouter", "check", "--workers=x"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "flag --workers" in done.stderr


@pytest.mark.parametrize("name", sorted(registry.load("providers")))
def test_every_provider_can_be_configured(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    assert f"--providers.{name}  (options, or true)" in capsys.readouterr().out


def test_healthcheck_takes_the_arguments_of_the_router_that_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container: the check knows no flag, and the router's ping is where its flags put it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1", "RUNTIME_DIRECTORY": str(tmp_path)}
    flags = [
        "--workers=1",
        "--entrypoints.web.address=127.0.0.1:0",
        "--ping.entrypoint=probe",
        "--metrics.prometheus=0",
    ]
    command = [sys.executable, "-m", "edgerouter", *flags, f"--entrypoints.probe.address=127.0.0.1:{port}"]
    log = tmp_path / "log"
    with log.open("w") as file, subprocess.Popen(command, env=env, stdout=file, stderr=file) as router:
        try:
            deadline = time.monotonic() + 60
            while "is ready" not in log.read_text():
                assert router.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
            assert main(["healthcheck"]) == 0, capsys.readouterr().err
            assert capsys.readouterr().out == f"OK: http://127.0.0.1:{port}/ping\n"
        finally:
            router.terminate()
        assert router.wait(30) == 0
