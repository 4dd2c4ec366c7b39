"""Several instances of one provider, each under a name: from files, flags and variables."""

from __future__ import annotations

from typing import Any

import pytest

from edgerouter import registry
from edgerouter.config.sources import Loaded, load_static
from edgerouter.control.prepare import prepare
from edgerouter.providers.docker import DockerOptions

EAST, WEST = "tcp://east.example:2375", "unix:///run/podman/podman.sock"


def loaded(*flags: str, **variables: str) -> Loaded:
    options = {name: plugin.options for name, plugin in registry.load("providers").items()}
    return load_static(flags, variables, options, {}, candidates=())


def sections(found: Loaded) -> dict[str, Any]:
    assert found.static is not None, found.problems
    return found.static.providers.sections


def test_instances_by_flags() -> None:
    found = loaded(
        f"--providers.docker.east.endpoint={EAST}",
        "--providers.docker.east.exposedByDefault=false",
        f"--providers.docker.west.endpoint={WEST}",
    )
    made = sections(found)
    assert set(made) == {"docker-east", "docker-west"}
    assert made["docker-east"] == DockerOptions(endpoint=EAST, exposed_by_default=False)
    assert set(prepare(found.static).providers) == set(made) if found.static else False


def test_an_instance_beside_the_plain_one() -> None:
    made = sections(loaded("--providers.docker.network=edge", f"--providers.docker.west.endpoint={WEST}"))
    assert made["docker"].network == "edge" and made["docker-west"].endpoint == WEST


def test_instances_by_environment() -> None:
    made = sections(loaded(EDGEROUTER_PROVIDERS_DOCKER_EAST_ENDPOINT=EAST))
    assert made["docker-east"].endpoint == EAST


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--providers.docker.endpont=x", "unknown option 'endpont'"),
        ("--providers.docker.east.endpont=x", "unknown option 'endpont'"),
        ("--providers.file.east.filename=x", "unknown option 'east'"),
    ],
)
def test_typing_errors_are_still_told(flag: str, message: str) -> None:
    found = loaded(flag)
    assert found.static is None and any(message in problem.message for problem in found.problems)
