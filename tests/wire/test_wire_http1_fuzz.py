"""The kept corpus and its mutations for a bounded time: same outcome in pieces, one request forwarded for one."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import fuzzing

SECONDS = 5.0


@pytest.mark.parametrize("kind", fuzzing.KINDS)
def test_the_corpus(kind: str) -> None:
    inputs = fuzzing.load(kind)
    assert len(inputs) >= 15
    outcomes = {fuzzing.way(kind, fuzzing.judge(kind, raw, random.Random(1))) for raw in inputs}
    assert len(outcomes) >= 10, "the corpus takes many ways"


def test_mutations() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # shown when it fails; the failing input is in the assertion: add it to the corpus
    assert fuzzing.run(SECONDS, seed) > 200
