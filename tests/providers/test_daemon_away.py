"""What is said of a daemon that cannot be reached: what to do, and never the words of the libraries between."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from edgerouter import registry
from edgerouter.config.types import Duration
from edgerouter.contracts.snapshot import ProviderContext
from edgerouter.errors import ConfigurationError
from edgerouter.providers._daemon import said
from edgerouter.providers._daemon_options import DaemonOptions


async def first_words(endpoint: str) -> str:
    """What is said when the daemon at ``endpoint`` is asked."""
    cls = registry.load("providers")["docker"].cls
    options = DaemonOptions(endpoint=endpoint, http_client_timeout=Duration(10))
    watching = cls(options, ProviderContext(name="docker", kinds={}, prefixes=("edgerouter",))).watch()
    with pytest.raises(ConnectionError) as caught:
        await anext(watching)
    return str(caught.value)


async def test_no_such_socket() -> None:
    text = await first_words("unix:///nowhere/docker.sock")
    assert text.startswith(
        "the Docker daemon at unix:///nowhere/docker.sock: there is no such socket; start the daemon"
    )
    assert "-v /var/run/docker.sock:/var/run/docker.sock" in text


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        text = await first_words(f"tcp://127.0.0.1:{port}")
    assert text == f"the Docker daemon at tcp://127.0.0.1:{port}: nobody listens there; start the daemon"


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EACCES, "--group-add"), (errno.ENOENT, "no such socket"), (errno.ECONNREFUSED, "nobody listens")],
)
def test_the_systems_reason_is_found_below_the_libraries(number: int, words: str) -> None:
    try:
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            raise RuntimeError("wrapped") from error
    except RuntimeError as error:
        assert words in said(error, DaemonOptions())


def test_another_reason_is_told_as_it_is() -> None:
    assert said(TimeoutError("too slow"), DaemonOptions()) == "too slow"
    assert said(PermissionError(errno.EACCES, "no"), DaemonOptions(endpoint="tcp://a:1")) == "[Errno 13] no"


@pytest.mark.parametrize("name", ["docker", "swarm"])
def test_no_address_of_a_daemon(name: str) -> None:
    plugin = registry.load("providers")[name]
    assert plugin.options is not None
    with pytest.raises(ConfigurationError, match=rf"providers\.{name}-east\.endpoint: 'x' is no address"):
        plugin.cls(plugin.options(endpoint="x"), ProviderContext(name=f"{name}-east", kinds={}, prefixes=()))
