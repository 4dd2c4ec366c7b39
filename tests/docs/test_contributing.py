"""The middleware of CONTRIBUTING, word for word: put where it says, it works, and its page and cause are made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRIAL = """
import datetime, sys
from edgerouter import causes, registry
from edgerouter.cli import main
from edgerouter.config.decode import decode_dynamic
from edgerouter.config.labels import decode_labels
from edgerouter.contracts.plugins import PluginContext
from edgerouter.control.prepare import kinds
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request

plugin = registry.load("middlewares")["officeHours"]
assert plugin.options is not None
assert main(["docs", "officeHours"]) == 0
configuration, problems = decode_dynamic({"http": {"middlewares": {"m": {"officeHours": {"opns": 9}}}}}, kinds(), "f")
assert [p.hint for p in problems] == ["did you mean 'opens'?"], problems
label = {"edgerouter.http.middlewares.nine-to-five.officehours.opens": "9"}
assert decode_labels(label, kinds()).problems == ()


def asked(opens, closes):
    exchange = Exchange(Request("GET", b"/", "a", Headers()))
    context = PluginContext("m@file", "r@file", "s@file", lambda name: None, None, lambda: 0.0, 0)
    response = plugin.cls(plugin.options(opens=opens, closes=closes), context).on_request(exchange)
    return (response and response.status, exchange.cause)


assert asked(0, 24) == (None, "")
hour = datetime.datetime.now().hour
shut = (hour + 2) % 24 if hour < 22 else 0
assert asked(shut, shut + 1) == (503, "CLOSED")
assert causes.declared()["CLOSED"].status == 503
try:
    asked(9, 7)
except ValueError:
    print("worked")
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The package with the new file where CONTRIBUTING puts it."""
    copy = tmp_path / "edgerouter"
    shutil.copytree(ROOT / "edgerouter", copy, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    found = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert found is not None
    (copy / "middlewares" / "office_hours.py").write_text(found[1])
    return tmp_path


def test_the_middleware_of_five_minutes(checkout: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", TRIAL]
    done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.endswith("worked\n"), done.stderr
    assert "# officeHours" in done.stdout and "| `opens` |" in done.stdout
