"""Trees of services on real sockets: every node's own middlewares run, outer ones first, whatever is nested in what."""

from __future__ import annotations

from services.tree_rig import Place, Tree

from edgerouter.contracts.plugins import Middleware
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response


class Mark(Middleware):
    """Adds its name to the request and to the response."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def on_request(self, exchange: Exchange) -> Response | None:
        exchange.request.headers.add("X-In", self.name)
        return None

    def on_response(self, exchange: Exchange) -> None:
        if exchange.response is not None:
            exchange.response.headers.add("X-Out", self.name)


async def test_every_nodes_steps_run_outer_ones_first() -> None:
    a = Place("a")
    tree = await Tree.of(a)
    kinds = [
        ("n1", "weighted", {"services": [{"name": "a"}], "sticky": {"cookie": {"name": "w"}}}),
        ("n2", "failover", {"service": "n1", "fallback": "none"}),
        ("n3", "highestRandomWeight", {"services": [{"name": "n2"}]}),
        ("n4", "mirroring", {"service": "n3"}),
    ]
    for name, kind, options in kinds:
        tree.make(f"{name}@f", kind, options)
    tree.top("weighted", {"services": [{"name": "n4"}]})
    order = ["top", "n4", "n3", "n2", "n1", "a"]
    for name in order:
        service = tree.services[f"{name}@f"]
        service.steps = [Mark(name), *(service.steps or [])]
        service.refresh()
    answer = await tree.rig.ask(b"GET / HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n")
    lines = answer.decode().split("\r\n")
    assert lines[0].startswith("HTTP/1.1 200")
    assert [line[6:].strip() for line in a.seen[0][0].decode().split("\r\n") if line.startswith("X-In:")] == order
    assert [line[7:].strip() for line in lines if line.startswith("X-Out:")] == order[::-1]
    assert sum(line.startswith("Set-Cookie: w=") for line in lines) == 1
    assert tree.rig.records[0].exchange.service == "a@f"
    await tree.rig.stop()


async def test_a_parent_is_down_when_all_its_children_are() -> None:
    a, b = Place("a"), Place("b")
    tree = await Tree.of(a, b)
    both = {"services": [{"name": "a"}, {"name": "b"}]}
    tree.make("w@f", "weighted", both)
    tree.make("h@f", "highestRandomWeight", {"services": [{"name": "w"}]})
    tree.make("m@f", "mirroring", {"service": "h", "mirrors": [{"name": "a", "percent": 0}]})
    top = tree.top("failover", {"service": "m", "fallback": "none"})
    for name in ("a", "b"):
        assert top.available()
        server = tree.services[f"{name}@f"].servers[0]  # type: ignore[attr-defined]
        server.up = False
        tree.services[f"{name}@f"].refresh()
    assert not any(tree.services[f"{name}@f"].available() for name in ("w", "h", "m", "top"))
    assert await tree.ask() == (503, "no available server\n")
    await tree.rig.stop()
