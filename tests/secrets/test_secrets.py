"""No secret is ever shown: every Secret-typed option of every model and plugin, found by walking the types, is set and
looked for in all that the program prints, logs and answers.

No middleware or service of our own has a secret, but those of others will: two toys stand for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from live.toolbox import Router, fetch

from edgerouter import cli, registry
from edgerouter.config.decode import decode_dynamic
from edgerouter.config.dynamic import Model, ServersTransport
from edgerouter.config.dynamic import Router as RouterModel
from edgerouter.config.sources import load_static
from edgerouter.config.static import Api, EntryPoint, StaticConfiguration
from edgerouter.config.types import MASK, Secret, hide_hook, reveal_hook
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.announce import ProblemLog
from edgerouter.control.build import Build, Inputs, build
from edgerouter.control.build_plain import masked
from edgerouter.control.internal import internal_snapshot
from edgerouter.control.prepare import kinds
from edgerouter.control.view import Picture, View
from edgerouter.dashboard.api import ROOMS, make_app

HIDDEN = "hunter2-Tr0ub4dor"
PAGES = [
    *(f"/api/{room}" for room in ROOMS),
    *(f"/api/{page}" for page in ("rawdata", "present", "overview", "problems", "workloads", "providers", "workers")),
]
OptionPath = tuple[str, ...]


class Inner(Model, frozen=True):
    """A level below."""

    token: Secret = Secret("")


class ToyOptions(Model, frozen=True):
    """Secrets wherever options can hold them."""

    password: Secret = Secret("")
    perhaps: Secret | None = None
    several: tuple[Secret, ...] = ()
    named: dict[str, Secret] = {}
    inner: Inner = Inner()
    rows: tuple[Inner, ...] = ()


class Telltale(Middleware):
    """Complains of its options and quotes them, as plugins do."""

    def __init__(self, options: ToyOptions, context: PluginContext) -> None:
        text = msgspec.json.encode(options, enc_hook=reveal_hook).decode()
        raise ValueError(f"these options are wrong: {text}")


ROOT_MODELS = {"static": StaticConfiguration, "router": RouterModel, "serversTransport": ServersTransport}


def secrets_of(kind: Any) -> Iterator[OptionPath]:
    """Paths of all secrets below a type; ``[]`` is an item of a list, ``{}`` one of a mapping."""
    if kind is Secret:
        yield ()
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            yield from ((field.encode_name, *rest) for rest in secrets_of(field.type))
    else:
        step = {tuple: ("[]",), list: ("[]",), dict: ("{}",)}.get(get_origin(kind), ())
        yield from {(*step, *rest): None for part in get_args(kind) for rest in secrets_of(part)}


def plain(path: OptionPath, value: Any = HIDDEN) -> Any:
    """Options as a file would hold them, with ``value`` at the path."""
    for step in reversed(path):
        value = [value] if step == "[]" else {"one" if step == "{}" else step: value}
    return value


def found(room: str) -> list[tuple[str, OptionPath]]:
    """(plugin, path) of each secret in a room."""
    plugins = registry.load(room).items()
    return [(name, path) for name, plugin in plugins for path in secrets_of(plugin.options)]


STATIC = [(room, name, path) for room in ("providers", "metrics") for name, path in found(room)]
STATIC += [("", "", path) for path in secrets_of(StaticConfiguration)]
TOYS = [(room, "toy", path) for room in ("middlewares", "services") for path in secrets_of(ToyOptions)]
TRANSPORT = list(secrets_of(ServersTransport))
DYNAMIC = [(room, name, path) for room in ("middlewares", "services") for name, path in found(room)] + TOYS


def test_the_walk_finds_what_there_is() -> None:
    assert ("providers", "docker", ("password",)) in STATIC
    assert {path for _, _, path in TOYS} == {
        *(("password",), ("perhaps",), ("several", "[]"), ("named", "{}")),
        *(("inner", "token"), ("rows", "[]", "token")),
    }
    for name, cls in ROOT_MODELS.items():
        if name not in ("static", "serversTransport"):
            assert not list(secrets_of(cls)), f"{name} has secrets now: set them below"
    assert set(TRANSPORT) == {("certificates", "[]", "certFile"), ("certificates", "[]", "keyFile")}


def test_options_that_sound_like_secrets_are_secrets() -> None:
    """Passwords, tokens and keys in plain text are oversights; files and names of them are none."""
    sound = ("password", "passphrase", "secret", "token", "apikey", "privatekey", "credential")
    plugins = [
        p.options for room in ("providers", "metrics", "middlewares", "services") for p in registry.load(room).values()
    ]
    for cls in (*ROOT_MODELS.values(), *(options for options in plugins if options is not None)):
        for path, kind in _leaves(cls):
            if any(word in path.lower().replace("_", "") for word in sound):
                assert kind is not str, f"{cls.__module__}.{cls.__name__}: {path} is no Secret"


def _leaves(kind: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            yield from _leaves(field.type, f"{path}.{field.name}" if path else field.name)
    elif get_args(kind):
        for part in get_args(kind):
            yield from _leaves(part, path)
    else:
        yield path.rpartition(".")[2], kind


# -- the static configuration -----------------------------------------------------------------------------------------


def _tree(room: str, name: str, options: Any) -> dict[str, Any]:
    tree: dict[str, Any] = {"entryPoints": {"web": {"address": "127.0.0.1:0"}}}
    return tree | ({room: {name: options}} if room else options)


def _whole(tree: dict[str, Any]) -> dict[str, Any]:
    """With what a resolver of certificates must have beside its secrets."""
    for resolver in tree.get("certificatesResolvers", {}).values():
        resolver["acme"]["tlsChallenge"] = {}
    return tree


def _mistakes(path: OptionPath) -> Iterator[Any]:
    """The secret where it does not belong: under a wrong name, in a mapping, in a list, twice as deep."""
    *above, last = path
    if last not in ("[]", "{}"):
        yield plain((*above, last + "x"))
    yield plain((*path, "x"))
    yield plain((*path, "[]", "[]"))
    yield plain((*path, "x", "[]", "y"))


@pytest.mark.parametrize(("room", "name", "path"), STATIC, ids=str)
def test_static_secrets_are_kept_and_never_printed(
    room: str, name: str, path: OptionPath, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "edgerouter.yml"
    file.write_text(yaml.safe_dump(_whole(_tree(room, name, plain(path)))))
    tables = {each: {n: p.options for n, p in registry.load(each).items()} for each in ("providers", "metrics")}
    loaded = load_static([], {}, tables["providers"], tables["metrics"], [str(file)])
    static = loaded.static
    assert static is not None
    assert HIDDEN in msgspec.json.encode(static, enc_hook=reveal_hook).decode()
    shown = msgspec.json.encode(static, enc_hook=hide_hook).decode()
    assert MASK in shown
    for text in (shown, repr(static), str(static), repr(loaded)):
        assert HIDDEN not in text
    assert cli.main(["check", f"--configFile={file}"]) == 0
    _assert_silent(capsys)
    for wrong in _mistakes(path):
        file.write_text(yaml.safe_dump(_tree(room, name, wrong)))
        assert cli.main(["check", f"--configFile={file}"]) == 2
        _assert_silent(capsys)


def _assert_silent(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = capsys.readouterr()
    assert HIDDEN not in out + err
    assert out + err


# -- the dynamic configuration ----------------------------------------------------------------------------------------


def _built(room: str, kind: str, options: Any) -> Build:
    table: dict[str, dict[str, Any]] = {each: {**classes, "toy": ToyOptions} for each, classes in kinds().items()}
    http = {"routers": {"r": {"rule": "Path(`/`)", "service": "noop@internal"}}, room: {"o": {kind: options}}}
    configuration, problems = decode_dynamic({"http": http}, table, "file")
    assert HIDDEN not in repr(configuration) + repr(problems)
    static = StaticConfiguration(entry_points={"web": EntryPoint(address=":80")}, api=Api())
    file = Snapshot(configuration=configuration, problems=tuple(problems))
    return build(Inputs(static=static, snapshots={"internal": internal_snapshot(static, "/x"), "file": file}))


async def _pages(built: Build) -> dict[str, str]:
    """Every answer of the API about it."""
    view = View(
        routers=built.routers,
        services=built.services,
        middlewares=built.middlewares,
        entry_points=built.entry_points,
        problems=built.problems,
    )
    app: web.Application = make_app(Picture(view), None, StaticConfiguration(api=Api()))
    async with TestClient(TestServer(app)) as client:
        return {page: await (await client.get(page)).text() for page in PAGES}


# Secrets that have a form of their own: what a plugin takes, with the text in it.
FORMS = {
    "apiKey": f"ann:{HIDDEN}",
    "basicAuth": f"ann:{{SHA}}{HIDDEN}",
    "oidc": f"{HIDDEN}{HIDDEN}",
    "digestAuth": f"{HIDDEN}:realm:{'0' * 32}",
}


# Options that must stand beside a secret.
BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("forwardAuth", "tls"): {"address": "http://auth/"},
    ("jwt", "tls"): {"jwksUrl": "http://id/"},
    ("oidc", "tls"): {"issuer": "http://id/", "clientId": "a", "sessionSecret": "x" * 32},
    ("oidc", "clientSecret"): {"issuer": "http://id/", "clientId": "a", "sessionSecret": "x" * 32},
    ("oidc", "sessionSecret"): {"issuer": "http://id/", "clientId": "a"},
}


@pytest.mark.parametrize(("room", "kind", "path"), DYNAMIC, ids=str)
async def test_dynamic_secrets_reach_workers_and_nobody_else(
    room: str, kind: str, path: OptionPath, caplog: pytest.LogCaptureFixture
) -> None:
    built = _built(room, kind, plain(path, FORMS.get(kind, HIDDEN)) | BESIDE.get((kind, path[0]), {}))
    entries = msgspec.msgpack.encode(list(built.plan.entries.values()), enc_hook=reveal_hook)
    assert HIDDEN.encode() in entries
    pages = await _pages(built)
    assert MASK in pages[f"/api/http/{room}"] and MASK in pages["/api/present"]
    ProblemLog().tell(built.problems)
    shown = [*pages.values(), repr(built.problems), repr(built.middlewares), repr(built.services), caplog.text]
    assert not [text for text in shown if HIDDEN in text]


@pytest.mark.parametrize(("room", "kind", "path"), DYNAMIC, ids=str)
async def test_a_secret_in_the_wrong_place_is_not_quoted(
    room: str, kind: str, path: OptionPath, caplog: pytest.LogCaptureFixture
) -> None:
    for wrong in _mistakes(path):
        built = _built(room, kind, wrong)
        assert built.problems
        ProblemLog().tell(built.problems)
        pages = await _pages(built)
        shown = [*pages.values(), repr(built.problems), caplog.text]
        assert not [text for text in shown if HIDDEN in text], wrong


@pytest.mark.parametrize("path", TRANSPORT, ids=str)
async def test_secrets_of_transports_are_told_to_workers_only(path: OptionPath) -> None:
    """The form of a pasted key, since any other text is a file's name, and names of files are shown."""
    pasted = f"-----BEGIN PRIVATE KEY-----\n{HIDDEN}\n-----END PRIVATE KEY-----\n"
    servers = {"servers": [{"url": "https://10.0.0.1"}], "serversTransport": "t"}
    for options in (plain(path, pasted), *(wrong for wrong in _mistakes(path))):
        http = {
            "routers": {"r": {"rule": "Path(`/`)", "service": "s"}},
            "services": {"s": {"loadBalancer": servers}},
            "serversTransports": {"t": options},
        }
        configuration, problems = decode_dynamic({"http": http}, kinds(), "file")
        static = StaticConfiguration(entry_points={"web": EntryPoint(address=":80")}, api=Api())
        file = Snapshot(configuration=configuration, problems=tuple(problems))
        built = build(Inputs(static=static, snapshots={"internal": internal_snapshot(static, "/x"), "file": file}))
        shown = [*(await _pages(built)).values(), repr(configuration), repr(problems), repr(built.problems)]
        assert not [text for text in shown if HIDDEN in text], options


