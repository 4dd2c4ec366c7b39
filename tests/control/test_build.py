"""The build: every way in which objects refer to each other, right and wrong."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from build_rig import RULE, STATIC, Strip, balancer, chain, made, router_entry, service_entry, snapshot, weighted

from edgerouter.config.dynamic import Middleware, Observability, Router, RouterTLS, ServersTransport, Service
from edgerouter.config.static import (
    EntryPoint,
    EntryPointHttp,
    EntryPointTLS,
    Providers,
    RedirectEntryPoint,
    Redirections,
    StaticConfiguration,
)
from edgerouter.config.types import Problem, Secret
from edgerouter.contracts.plan import MiddlewareEntry, Plan, RouterEntry
from edgerouter.contracts.snapshot import Workload
from edgerouter.control.build import Builder, Inputs, build
from edgerouter.control.build_keys import Keys
from edgerouter.control.build_routers import MAX_PRIORITY, MAX_USER_PRIORITY
from edgerouter.control.publish_delta import delta, deltas


def test_a_router_gets_its_names_priority_and_entry_points() -> None:
    result = made(file=snapshot({"r": Router(rule=RULE, service="s", middlewares=("strip",))}))
    entry = router_entry(result, "r@file")
    assert entry.entry_points == ("web", "other")
    assert entry.priority == len(RULE)
    assert entry.middlewares == ("strip@file",)
    assert entry.service == "s@file"
    assert entry.key > 0 and not entry.refused and not entry.asleep and not entry.tls
    assert result.routers["r@file"].status == "enabled"
    assert result.services["s@file"].used_by == ("r@file",)
    assert result.middlewares["strip@file"].used_by == ("r@file",)
    assert result.problems == ()


def test_priority_counts_bytes_not_characters() -> None:
    rule = "Path(`/ä`)"
    assert router_entry(made(file=snapshot({"r": Router(rule=rule, service="s")})), "r@file").priority == 11


@pytest.mark.parametrize(
    ("router", "refused", "hint"),
    [
        (Router(rule=RULE), "it names no service", "add service"),
        (Router(rule=RULE, service="nope"), "service 'nope@file' does not exist", ""),
        (Router(rule=RULE, service="s", middlewares=("stripp",)), "middleware 'stripp@file' does not exist", "'strip'"),
        (Router(rule=RULE, service="only"), "service 'only@file' does not exist", "only@docker"),
        (Router(rule=RULE, service="s", middlewares=("c1",)), "chain 'c1@file' contains itself", ""),
        (
            Router(rule=RULE, service="s", middlewares=("bad",)),
            "middleware 'bad@file' is broken: no such option",
            "foo",
        ),
        (Router(rule=RULE, service="loop"), "contains itself: back@file -> loop@file -> back@file", ""),
        (Router(rule=RULE, service="half"), "service 'half@file' is broken: service 'gone@file' does not exist", ""),
        (Router(rule=RULE, service="odd"), "service 'odd@file' is broken: serversTransport 'none@file'", ""),
        (Router(rule=RULE, service="text"), "service 'text@file' is broken: '10.0.0.1' is not a server", "http://10"),
        (Router(rule=RULE, service="alien"), "its options cannot be understood", ""),
        (Router(rule=RULE, service="s", middlewares=("alien",)), "its options cannot be understood", ""),
        (Router(rule=RULE, service="torn"), "service 'torn@file' is broken: http.services.torn", "unknown option"),
        (Router(rule=RULE, service="s", middlewares=("torn",)), "middleware 'torn@file' is broken", "unknown option"),
        (Router(rule=RULE, service="s", priority=MAX_PRIORITY), "is reserved for internal routers", "or less"),
    ],
)
def test_a_broken_router_is_refused_not_left_out(router: Router, refused: str, hint: str) -> None:
    file = snapshot(
        {"r": router, "good": Router(rule=RULE, service="s")},
        {
            "s": balancer("http://10.0.0.1:80"),
            "loop": weighted("s", "back"),
            "back": weighted("loop"),
            "half": weighted("s", "gone"),
            "odd": balancer("http://10.0.0.1:80", servers_transport="none"),
            "text": balancer("10.0.0.1"),
            "alien": Service("loadBalancer", {"servers": ["not a mapping"]}),
            "torn": Service("", None, (), "http.services.torn.loadBalancer.x: unknown option"),
        },
        {
            "alien": Middleware("strip", object()),
            "torn": Middleware("", None, "http.middlewares.torn.strip.y: unknown option"),
            "strip": Middleware("strip", Strip()),
            "c1": chain("strip", "c2"),
            "c2": chain("c1"),
        },
        problems=(Problem("http.middlewares.bad.strip.foo", "no such option", "remove foo"),),
    )
    docker = snapshot(services={"only": balancer("http://10.0.0.2:80")})
    result = made(file=file, docker=docker)
    entry = router_entry(result, "r@file")
    assert refused in entry.refused or refused in " ".join(result.routers["r@file"].errors)
    assert hint in entry.refused
    assert result.routers["r@file"].status == "disabled"
    assert any(p.path.startswith("http.routers.r.") and p.source == "file" for p in result.problems)
    assert entry.priority <= MAX_USER_PRIORITY
    assert not router_entry(result, "good@file").refused


@pytest.mark.parametrize(
    ("router", "message"),
    [
        (Router(rule="Host(`a", service="s"), "\n"),
        (Router(rule="Hostt(`a`)", service="s"), "did you mean Host?"),
        (Router(service="s"), "it has no rule"),
        (Router(rule=RULE, service="s", entry_points=("nope",)), "entry point 'nope' does not exist"),
        (Router(rule=RULE, service="s", parent_refs=("p",)), "not there yet"),
    ],
)
def test_a_router_that_cannot_be_placed_is_left_out_and_shown(router: Router, message: str) -> None:
    result = made(file=snapshot({"r": router, "good": Router(rule=RULE, service="s")}))
    assert "router:r@file" not in result.plan.entries
    view = result.routers["r@file"]
    assert (view.status, view.key) == ("disabled", -1)
    assert any(message in error for error in view.errors)
    assert router_entry(result, "good@file").service == "s@file"


def test_an_unknown_entry_point_among_several_is_a_warning() -> None:
    result = made(file=snapshot({"r": Router(rule=RULE, service="s", entry_points=("web", "webb"))}))
    assert router_entry(result, "r@file").entry_points == ("web",)
    assert result.routers["r@file"].status == "warning"
    (problem,) = result.problems
    assert (problem.severity, problem.hint) == ("warning", "write one of other, traefik, web")


def test_chains_are_expanded_in_order_and_leave_the_plan() -> None:
    middlewares = {
        "a": Middleware("strip", Strip()),
        "b": Middleware("strip", Strip()),
        "inner": chain("b"),
        "outer": chain("a", "inner", "a"),
    }
    result = made(file=snapshot({"r": Router(rule=RULE, service="s", middlewares=("b", "outer"))}, None, middlewares))
    assert router_entry(result, "r@file").middlewares == ("b@file", "a@file", "b@file", "a@file")
    assert "middleware:outer@file" not in result.plan.entries
    assert result.middlewares["outer@file"].used_by == ("r@file",)


def test_a_chain_with_an_unknown_member_is_shown_as_disabled() -> None:
    result = made(file=snapshot(middlewares={"c": chain("nope")}))
    assert result.middlewares["c@file"].status == "disabled"


def test_references_in_options_are_qualified_by_the_owner() -> None:
    services = {"s": balancer("http://h:1", servers_transport="t"), "w": weighted("s", "x@docker")}
    file = snapshot(services=services, transports={"t": ServersTransport(server_name="n")})
    result = made(file=file, docker=snapshot(services={"x": balancer("http://h:2")}))
    assert service_entry(result, "w@file").options["services"] == [{"name": "s@file"}, {"name": "x@docker"}]
    assert service_entry(result, "s@file").options == {"serversTransport": "t@file"}
    assert not service_entry(result, "w@file").refused
    assert result.plan.entries["transport:t@file"].options == {"serverName": "n"}  # type: ignore[union-attr]


def test_one_bad_server_among_good_ones_is_left_out() -> None:
    result = made(file=snapshot(services={"s": balancer("http://h:1", "h:2")}))
    entry = service_entry(result, "s@file")
    assert [server.url for server in entry.servers] == ["http://h:1"] and not entry.refused
    assert result.services["s@file"].status == "warning"


def test_servers_that_are_down_are_marked() -> None:
    inputs = Inputs(
        static=STATIC,
        snapshots={"file": snapshot(services={"s": balancer("http://h:1", "http://h:2")})},
        down=frozenset({("s@file", "http://h:2")}),
    )
    result = build(inputs)
    assert [server.up for server in service_entry(result, "s@file").servers] == [True, False]
    assert [server.up for server in result.services["s@file"].servers] == [True, False]


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize(
    "router",
    [
        Router(rule=RULE, service="ping@internal"),
        Router(rule=RULE, service="s", middlewares=("m@internal",)),
        Router(rule=RULE, service="s", middlewares=("c",)),
        Router(rule=RULE, service="w"),
    ],
)
def test_labels_may_not_name_internal_objects_unless_allowed(router: Router, allowed: bool) -> None:
    services = {"s": balancer("http://h:1"), "w": weighted("ping@internal")}
    docker = snapshot({"r": router}, services, {"c": chain("m@internal")})
    inside = snapshot(services={"ping": Service("ping", {})}, middlewares={"m": Middleware("strip", Strip())})
    guard = frozenset() if allowed else frozenset({"docker"})
    result = build(Inputs(static=STATIC, snapshots={"docker": docker, "internal": inside}, guard=guard))
    refused = router_entry(result, "r@docker").refused
    assert bool(refused) is not allowed
    if not allowed:
        assert "must not be used from docker" in refused and "allowInternal" in refused


def test_sleeping_routers_say_why_and_are_not_refused() -> None:
    docker = snapshot({"r": Router(rule=RULE, service="gone")}, sleeping={"r": "container shop is stopped"})
    entry = router_entry(made(docker=docker), "r@docker")
    assert (entry.asleep, entry.refused) == ("container shop is stopped", "")


def test_tls_by_router_and_by_entry_point() -> None:
    points = {
        "web": EntryPoint(address=":80"),
        "secure": EntryPoint(address=":443", http=EntryPointHttp(tls=EntryPointTLS(), middlewares=("strip@file",))),
    }
    routers = {
        "both": Router(rule=RULE, service="s", middlewares=("strip",)),
        "one": Router(rule="Path(`/`)", service="s", tls=RouterTLS(), entry_points=("web",)),
    }
    result = made(StaticConfiguration(entry_points=points), file=snapshot(routers))
    plain, clone = router_entry(result, "both@file"), router_entry(result, "secure-both@file")
    assert (plain.entry_points, plain.tls, plain.middlewares) == (("web",), False, ("strip@file",))
    assert (clone.entry_points, clone.tls, clone.middlewares) == (("secure",), True, ("strip@file", "strip@file"))
    assert plain.key != clone.key
    assert router_entry(result, "one@file").tls
    told = [(problem.path, problem.severity) for problem in result.problems]
    assert told == [("http.routers.secure-both.tls.certificate", "warning")]  # for its host there is none
    assert result.routers["both@file"].status == "enabled"


def test_observability_of_the_router_goes_before_the_entry_points() -> None:
    routers = {"r": Router(rule=RULE, service="s", observability=Observability(metrics=False))}
    entry = router_entry(made(file=snapshot(routers)), "r@file")
    assert (entry.metrics, entry.access_log) == (False, True)


def test_defaults_go_to_as_default_only() -> None:
    points = {"web": EntryPoint(address=":80"), "main": EntryPoint(address=":81", as_default=True)}
    result = made(StaticConfiguration(entry_points=points), file=snapshot({"r": Router(rule=RULE, service="s")}))
    assert router_entry(result, "r@file").entry_points == ("main",)


def test_redirections_become_a_catch_all_router() -> None:
    redirect = Redirections(entry_point=RedirectEntryPoint(to="secure"))
    points = {
        "web": EntryPoint(address=":80", http=EntryPointHttp(redirections=redirect)),
        "secure": EntryPoint(address=":8443"),
    }
    result = made(StaticConfiguration(entry_points=points))
    entry = router_entry(result, "web-to-secure@internal")
    assert (entry.entry_points, entry.priority, entry.service) == (("web",), MAX_PRIORITY - 1, "noop@internal")
    step = result.plan.entries["middleware:redirect-web-to-secure@internal"]
    assert isinstance(step, MiddlewareEntry)
    assert (step.kind, step.options) == ("redirectScheme", {"scheme": "https", "permanent": True, "port": "8443"})
    assert result.problems == ()


def test_a_redirection_to_nowhere_refuses_instead_of_serving() -> None:
    redirect = Redirections(entry_point=RedirectEntryPoint(to="nope"))
    points = {"web": EntryPoint(address=":80", http=EntryPointHttp(redirections=redirect))}
    result = made(StaticConfiguration(entry_points=points))
    assert router_entry(result, "web-to-nope@internal").refused
    assert any("neither an entry point nor a port" in problem.message for problem in result.problems)


def test_two_routers_with_one_rule_name_the_loser() -> None:
    routers = {"a": Router(rule=RULE, service="s"), "b": Router(rule=RULE, service="s", priority=999)}
    workloads = (Workload(id="1", name="one", routers=("a",)), Workload(id="2", name="two", routers=("b",)))
    result = made(file=snapshot(routers, workloads=workloads))
    assert result.routers["a@file"].status == "warning"
    assert result.routers["b@file"].status == "enabled"
    assert [(w.name, w.verdict) for _, w in result.ledger] == [("one", "SHADOWED"), ("two", "ROUTED")]


@pytest.mark.parametrize(
    ("routers", "verdict", "reason"),
    [
        (("good",), "ROUTED", ""),
        (("rule",), "BAD_RULE", "rule"),
        (("service",), "BAD_SERVICE", "does not exist"),
        (("step",), "BAD_MIDDLEWARE", "does not exist"),
        (("point",), "NO_ENTRY_POINT", "does not exist"),
        (("good", "step"), "ROUTED", "router 'step@docker'"),
        (("tls",), "BAD_TLS_OPTIONS", "do not exist"),
        (("good", "tls"), "ROUTED", "router 'tls@docker'"),
    ],
)
def test_verdicts_follow_the_build(routers: tuple[str, ...], verdict: str, reason: str) -> None:
    docker = snapshot(
        {
            "good": Router(rule=RULE, service="s"),
            "rule": Router(rule="Host(", service="s"),
            "service": Router(rule="Path(`/1`)", service="no"),
            "step": Router(rule="Path(`/2`)", service="s", middlewares=("no",)),
            "point": Router(rule="Path(`/3`)", service="s", entry_points=("no",)),
            "tls": Router(rule="Host(`4.test`)", service="s", tls=RouterTLS(options="no")),
        },
        workloads=(
            Workload(id="1", name="w", routers=routers),
            Workload(id="2", name="v", verdict="NO_PORT", reason="kept", routers=routers),
        ),
    )
    (_, first), (_, second) = made(docker=docker).ledger
    assert first.verdict == verdict and reason in first.reason
    assert (second.verdict, second.reason) == ("NO_PORT", "kept")


def test_secrets_travel_in_the_plan_and_are_hidden_in_the_view() -> None:
    secret = {"m": Middleware("strip", Strip(password=Secret("hunter2")))}
    result = made(file=snapshot(middlewares=secret))
    entry = result.plan.entries["middleware:m@file"]
    assert isinstance(entry, MiddlewareEntry) and entry.options == {"password": "hunter2"}
    shown = msgspec.json.encode([result.routers, result.services, result.middlewares, result.entry_points])
    assert b"hunter2" not in shown and b"***" in shown


def test_keys_stay_and_come_back_and_are_never_given_to_another() -> None:
    builder = Builder(Keys())
    a, b = {"a": Router(rule=RULE, service="s")}, {"b": Router(rule=RULE, service="s")}

    def key(routers: dict[str, Router], name: str) -> int:
        return router_entry(builder.build(Inputs(static=STATIC, snapshots={"f": snapshot(routers)})), name).key

    first = key(a, "a@f")
    second = key(b, "b@f")
    assert key({**a, **b}, "a@f") == first and key(b, "b@f") == second and first != second
    assert builder.keys.name("router", second) == "b@f" and builder.keys.name("router", 99) == ""
    assert Keys(builder.keys.state).key("router", "a@f") == first


def test_delta_holds_what_changed_and_nothing_else() -> None:
    builder = Builder(Keys())
    routers = {name: Router(rule=f"Host(`{name}.example`)", service="s") for name in "abc"}
    old = builder.build(Inputs(static=STATIC, snapshots={"f": snapshot(routers)})).plan
    routers = {**routers, "b": Router(rule="Host(`new.example`)", service="s")}
    del routers["c"]
    services = {"s": balancer("http://10.0.0.1:80", "http://10.0.0.2:80")}
    new = builder.build(Inputs(static=STATIC, snapshots={"f": snapshot(routers, services)})).plan
    changed, dropped = delta(old, new)
    assert sorted(changed) == ["router:b@f", "service:s@f"]
    assert dropped == ["router:c@f"]
    assert new.entries["router:a@f"] is old.entries["router:a@f"]
    assert delta(new, new) == ({}, [])
    parts = list(deltas(7, Plan({}, {}), new))
    assert [part.last for part in parts] == [True] and len(parts[0].entries) == len(new.entries)
    (same,) = deltas(8, new, new)
    assert (same.generation, same.entries, same.removed, same.last) == (8, (), (), True)


def test_ten_thousand_routers_build_again_quickly() -> None:
    routers = {f"r{i}": Router(rule=f"Host(`h{i}.example`)", service=f"s{i}") for i in range(10_000)}
    services = {f"s{i}": balancer(f"http://10.0.0.1:{i + 1}") for i in range(10_000)}
    builder = Builder(Keys())
    builder.build(Inputs(static=STATIC, snapshots={"f": snapshot(routers, services)}))
    routers["r5"] = Router(rule="Host(`other.example`)", service="s5")
    again = {**services, "s5": balancer("http://10.0.0.9:1")}
    started = time.process_time()
    plan = builder.build(Inputs(static=STATIC, snapshots={"f": snapshot(dict(routers), again)})).plan
    assert time.process_time() - started < 1.0
    assert len(plan.entries) == 20_003  # with the default transport, middleware and TLS options


def secure_points(*middlewares: str) -> StaticConfiguration:
    """Two entry points, of which one adds TLS and middlewares."""
    secure = EntryPointHttp(tls=EntryPointTLS(), middlewares=middlewares)
    points = {"web": EntryPoint(address=":80"), "secure": EntryPoint(address=":443", http=secure)}
    return StaticConfiguration(entry_points=points)


def test_a_clone_sleeps_with_its_router() -> None:
    docker = snapshot({"r": Router(rule=RULE, service="s")}, sleeping={"r": "stopped"})
    result = made(secure_points(), docker=docker)
    assert [router_entry(result, name).asleep for name in ("r@docker", "secure-r@docker")] == ["stopped", "stopped"]


def test_a_clone_takes_no_routers_name() -> None:
    routers = {
        "r": Router(rule=RULE, service="s"),
        "secure-r": Router(rule="Path(`/own`)", service="s", entry_points=("web",)),
    }
    result = made(secure_points(), file=snapshot(routers))
    assert router_entry(result, "secure-r@file").rule == "Path(`/own`)"
    assert router_entry(result, "secure-secure-r@file").rule == RULE


def test_what_an_entry_point_adds_is_trusted_and_refuses_its_own_clone_only() -> None:
    inside = snapshot(services={}, middlewares={"m": Middleware("strip", Strip())})
    snapshots = {"docker": snapshot({"r": Router(rule=RULE, service="s")}), "internal": inside}
    for name, refused in (("m@internal", False), ("gone@file", True)):
        inputs = Inputs(static=secure_points(name), snapshots=snapshots, guard=frozenset({"docker"}))
        result = build(inputs)
        assert not router_entry(result, "r@docker").refused
        assert bool(router_entry(result, "secure-r@docker").refused) is refused


def test_precedence_of_providers_decides_among_equals() -> None:
    one = snapshot({"r": Router(rule=RULE, service="s")})
    static = msgspec.structs.replace(STATIC, providers=Providers(precedence=("file", "docker")))
    result = made(static, docker=one, file=one)
    assert result.routers["r@docker"].status == "warning" and result.routers["r@file"].status == "enabled"


def test_a_second_build_notices_every_change_around_a_router() -> None:
    builder = Builder(Keys())
    router = Router(rule=RULE, service="s", middlewares=("strip",))

    def entry(static: StaticConfiguration = STATIC, **rest: Any) -> RouterEntry:
        inputs = Inputs(static=static, snapshots={"f": snapshot({"r": router}, **rest)})
        return router_entry(builder.build(inputs), "r@f")

    first = entry()
    assert entry() is first
    assert "does not exist" in entry(services={}).refused
    assert "does not exist" in entry(middlewares={}).refused
    assert entry(sleeping={"r": "stopped"}).asleep == "stopped"
    assert entry(middlewares={"strip": chain("other"), "other": Middleware("strip", Strip())}).middlewares == (
        "other@f",
    )
    assert entry(secure_points()).entry_points == ("web",)
    assert entry() == first


def test_options_without_effect_are_told_and_the_rest_works() -> None:
    routers = {"r": Router(rule=RULE, service="s", middlewares=("m",))}
    result = made(file=snapshot(routers, middlewares={"m": Middleware("strip", Strip(later="x"))}))
    assert not router_entry(result, "r@file").refused and "middleware:m@file" in result.plan.entries
    assert result.middlewares["m@file"].status == "warning"
    (problem,) = result.problems
    assert (problem.path, problem.severity) == ("http.middlewares.m.later", "warning")


def test_options_of_routers_without_effect_are_told() -> None:
    router = Router(rule=RULE, service="s", observability=Observability(tracing=True, trace_verbosity="detailed"))
    result = made(file=snapshot({"r": router}))
    assert not router_entry(result, "r@file").refused
    paths = [(problem.path, problem.severity) for problem in result.problems]
    assert paths == [
        ("http.routers.r.observability.traceVerbosity", "warning"),
        ("http.routers.r.observability.tracing", "warning"),
    ]


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("circuitBreaker", {"expression": "NetworkErrorRatio( > 0.5"}, "expression"),
        ("redirectRegex", {"regex": "(", "replacement": "x"}, "regex"),
        ("stripPrefix", {"prefixxes": ["/a"]}, "prefixxes"),
    ],
)
def test_what_only_a_plugin_knows_is_a_problem_too(kind: str, options: dict[str, Any], says: str) -> None:
    routers = {"r": Router(rule=RULE, service="s", middlewares=("m",))}
    result = made(file=snapshot(routers, middlewares={"m": Middleware(kind, options)}))
    assert says in router_entry(result, "r@file").refused.lower()
    assert any(p.path == f"http.middlewares.m.{kind}" and says in p.message.lower() for p in result.problems)


def test_a_balancer_that_nobody_has_refuses_the_service() -> None:
    services = {"s": Service("loadBalancer", {"strategy": "nope", "servers": [{"url": "http://h:1"}]})}
    result = made(file=snapshot({"r": Router(rule=RULE, service="s")}, services))
    assert "no balancer is named 'nope'" in router_entry(result, "r@file").refused
    assert result.services["s@file"].status == "disabled"


@pytest.mark.parametrize(
    ("guard", "url", "refused"),
    [
        ("docker", "unix:/var/run/docker.sock", True),
        ("docker", "unix:///var/run/docker.sock", True),
        ("docker", "unix:/no-shared-network/../var/run/docker.sock", True),
        ("docker", "unix:/no-shared-network/shop", False),
        ("docker", "http://h:1", False),
        ("other", "unix:/var/run/docker.sock", False),
    ],
)
def test_labels_may_not_lead_to_unix_sockets_unless_allowed(guard: str, url: str, refused: bool) -> None:
    docker = snapshot({"r": Router(rule=RULE, service="s")}, {"s": balancer(url)})
    result = made(guard=frozenset({guard}), docker=docker)
    assert bool(router_entry(result, "r@docker").refused) is refused
