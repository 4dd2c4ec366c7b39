"""``edgerouter upgrade`` beside a control process that goes through what one goes through while it becomes another."""

from __future__ import annotations

import http.client
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgerouter.cli import main

CHECKING, DONE = '{"state":"checking","version":"1"}', '{"state":"done","version":"2"}'
FAILED = '{"state":"failed","version":"1","reason":"it was not ready within 8 s"}'
GONE = ""  # closes instead of an answer


@contextmanager
def control_process(*answers: str) -> Iterator[None]:
    """Gives these ``answers``, one a request, and ends; who only looks whether somebody listens gets none."""
    with tempfile.TemporaryDirectory(prefix="edgerouter-", dir=os.environ["RUNTIME_DIRECTORY"]) as folder:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(Path(folder) / "control.sock"))
        listening.listen()
        listening.settimeout(30)
        thread = threading.Thread(target=serve, args=(listening, list(answers)))
        thread.start()
        yield
        thread.join(60)
        assert not thread.is_alive()


def serve(listening: socket.socket, answers: list[str]) -> None:
    with listening:
        while answers:
            client, _ = listening.accept()
            with client, client.makefile("rb") as reader:
                if reader.readline():
                    fields = http.client.parse_headers(reader)
                    reader.read(int(fields.get("Content-Length", 0)))
                    client.sendall(reply(answers.pop(0)))


def reply(text: str) -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode() if text else b""
    )


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as path:
        monkeypatch.setenv("RUNTIME_DIRECTORY", path)
        yield


@pytest.mark.parametrize(
    ("answers", "code", "out", "err"),
    [
        ((CHECKING, CHECKING, DONE), 0, "OK: version 2 has taken over\n", ""),
        ((CHECKING, GONE, GONE, DONE), 0, "OK: version 2 has taken over\n", ""),
        ((CHECKING, GONE, FAILED), 1, "", "edgerouter: no upgrade: it was not ready within 8 s\n"),
    ],
    ids=["done", "between-two-programs", "back"],
)
def test_it_tells_how_it_went(
    answers: tuple[str, ...], code: int, out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with control_process(*answers):
        assert main(["upgrade", f"--pid={os.getpid()}"]) == code
    assert capsys.readouterr() == (out, err)


def test_a_router_that_died_is_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    with control_process(CHECKING):
        assert main(["upgrade", f"--pid={os.getpid()}"]) == 1
    assert capsys.readouterr().err == "edgerouter: no upgrade: the router ended meanwhile; its log says why\n"


def test_the_first_word_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """Asking twice could begin two upgrades."""
    with control_process(GONE):
        assert main(["upgrade", f"--pid={os.getpid()}"]) == 1
    assert "Remote end closed" in capsys.readouterr().err
