"""Every middleware has a page that says what its code says, and every example on it is built without a fault."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
import yaml

from edgerouter.cli import main
from edgerouter.config.decode import decode_dynamic
from edgerouter.config.describe import options_of
from edgerouter.config.dynamic import DynamicConfiguration, HttpConfiguration, Router
from edgerouter.config.labels import decode_labels
from edgerouter.config.pages import ANNOTATION, Manual, module_docstring, pages, read_manual
from edgerouter.config.static import StaticConfiguration
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.aggregate import MIDDLEWARE_PATHS, SERVICE_PATHS, names_at
from edgerouter.control.build import Build, Inputs, build
from edgerouter.control.build_plain import revealed
from edgerouter.control.prepare import kinds
from edgerouter.providers._ingress_annotations import PREFIXES
from edgerouter.registry import load

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "reference" / "middlewares"
PLUGINS = load("middlewares")
NAMES = sorted(name for name, plugin in PLUGINS.items() if plugin.cls.__module__.startswith("edgerouter."))
MADE = pages({name: PLUGINS[name] for name in NAMES})


def manual(name: str) -> Manual:
    return read_manual(module_docstring(PLUGINS[name].cls))


@pytest.mark.parametrize("file", [f"{name}.md" for name in NAMES] + ["README.md"])
def test_the_page_is_up_to_date(file: str) -> None:
    said = (FOLDER / file).read_text() if (FOLDER / file).exists() else ""
    assert said == MADE[file], "run: edgerouter docs --write docs/reference/middlewares"


def test_no_page_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(MADE)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_says_what_it_is(name: str) -> None:
    assert manual(name).name == name
    options = PLUGINS[name].options
    assert [option.name for option in (options_of(options) if options else ()) if not option.text] == []


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_live_test_and_its_cost_is_written_down(name: str) -> None:
    live = FOLDER.parents[2] / "tests" / "live"
    assert any(f'"{name}": {{' in path.read_text() for path in live.glob("test_*.py")), "write a row for it"
    costs = (FOLDER.parents[1] / "benchmarks.md").read_text()
    assert name == "chain" or f"\n| {name} |" in costs, (
        "run benchmarks/middlewares.py; a chain is gone once it is built"
    )


# -- the examples -----------------------------------------------------------------------------------------------------


def stand_ins(configuration: DynamicConfiguration) -> dict[str, Any]:
    """What the example names and does not define."""
    http = configuration.http
    services: set[str] = {"app"}
    middlewares: set[str] = set()
    for middleware in http.middlewares.values():
        plain = revealed(middleware.options)
        services.update(names_at(plain, SERVICE_PATHS))
        middlewares.update(names_at(plain, MIDDLEWARE_PATHS))
    return {
        "services": {name: {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}} for name in services},
        "middlewares": {name: {"addPrefix": {"prefix": "/x"}} for name in middlewares if name not in http.middlewares},
    }


def build_with(configuration: DynamicConfiguration, provider: str, *references: str) -> Build:
    """The example in a provider of that name, its middlewares used by a router there; ``references`` by another."""
    extra, problems = decode_dynamic({"http": stand_ins(configuration)}, kinds(), "test")
    assert problems == []
    http = configuration.http
    router = Router(rule="Host(`a`)", service="app", middlewares=tuple(http.middlewares))
    snapshots = {
        provider: Snapshot(
            configuration=DynamicConfiguration(
                http=HttpConfiguration(
                    routers={**http.routers, "r": router},
                    services={**extra.http.services, **http.services},
                    middlewares={**http.middlewares, **extra.http.middlewares},
                )
            )
        )
    }
    if references:
        other = Router(rule="Host(`b`)", service=f"app@{provider}", middlewares=references)
        configuration = DynamicConfiguration(http=HttpConfiguration(routers={"ingress": other}))
        snapshots["kubernetes"] = Snapshot(configuration=configuration)
    return build(Inputs(static=StaticConfiguration(), snapshots=snapshots))


def assert_works(built: Build, name: str, *routers: str) -> None:
    errors = [problem for problem in built.problems if "middlewares" in problem.path and problem.severity == "error"]
    assert errors == []
    for router in routers:
        assert built.routers[router].errors == (), built.routers[router].errors
    assert name in {view.kind for view in built.middlewares.values()}


@pytest.mark.parametrize("name", NAMES)
def test_the_labels_work(name: str) -> None:
    labels = dict(label.split("=", 1) for label in manual(name).labels)
    result = decode_labels(labels, kinds())
    assert result.problems == ()
    assert_works(build_with(result.configuration, "docker"), name, "r@docker")


@pytest.mark.parametrize("name", NAMES)
def test_the_file_and_the_annotation_work(name: str) -> None:
    configuration, problems = decode_dynamic(yaml.safe_load(manual(name).example), kinds(), "example.yml")
    assert problems == []
    annotation = re.search(rf"^ +{re.escape(ANNOTATION)}: (\S+)$", MADE[f"{name}.md"], re.M)
    assert annotation is not None and f"{PREFIXES[0]}router.middlewares" == ANNOTATION
    assert_works(build_with(configuration, "file", annotation[1]), name, "r@file", "ingress@kubernetes")


# -- the command ------------------------------------------------------------------------------------------------------


def test_docs_prints_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", "STRIPPREFIX"]) == 0
    assert capsys.readouterr().out == MADE["stripPrefix.md"]


def test_docs_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", "stripPrefx"]) == 2
    assert "write docs NAME; there is: addPrefix, " in capsys.readouterr().err


def test_docs_writes_all_pages(tmp_path: pathlib.Path) -> None:
    assert main(["docs", "--write", str(tmp_path / "made")]) == 0
    assert {path.name for path in (tmp_path / "made").iterdir()} >= set(MADE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("No name here.", "begins with its name and a colon"),
        ("toy: does nothing.", "toy: the docstring needs an example under labels: and one under http:"),
    ],
)
def test_a_docstring_without_its_parts_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_manual(text)
