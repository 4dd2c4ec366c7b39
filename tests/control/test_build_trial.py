"""Trials of options: what is alike is tried once in a build, what is wrong is said of each that has it."""

from __future__ import annotations

from typing import Any

import pytest

from edgerouter import registry
from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.control.build_trial import Trials

made: list[str] = []


class Options(Model, frozen=True):
    word: str = ""


class Tried(Middleware):
    def __init__(self, options: Options, context: PluginContext) -> None:
        made.append(options.word)
        if options.word == "bad":
            raise ValueError(f"{context.name} has a bad word")


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    made.clear()
    registry.load("middlewares")
    known: dict[str, Any] = registry._plugins["middlewares"]
    monkeypatch.setitem(known, "tried", registry.Plugin("middlewares", "tried", Tried, Options))


def test_options_that_are_alike_are_tried_once_a_build() -> None:
    trials = Trials()
    assert [trials.middleware(name, "tried", {"word": "good"}) for name in "abc"] == ["", "", ""]
    assert trials.middleware("d", "tried", {"word": "other"}) == ""
    assert made == ["good", "other"]
    assert Trials().middleware("a", "tried", {"word": "good"}) == "", "the next build"
    assert made == ["good", "other", "good"]


def test_what_is_wrong_is_said_of_each() -> None:
    trials = Trials()
    said = [trials.middleware(name, "tried", {"word": "bad"}) for name in ("a@file", "b@file")]
    assert said == ["a@file has a bad word", "b@file has a bad word"]


def test_a_kind_that_nobody_has_is_somebody_elses_question() -> None:
    assert Trials().middleware("a", "nobody", {}) == "" and Trials().service("a", "nobody", {}) == ""