@pytest.mark.parametrize("path", list(secrets_of(ToyOptions)), ids=str)
async def test_what_a_plugin_says_of_its_options_is_told_without_their_secrets(
    path: OptionPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = registry.load

    def with_toy(room: str) -> dict[str, registry.Plugin]:
        toy = {"toy": registry.Plugin("middlewares", "toy", Telltale, ToyOptions)}
        return {**load(room), **(toy if room == "middlewares" else {})}

    monkeypatch.setattr("edgerouter.control.build_trial.load", with_toy)
    built = _built("middlewares", "toy", plain(path))
    (problem,) = built.problems
    assert "these options are wrong" in problem.message and MASK in problem.message
    assert HIDDEN not in "".join((await _pages(built)).values()) + repr(built.problems)


def test_masking_takes_the_longest_first_and_leaves_empty_secrets() -> None:
    options = ToyOptions(password=Secret("abc"), perhaps=Secret("abcdef"), several=(Secret(""),))
    assert masked("abcdef, abc, ab", options) == f"{MASK}, {MASK}, ab"


# -- the running router ----------------------------------------------------------------------------------------------


async def test_a_running_router_shows_no_secret_of_its_configuration(tmp_path: Path) -> None:
    """Docker stands for every provider with a secret: its daemon refuses, so that faults are told too."""
    docker = {"endpoint": "tcp://127.0.0.1:1", "username": "who", "password": HIDDEN}
    static = {"providers": {"docker": docker}, "api": {"insecure": True, "debug": True}, "accessLog": {}}
    async with Router(tmp_path, dynamic={"http": {}}, static=static) as router:
        router.wait_log("docker: lost its source")
        pages = [(await fetch(router.port("traefik"), page)).text for page in (*PAGES, "/metrics", "/dashboard/")]
        assert any("docker" in page for page in pages)
        text = "".join(pages) + router.log_text() + router.stdout.read_text()
        encoded = json.dumps(HIDDEN)[1:-1]
        assert HIDDEN not in text and encoded not in text
