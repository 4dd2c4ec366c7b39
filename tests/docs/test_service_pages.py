"""Every kind of service has a page that says what its code says, and every example on it is built without a fault."""

from __future__ import annotations

import pathlib

import pytest
import yaml

from edgerouter.cli import _configured_services
from edgerouter.config.decode import decode_dynamic
from edgerouter.config.describe import options_of
from edgerouter.config.labels import decode_labels
from edgerouter.config.pages import module_docstring, read_manual, service_pages
from edgerouter.config.static import StaticConfiguration
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.build import Inputs, build
from edgerouter.control.prepare import kinds

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "reference" / "services"
PLUGINS = _configured_services()
MADE = service_pages(PLUGINS)
NAMED = ("shop-v1", "shop-v2", "shop-eu", "shop-us", "shop-main", "shop-backup")


@pytest.mark.parametrize("file", sorted(MADE))
def test_the_page_is_up_to_date(file: str) -> None:
    said = (FOLDER / file).read_text() if (FOLDER / file).exists() else ""
    assert said == MADE[file], "run: edgerouter docs --write docs/reference/services"


def test_no_page_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(MADE)


@pytest.mark.parametrize("name", sorted(PLUGINS))
def test_every_option_says_what_it_is(name: str) -> None:
    options = PLUGINS[name].options
    assert [option.name for option in (options_of(options) if options else ()) if not option.text] == []


@pytest.mark.parametrize("name", sorted(PLUGINS))
def test_the_example_is_built_without_a_fault(name: str) -> None:
    document = yaml.safe_load(read_manual(module_docstring(PLUGINS[name].cls), False).example)
    for child in NAMED:
        document["http"]["services"][child] = {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}
    configuration, problems = decode_dynamic(document, kinds(), "test")
    assert problems == []
    built = build(Inputs(static=StaticConfiguration(), snapshots={"file": Snapshot(configuration=configuration)}))
    assert built.problems == ()
    assert built.services["shop@file"].kind == name


def test_the_labels_are_understood() -> None:
    labels = dict(label.split("=", 1) for label in read_manual(module_docstring(PLUGINS["loadBalancer"].cls)).labels)
    assert len(labels) >= 3
    decoded = decode_labels(labels, kinds())
    assert not decoded.problems
    options = decoded.configuration.http.services["shop"].options
    assert options.sticky.cookie.name == "shop"
