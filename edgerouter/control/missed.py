"""The last requests that got a 404 page with an id, as workers told them: what ``explain`` is asked by id. Memory only.

What they sent is asked of the routing table and never shown: headers hold secrets.
"""

from __future__ import annotations

import time
from typing import Any, Final

from edgerouter.contracts.messages import Unmatched, UnmatchedRequest
from edgerouter.control.explain_request import Question

MOST: Final = 1000


class Missed:
    """One for the life of the control process."""

    def __init__(self) -> None:
        self._kept: dict[str, UnmatchedRequest] = {}

    def hear(self, process: object, message: Any) -> None:
        """A worker's message of any kind."""
        if not isinstance(message, Unmatched):
            return
        for request in message.requests:
            self._kept[request.id] = request
        while len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]

    def question(self, reference: str) -> Question:
        """What was asked under this id. Raises ValueError that says why it is not known."""
        found = self._kept.get(reference)
        if found is None:
            raise ValueError(
                f"no request is known by the id {reference[:40]!r}: the router keeps the last {MOST}, from half a "
                "second after their answer, and begins anew when it is started; ask by URL instead"
            )
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.at))
        return Question(
            url=found.url,
            method=found.method,
            headers=found.headers,
            entry_point=found.entry_point,
            client=found.client,
            note=f"this request of {found.client} got 404 at {when}; it is explained with the routers of now",
        )
