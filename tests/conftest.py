"""Shared by all tests: which are live, and what a skip means in CI."""

from __future__ import annotations

import os
import pathlib

import pytest
from hypothesis import HealthCheck, settings

# An example's 200 ms are a busy machine's, not the code's.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything under tests/live is live."""
    for item in items:
        if (HERE / "live") in item.path.parents:
            item.add_marker(pytest.mark.live)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """With EDGEROUTER_CI=1 a skipped test is a failed test: CI has all daemons."""
    outcome = yield
    report = outcome.get_result()
    if os.environ.get("EDGEROUTER_CI") == "1" and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {item.nodeid}: {report.longrepr}"
