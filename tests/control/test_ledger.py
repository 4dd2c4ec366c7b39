"""The ledger: who is there, who left, and when."""

from __future__ import annotations

from edgerouter.contracts.snapshot import Workload
from edgerouter.control.ledger import Ledger


def seen(*names: str, verdict: str = "ROUTED", provider: str = "docker") -> list[tuple[str, Workload]]:
    """These workloads."""
    return [(provider, Workload(id=f"id-{name}", name=name, verdict=verdict)) for name in names]


def test_present_ones_come_first_by_name_and_those_that_left_after_them_latest_first() -> None:
    ledger = Ledger()
    ledger.update(seen("c", "a", "b", "d"), 100.0)
    ledger.update(seen("d", "b"), 110.0)
    ledger.update(seen("d"), 120.0)
    lines = ledger.lines(130.0)
    assert [line.name for line in lines] == ["d", "b", "a", "c"] or [line.name for line in lines] == [
        "d",
        "b",
        "c",
        "a",
    ]
    assert [line.left for line in lines] == [0.0, 120.0, 110.0, 110.0]


def test_times_follow_the_verdict() -> None:
    ledger = Ledger()
    ledger.update(seen("a"), 1.0)
    ledger.update(seen("a"), 2.0)
    ledger.update(seen("a", verdict="UNHEALTHY"), 3.0)
    (line,) = ledger.lines(4.0)
    assert (line.first_seen, line.changed, line.verdict) == (1.0, 3.0, "UNHEALTHY")


def test_one_that_returns_is_present_again_with_its_history() -> None:
    ledger = Ledger()
    ledger.update(seen("a"), 1.0)
    ledger.update([], 2.0)
    ledger.update(seen("a"), 3.0)
    (line,) = ledger.lines(4.0)
    assert (line.first_seen, line.changed, line.left) == (1.0, 1.0, 0.0)


def test_only_the_last_thousand_that_left_within_a_day_are_kept() -> None:
    ledger = Ledger()
    names = [f"w{i:04d}" for i in range(1200)]
    ledger.update(seen(*names), 0.0)
    ledger.update([], 10.0)
    assert len(ledger.lines(10.0)) == 1000
    assert len(ledger.lines(10.0 + 24 * 3600 - 1)) == 1000
    assert ledger.lines(10.0 + 24 * 3600) == ()


def test_one_id_in_two_providers_is_two_workloads() -> None:
    ledger = Ledger()
    ledger.update([*seen("a"), *seen("a", provider="swarm")], 0.0)
    assert [line.provider for line in ledger.lines(0.0)] == ["docker", "swarm"]
