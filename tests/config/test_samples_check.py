"""The samples that are shipped are right."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import edgerouter.config
from edgerouter import registry
from edgerouter.cli import main
from edgerouter.config.labels import decode_labels
from edgerouter.config.sources import Loaded, load_static

SAMPLES = Path(edgerouter.config.__file__).parent / "samples"


def load(name: str) -> Loaded:
    providers = {name: plugin.options for name, plugin in registry.load("providers").items()}
    return load_static([f"--configFile={SAMPLES / name}"], {}, providers, {}, [])


def test_static_samples_are_right_and_the_same() -> None:
    yml, toml = load("edgerouter.yml"), load("edgerouter.toml")
    assert yml.problems == toml.problems == ()
    assert yml.static is not None
    assert yml.static == toml.static


@pytest.mark.parametrize("name", ["dynamic.yml", "demo.yaml", "instead-of-haproxy.yml"])
def test_dynamic_samples_are_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["check", "--configFile=/dev/null", f"--providers.file.filename={SAMPLES / name}"])
    assert (code, capsys.readouterr().err) == (0, "")


def test_the_stack_of_the_router_has_flags_that_are_understood() -> None:
    stack = yaml.safe_load((SAMPLES / "swarm-router.yml").read_text())
    providers = {name: plugin.options for name, plugin in registry.load("providers").items()}
    found = load_static(stack["services"]["router"]["command"], {}, providers, {}, [])
    assert found.static is not None and found.problems == ()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_stack_of_many_versions_has_labels_that_are_understood(version: str) -> None:
    rooms = ("services", "middlewares")
    kinds = {room: {name: plugin.options for name, plugin in registry.load(room).items()} for room in rooms}
    stack = yaml.safe_load((SAMPLES / "swarm-versions.yml").read_text().replace("${VERSION}", version))
    for service in stack["services"].values():
        found = decode_labels(dict(label.split("=", 1) for label in service["deploy"]["labels"]), kinds)
        assert found.problems == () and found.enable and found.port == 80
        assert all(name.startswith(version) for name in found.configuration.http.routers)
