"""The page on hostile bytes names rows of the table, each once, and nothing that is no row."""

from __future__ import annotations

import re
from pathlib import Path

from hostile_table import FORWARDED, REFUSED

PAGE = (Path(__file__).parents[2] / "docs/hostile.md").read_text()


def named(section: str) -> list[str]:
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_every_name_is_a_row_of_the_right_section() -> None:
    through_elsewhere, refused_by_all, through_here = map(named, PAGE.split("\n## ")[1:])
    assert {*through_elsewhere, *refused_by_all} <= set(REFUSED)
    assert set(through_here) <= set(FORWARDED)
    every = [*through_elsewhere, *refused_by_all, *through_here]
    assert len(every) == len(set(every)) > 80
