"""Every option that is read and changes nothing is named when it is set, and no other option is like that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

import edgerouter
from edgerouter import registry
from edgerouter.config import absent, dynamic
from edgerouter.config.dynamic import Observability, Router, RouterTLS
from edgerouter.config.effect import given
from edgerouter.config.fit import dotted
from edgerouter.config.sources import Loaded, load_static
from edgerouter.config.static import StaticConfiguration

ROOT = Path(edgerouter.__file__).parent
WEB = "--entryPoints.web."
# What sets the option, flags -> where it is told.
SETS = {
    "accessLog.dualOutput": "--accessLog.dualOutput=true",
    "api.debug": "--api.debug=true",
    "certificatesResolvers.*.acme.certificatesDuration": (
        "--certificatesResolvers.web.acme.certificatesDuration=100 --certificatesResolvers.web.acme.tlsChallenge=true"
    ),
    "entryPoints.*.allowACMEByPass": f"{WEB}allowACMEByPass=true",
    "entryPoints.*.forwardedHeaders.addXForwardedSchemeHeaders": (
        f"{WEB}forwardedHeaders.addXForwardedSchemeHeaders=true"
    ),
    "entryPoints.*.forwardedHeaders.connection": f"{WEB}forwardedHeaders.connection=X-One",
    "entryPoints.*.http2": f"{WEB}http2.maxConcurrentStreams=10",
    "entryPoints.*.http3": f"{WEB}http3=true",
    "entryPoints.*.observability.traceVerbosity": f"{WEB}observability.traceVerbosity=detailed",
    "entryPoints.*.udp": f"{WEB}udp.timeout=10s",
    "global.checkNewVersion": "--global.checkNewVersion=true",
    "global.sendAnonymousUsage": "--global.sendAnonymousUsage=true",
    "hostResolver": "--hostResolver.resolvDepth=2",
    "log.compress": "--log.compress=true",
    "log.maxAge": "--log.maxAge=1",
    "log.maxBackups": "--log.maxBackups=1",
    "log.maxSize": "--log.maxSize=1",
    "metrics.prometheus.headerLabels": "--metrics.prometheus.headerLabels.app=X-App",
    "ocsp": "--ocsp.responderOverrides.a=b",
    "spiffe": "--spiffe.workloadAPIAddr=a",
    "tcpServersTransport": "--tcpServersTransport.dialTimeout=1s",
    "tracing": "--tracing.otlp=true",
}
# Options that ask for what is so anyway, or belong to a section that is named as a whole: no word about them.
AS_IT_IS = {
    "EntryPoint.reuse_port",
    "Api.disable_dashboard_ad",
    *("EntryPointDomain.sans", "Domain.sans", "TLSStore.default_generated_cert", "GeneratedCert.domain"),
    "TLSOptions.prefer_server_cipher_suites",
    *("Http2.max_concurrent_streams", "Http2.max_decoder_header_table_size", "Http2.max_encoder_header_table_size"),
    "Http3.advertised_port",
    *("ServersTransport.disable_http2", "ForwardingTimeouts.read_idle_timeout", "ForwardingTimeouts.ping_timeout"),
    *("HostResolver.cname_flattening", "HostResolver.resolv_conf", "HostResolver.resolv_depth"),
}


def load(*flags: str) -> Loaded:
    tables = {room: {name: p.options for name, p in registry.load(room).items()} for room in ("providers", "metrics")}
    flags = (*flags, "--entryPoints.web.address=:80", "--providers.docker=true")
    return load_static(flags, {}, tables["providers"], tables["metrics"], [])


def test_the_table_is_proven_whole() -> None:
    assert set(SETS) == set(absent.STATIC_WITHOUT_EFFECT)


@pytest.mark.parametrize("option", SETS)
def test_an_option_without_effect_is_named(option: str) -> None:
    loaded = load(*SETS[option].split())
    assert loaded.static is not None
    (problem,) = loaded.problems
    assert (problem.path, problem.severity) == (option.replace("*", "web"), "warning")
    assert problem.message == absent.STATIC_WITHOUT_EFFECT[option]
    assert "flag" in problem.source


def test_defaults_are_not_worth_a_word() -> None:
    written = (
        "--log.maxSize=0",
        f"{WEB}udp.timeout=3s",
        f"{WEB}http2.maxConcurrentStreams=250",
        f"{WEB}reusePort=true",
    )
    assert load(*written).problems == ()


@pytest.mark.parametrize(
    ("flag", "path", "says"),
    [
        ("--entryPoints.dns.address=:53/udp", "entryPoints.dns.address", "nothing listens"),
        (
            "--providers.file.debugLogGeneratedTemplate=true",
            "providers.file.debugLogGeneratedTemplate",
            "has no effect",
        ),
    ],
)
def test_what_only_a_value_or_a_plugin_says(flag: str, path: str, says: str) -> None:
    (problem,) = load(flag, "--providers.file.filename=/x").problems
    assert (problem.path, problem.severity) == (path, "warning")
    assert says in problem.message


@pytest.mark.parametrize(
    ("seen", "paths"),
    [
        (Observability(tracing=True), ["observability.tracing"]),
        (Observability(trace_verbosity="detailed"), ["observability.traceVerbosity"]),
        (Observability(tracing=False, metrics=True), []),
        (None, []),
    ],
)
def test_options_of_routers_without_effect(seen: Observability | None, paths: list[str]) -> None:
    router = Router(rule="Path(`/`)", observability=seen, tls=RouterTLS())
    assert [dotted(fault.path) for fault in given(router, absent.ROUTER_WITHOUT_EFFECT)] == paths


def test_every_option_of_the_models_is_used_or_named() -> None:
    """An option whose name stands nowhere in the code cannot have an effect. (The converse is for other tests.)"""
    code = "\n".join(text for path, text in _sources() if not path.startswith("config/") or path in _USERS)
    used = {attribute or text for attribute, text in re.findall(r"\.(\w+)|\"(\w+)\"", code)}
    unused = {name: dotted_path for name, dotted_path in _options() if name.partition(".")[2] not in used}
    silent = {name for name, path in unused.items() if name not in AS_IT_IS and not _named(path)}
    assert silent == set()
    assert "Prometheus.header_labels" in unused  # the search does find what is unused


_USERS = ("config/checks.py", "config/sources.py", "config/static.py", "config/labels.py", "config/decode.py")


def _sources() -> Iterator[tuple[str, str]]:
    for room in sorted(ROOT.iterdir()):
        files = sorted(room.rglob("*.py")) if room.is_dir() else [room] if room.suffix == ".py" else []
        for file in files:
            yield file.relative_to(ROOT).as_posix(), file.read_text()


def _options() -> Iterator[tuple[str, str]]:
    """``Class.attribute`` and the dotted path from the root, for everything below the static model and Router."""
    for root, cls in (("", StaticConfiguration), ("router.", Router), ("transport.", dynamic.ServersTransport)):
        yield from _below(cls, root)


def _below(cls: type, path: str) -> Iterator[tuple[str, str]]:
    for field in msgspec.structs.fields(cls):
        at = f"{path}{field.encode_name}"
        yield f"{cls.__name__}.{field.name}", at
        for inner in _structs(field.type):
            yield from _below(inner, f"{at}.*." if "dict" in str(field.type) else f"{at}.")


def _structs(kind: Any) -> Iterator[type]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for part in get_args(kind):
        yield from _structs(part)


def _named(path: str) -> bool:
    known = [*absent.STATIC_WITHOUT_EFFECT, *(f"router.{name}" for name in absent.ROUTER_WITHOUT_EFFECT)]
    return any(path == name or path.startswith(f"{name}.") for name in known)


def test_every_plugin_that_knows_options_without_effect_names_real_ones() -> None:
    for room in ("providers", "middlewares", "services", "metrics"):
        for name, plugin in registry.load(room).items():
            ask = getattr(plugin.options, "not_there_yet", None)
            if ask is not None:
                assert ask(msgspec.convert({}, plugin.options)) == (), f"{room}.{name} warns of what nobody set"
