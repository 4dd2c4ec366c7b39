"""The samples that are shipped are right."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgerouter.config
from edgerouter import registry
from edgerouter.cli import main
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


@pytest.mark.parametrize("name", ["dynamic.yml", "demo.yaml"])
def test_dynamic_samples_are_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["check", "--configFile=/dev/null", f"--providers.file.filename={SAMPLES / name}"])
    assert (code, capsys.readouterr().err) == (0, "")
