"""Snapshots as one set of objects: what is remembered from one to the next."""

from __future__ import annotations

from collections.abc import Mapping

from edgerouter.config.dynamic import DynamicConfiguration, HttpConfiguration, Router
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.aggregate import Aggregator


def test_routers_that_did_not_change_stay_the_same_objects() -> None:
    kept, changed = Router(rule="Path(`/a`)", service="s"), Router(rule="Path(`/b`)", service="s")
    aggregator = Aggregator()

    def of(**routers: Router) -> Mapping[str, Router]:
        http = HttpConfiguration(routers=routers)
        return aggregator.aggregate({"p": Snapshot(configuration=DynamicConfiguration(http=http))}).routers

    first, second = of(a=kept, b=kept), of(a=kept, b=changed)
    assert second["a@p"] is first["a@p"] and second["a@p"].service == "s@p"
    assert second["b@p"].rule == "Path(`/b`)"
