"""``HostRegexp(`^[a-z]+[.]example[.]com$`)``: a Go regular expression on the host in lower case without port.

It is not anchored unless it says so.
"""

from __future__ import annotations

from edgerouter.http.exchange import Exchange
from edgerouter.registry import matcher
from edgerouter.rules import go_regex
from edgerouter.rules.predicates import Clause


class HostRegexp(Clause):
    """A pattern on the host."""

    def __init__(self, args: list[str]) -> None:
        self.regex = go_regex.compile(args[0])

    def test(self, exchange: Exchange) -> bool:
        """Unanchored."""
        return self.regex.search(exchange.request.host)


matcher("HostRegexp", arity=1)(HostRegexp)  # by a call: a decorated class would not be native when compiled
