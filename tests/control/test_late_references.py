"""``${env:...}`` and ``${file:...}`` where numbers, durations, flags and choices are expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgerouter.clients.references import Limits, Resolver
from edgerouter.config.decode import decode_dynamic
from edgerouter.config.late import at, put, refers
from edgerouter.config.static import StaticConfiguration
from edgerouter.config.types import reveal_hook
from edgerouter.contracts.messages import Delta
from edgerouter.contracts.plan import MiddlewareEntry, ServiceEntry
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.build import Build, Inputs, build
from edgerouter.control.handover import pack_snapshots, unpack_snapshots
from edgerouter.control.health import _wanted
from edgerouter.control.prepare import kinds
from edgerouter.net.pool import TransportSettings
from edgerouter.registry import load
from edgerouter.telemetry.records import SharedRecords
from edgerouter.worker.assemble import Assembly

SERVERS = [{"url": "http://127.0.0.1:9"}]
HIDDEN = "hunter2-Tr0ub4dor"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "EDGE_TEN": "10",
        "EDGE_TIME": "1m30s",
        "EDGE_ON": "true",
        "EDGE_LAX": "lax",
        "EDGE_WORD": HIDDEN,
        "EDGE_TEXT": "null",
    }.items():
        monkeypatch.setenv(name, value)


def configured(middleware: dict[str, Any] | None = None, service: dict[str, Any] | None = None) -> dict[str, Any]:
    routers = {
        "r": {"rule": "Path(`/`)", "service": "s", "middlewares": ["m"] if middleware else []},
        "good": {"rule": "Path(`/x`)", "service": "other"},
    }
    services = {"s": service or {"loadBalancer": {"servers": SERVERS}}, "other": {"loadBalancer": {"servers": SERVERS}}}
    return {"http": {"routers": routers, "services": services, "middlewares": {"m": middleware} if middleware else {}}}


def decoded(data: dict[str, Any], provider: str = "file") -> Snapshot:
    configuration, problems = decode_dynamic(data, kinds(), provider)
    assert problems == []
    return Snapshot(configuration=configuration)


def built_of(snapshot: Snapshot, provider: str = "file", limits: Limits | None = None) -> Build:
    limits = limits or Limits()
    inputs = Inputs(
        static=StaticConfiguration(), snapshots={provider: snapshot}, guard=limits.guard, roots=limits.roots
    )
    return build(inputs)


async def assembled(built: Build) -> Assembly:
    """What a worker makes of it."""
    assembly = Assembly({"": TransportSettings()}, SharedRecords())
    for _ in assembly.note(Delta(generation=1, entries=tuple(built.plan.entries.values()))):
        pass
    await assembly.table()
    return assembly


MIDDLEWARES = [
    ({"rateLimit": {"average": "${env:EDGE_TEN}"}}, ("average",), 10),
    ({"rateLimit": {"average": "${env:EDGE_TEN}0"}}, ("average",), 100),
    ({"rateLimit": {"average": 1, "period": "${env:EDGE_TIME}"}}, ("period",), 90.0),
    ({"rateLimit": {"average": 1, "period": "${env:EDGE_TEN}ms"}}, ("period",), 0.01),
    ({"retry": {"attempts": 2, "disableRetryOnNetworkError": "${env:EDGE_ON}", "status": ["503"]}},
     ("disable_retry_on_network_error",), True),
    ({"rateLimit": {"average": 1, "sourceCriterion": {"ipStrategy": {"depth": "${env:EDGE_TEN}"}}}},
     ("source_criterion", "ip_strategy", "depth"), 10),
    ({"redirectScheme": {"scheme": "https", "permanent": "${file:FOLDER/on}"}}, ("permanent",), True),
    ({"errors": {"service": "other", "status": ["500"], "statusRewrites": {"500": "40${file:FOLDER/four}"}}},
     ("status_rewrites",), {"500": 404}),
    ({"headers": {"customRequestHeaders": {"A": "${env:EDGE_TEXT}"}, "stsSeconds": "${env:EDGE_TEN}"}},
     ("sts_seconds",), 10),
]  # fmt: skip


@pytest.mark.parametrize(("options", "path", "value"), MIDDLEWARES, ids=lambda item: str(item)[:40])
async def test_middlewares_take_them(options: Any, path: tuple[str, ...], value: object, tmp_path: Path) -> None:
    (tmp_path / "on").write_text("true\n")
    (tmp_path / "four").write_text("4")
    text = msgspec.json.encode(options).decode().replace("FOLDER", str(tmp_path))
    options = msgspec.json.decode(text)
    built = built_of(decoded(configured(options)))
    assert built.problems == ()
    entry = built.plan.entries["middleware:m@file"]
    assert isinstance(entry, MiddlewareEntry)
    plan = msgspec.json.encode(entry, enc_hook=reveal_hook).decode()
    shown = msgspec.json.encode(built.middlewares["m@file"].options).decode()
    (kind,) = options
    assert "${" in plan and "${" in shown, "the reference travels and is shown"
    cls = load("middlewares")[kind].options
    assert cls is not None
    found = Resolver().typed(entry.options, cls)
    for part in path:
        found = getattr(found, part)
    assert found == value and type(found) is not str
    routes = (await assembled(built)).routes.made
    assert [made.broken or made.route.refused for made in routes.values()] == ["", ""]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rateLimit": {"average": "${env:EDGE_WORD}"}},
         "average: the value of ${env:EDGE_WORD} does not fit: expected a whole number"),
        ({"rateLimit": {"average": 1, "period": "${env:EDGE_WORD}"}},
         "period: the value of ${env:EDGE_WORD} does not fit: expected a duration such as 10s, 1m30s or a number of "
         "seconds"),
        ({"redirectScheme": {"scheme": "https", "permanent": "${env:EDGE_WORD}"}},
         "permanent: the value of ${env:EDGE_WORD} does not fit: expected true or false"),
        ({"rateLimit": {"average": "${env:EDGE_NONE}"}},
         "${env:EDGE_NONE}: the router's environment has no EDGE_NONE"),
        ({"rateLimit": {"average": "${file:/nonexistent}"}},
         "${file:/nonexistent} cannot be read: No such file or directory"),
    ],
)  # fmt: skip
async def test_a_value_that_does_not_fit_is_named_and_never_quoted(options: Any, message: str) -> None:
    built = built_of(decoded(configured(options)))
    (kind,) = options
    (problem,) = [found for found in built.problems if found.path.startswith("http.middlewares.")]
    assert (problem.path, problem.message) == (f"http.middlewares.m.{kind}", message)
    assert HIDDEN not in repr(built)
    assert message in built.plan.entries["router:r@file"].refused  # type: ignore[union-attr]
    assert built.routers["good@file"].status == "enabled"


@pytest.mark.parametrize("average", ["x${env:", "$${env:EDGE_TEN}", "${ENV:EDGE_TEN}", "${env:A\nB}", "ten"])
def test_what_is_no_reference_is_refused_as_before(average: str) -> None:
    _, (problem,) = decode_dynamic(configured({"rateLimit": {"average": average}}), kinds(), "file")
    assert problem.path == "http.middlewares.m.rateLimit.average"
    assert problem.message == f"expected a whole number, got {average!r}"


def test_other_shapes_take_none() -> None:
    _, problems = decode_dynamic(configured({"rateLimit": {"sourceCriterion": "${env:EDGE_ON}"}}), kinds(), "file")
    assert [found.path for found in problems] == ["http.middlewares.m.rateLimit.sourceCriterion"]


def test_labels_may_not_unless_they_are_trusted() -> None:
    snapshot = decoded(configured({"rateLimit": {"average": "${env:EDGE_TEN}"}}), "docker")
    built = built_of(snapshot, "docker", Limits(frozenset({"docker"}), {"docker": ""}))
    (problem,) = [found for found in built.problems if found.path.startswith("http.middlewares.")]
    assert problem.message == "labels may not use the environment: ${env:EDGE_TEN}"
    assert built_of(snapshot, "docker").problems == ()


async def test_services_take_them_with_their_servers_and_checks() -> None:
    service = {
        "loadBalancer": {
            "servers": [{"url": "http://127.0.0.${env:EDGE_TEN}:9", "weight": "${env:EDGE_TEN}"}],
            "passHostHeader": "${env:EDGE_ON}",
            "sticky": {"cookie": {"sameSite": "${env:EDGE_LAX}", "maxAge": "${env:EDGE_TEN}"}},
            "healthCheck": {
                "path": "/",
                "interval": "${env:EDGE_TIME}",
                "status": "${env:EDGE_TEN}0",
                "headers": {"Authorization": "Bearer ${env:EDGE_WORD}"},
            },
        }
    }
    built = built_of(decoded(configured(service=service)))
    assert built.problems == ()
    (server,) = built.services["s@file"].servers
    assert (server.url, server.weight) == ("http://127.0.0.10:9", 10)
    entry = built.plan.entries["service:s@file"]
    assert isinstance(entry, ServiceEntry)
    assert HIDDEN not in repr(built)
    ((key, (check, _, _)),) = _wanted(built.plan, {})
    assert key == ("s@file", "http://127.0.0.10:9")
    assert (check.interval, check.status) == (90.0, 100)
    assert check.headers == {"Authorization": f"Bearer {HIDDEN}"}
    made = (await assembled(built)).services.current["s@file"]
    assert made.refused == "" and [s.weight for s in made.servers] == [10]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ({"url": "http://a:1", "weight": "${env:EDGE_WORD}"},
         "servers[0]: weight: the value of ${env:EDGE_WORD} does not fit: expected a whole number"),
        ({"url": "http://${env:EDGE_NONE}:1"},
         "servers[0]: ${env:EDGE_NONE}: the router's environment has no EDGE_NONE"),
    ],
)  # fmt: skip
def test_a_server_that_cannot_be_read_refuses_its_service_only(server: Any, message: str) -> None:
    built = built_of(decoded(configured(service={"loadBalancer": {"servers": [server]}})))
    (problem,) = [found for found in built.problems if found.path.startswith("http.services.")]
    assert (problem.path, problem.message) == ("http.services.s.loadBalancer", message)
    assert built.routers["good@file"].status == "enabled"


def test_labels_may_not_hide_them_in_servers() -> None:
    service = {"loadBalancer": {"servers": [{"url": "http://${env:EDGE_WORD}:1"}]}}
    built = built_of(decoded(configured(service=service), "docker"), "docker", Limits(frozenset({"docker"})))
    (problem,) = [found for found in built.problems if found.path.startswith("http.services.")]
    assert problem.message == "labels may not use the environment: ${env:EDGE_WORD}"
    assert HIDDEN not in repr(built)


def test_questions_to_options_see_the_values() -> None:
    body = {"address": "http://127.0.0.1:9", "forwardBody": True}
    assert built_of(decoded(configured({"forwardAuth": {**body, "maxBodySize": "${env:EDGE_TEN}"}}))).problems == ()
    (warning,) = built_of(decoded(configured({"forwardAuth": {**body, "forwardBody": "${env:EDGE_ON}"}}))).problems
    assert warning.message == "forwardBody holds whole bodies in memory; set maxBodySize"
    assert built_of(decoded(configured({"inFlightReq": {"amount": "${env:EDGE_TEN}"}}))).problems == ()


def test_weights_of_children() -> None:
    children = [{"name": "other", "weight": 1}, {"name": "other", "weight": "${env:EDGE_TEN}"}]
    built = built_of(decoded(configured(service={"weighted": {"services": children}})))
    assert built.problems == ()
    options = built.plan.entries["service:s@file"].options  # type: ignore[union-attr]
    assert [child.get("weight", 1) for child in options["services"]] == [1, "${env:EDGE_TEN}"]


def test_they_survive_a_live_upgrade() -> None:
    snapshot = decoded(configured({"rateLimit": {"average": "${env:EDGE_TEN}"}}))
    assert unpack_snapshots(pack_snapshots({"file": snapshot}), ["file"], kinds()) == {"file": snapshot}


def test_places_in_plain_options() -> None:
    plain: Any = {"a": [{"b": 1}], "c": {}}
    put(plain, ((("a", "[0]", "b"), "x"), (("d", "e"), "y")))
    assert plain == {"a": [{"b": "x"}], "c": {}, "d": {"e": "y"}}
    assert at(plain, ("a", "[0]", "b")) == "x" and at(plain, ("c", "no")) is None and at(plain, ("a", "b")) is None
    with pytest.raises(LookupError):
        put(plain, ((("a", "[3]", "b"), "x"),))
    assert all(refers(text) for text in ("${env:A}", "a${file:/b}", "$${env:A}${env:A}"))
    assert not any(refers(text) for text in ("$${env:A}", "$A", "${env:A", 5, None))
