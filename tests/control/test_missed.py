"""Requests by the id of their 404 page: what is kept, how long, and what is asked with it."""

from __future__ import annotations

import pytest

from edgerouter.contracts.messages import Heartbeat, Unmatched, UnmatchedRequest
from edgerouter.control.missed import MOST, Missed


def request(number: int) -> UnmatchedRequest:
    return UnmatchedRequest(
        id=f"404-{number:010x}",
        method="PUT",
        url=f"http://shop.test/{number}",
        headers=("Cookie: secret",),
        entry_point="web",
        client="10.0.0.9",
        at=1.0,
    )


def test_the_last_ones_are_known() -> None:
    missed = Missed()
    missed.hear(None, Heartbeat())
    for number in range(MOST + 1):
        missed.hear(None, Unmatched(requests=(request(number),)))
    question = missed.question(f"404-{MOST:010x}")
    assert (question.url, question.method, question.entry_point) == (f"http://shop.test/{MOST}", "PUT", "web")
    assert (question.headers, question.client) == (("Cookie: secret",), "10.0.0.9")
    assert "10.0.0.9 got 404 at " in question.note and "secret" not in question.note
    with pytest.raises(ValueError, match="keeps the last 1000"):
        missed.question("404-0000000000")
