"""File, environment and flags: precedence, spellings, and every fault with the place where it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgerouter.config.dynamic import Model
from edgerouter.config.sources import Loaded, load_static, search
from edgerouter.config.static import Api, EntryPoint, ForwardedHeaders, StaticConfiguration
from edgerouter.config.types import Duration, Secret


class Docker(Model, frozen=True):
    endpoint: str = "unix"
    watch: bool = True
    default_rule: str = ""
    refresh: Duration = Duration(15)
    password: Secret = Secret("")
    networks: tuple[str, ...] = ()
    tls: dict[str, str] = {}


class File(Model, frozen=True):
    filename: str = ""


PROVIDERS: dict[str, Any] = {"docker": Docker, "file": File}
QUIET = {"EDGEROUTER_PROVIDERS_DOCKER": "true"}  # without any provider there is a warning


def load(*flags: str, env: dict[str, str] | None = None, file: str = "") -> Loaded:
    return load_static(flags, QUIET if env is None else env, PROVIDERS, {}, [file] if file else [])


def good(*flags: str, env: dict[str, str] | None = None, file: str = "") -> StaticConfiguration:
    loaded = load(*flags, env=env, file=file)
    assert loaded.problems == ()
    assert loaded.static is not None
    return loaded.static


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str, name: str = "edgerouter.yml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize(
    "flags",
    [
        ["--api.insecure=true", "--entryPoints.web.address=:1", "--log.level=DEBUG"],
        ["-api.insecure", "-entrypoints.web.address", ":1", "-log.level", "debug"],
        ["--API.INSECURE", "true", "--ENTRYPOINTS.web.ADDRESS=:1", "--LOG.Level=Debug"],
        ["--api=true", "--api.insecure=1", "--entrypoints.web.address=:1", "--log.level=DEBUG"],
        ["--api.insecure", "--entrypoints.web", "--entrypoints.web.address=:1", "--log.level=DEBUG"],
        ["--log.level=INFO", "--api.insecure=t", "--entrypoints.web.address=:1", "--log.level=DEBUG", "--"],
    ],
)
def test_flag_spellings(flags: list[str]) -> None:
    static = good(*flags)
    assert static.api == Api(insecure=True)
    assert static.entry_points == {"web": EntryPoint(address=":1")}
    assert static.log.level == "DEBUG"


@pytest.mark.parametrize(
    "flags",
    [
        ["--entrypoints.web.forwardedheaders.trustedips=10.0.0.0/8,::1"],
        [
            "--entrypoints.web.forwardedheaders.trustedips=10.0.0.0/8",
            "--entrypoints.web.forwardedheaders.trustedIPs=::1",
        ],
        [
            "--entrypoints.web.forwardedheaders.trustedips[1]=::1",
            "--entrypoints.web.forwardedheaders.trustedips[0]=10.0.0.0/8",
        ],
    ],
)
def test_lists(flags: list[str]) -> None:
    static = good("--entrypoints.web.address=:1", *flags)
    assert static.entry_points["web"].forwarded_headers == ForwardedHeaders(trusted_ips=("10.0.0.0/8", "::1"))


def test_indexed_structs() -> None:
    at = "--entryPoints.web.http.tls.domains[0]"
    static = load("--entrypoints.web.address=:1", f"{at}.main=a", f"{at}.sans=b,c").static
    assert static is not None
    tls = static.entry_points["web"].http.tls
    assert tls is not None
    assert (tls.domains[0].main, tls.domains[0].sans) == ("a", ("b", "c"))


@pytest.mark.parametrize("prefix", ["EDGEROUTER", "TRAEFIK"])
def test_environment(prefix: str) -> None:
    static = good(
        env={
            f"{prefix}_ENTRYPOINTS_WEB_ADDRESS": ":1",
            f"{prefix}_ENTRYPOINTS_WEB_FORWARDEDHEADERS_TRUSTEDIPS_0": "::1",
            f"{prefix}_PROVIDERS_DOCKER_REFRESH": "1m",
            f"{prefix}_PING": "false",
            f"{prefix}_PORT_80_TCP_ADDR": "10.0.0.1",
            f"{prefix}_API_SERVICE_HOST": "10.0.0.1",
            f"{prefix}_API_PORT_80_TCP": "tcp://10.0.0.1:80",
            f"{prefix}_UNRELATED": "x",
            "PATH": "/bin",
        }
    )
    assert static.entry_points["web"].forwarded_headers.trusted_ips == ("::1",)
    assert static.providers.sections["docker"].refresh == 60.0
    assert static.ping is None
    assert static.api is None


SOURCES = [
    # file, TRAEFIK_, EDGEROUTER_, flag -> what counts
    (None, None, None, None, 0),
    (1, None, None, None, 1),
    (1, 2, None, None, 2),
    (None, 2, 3, None, 3),
    (1, 2, 3, None, 3),
    (1, None, None, 4, 4),
    (None, None, 3, 4, 4),
    (1, 2, 3, 4, 4),
]


@pytest.mark.parametrize(("file", "traefik", "own", "flag", "expected"), SOURCES)
@pytest.mark.parametrize("ending", ["yml", "toml"])
def test_precedence(write: Any, ending: str, file: Any, traefik: Any, own: Any, flag: Any, expected: int) -> None:
    text = "" if file is None else f"workers: {file}\n" if ending == "yml" else f"workers = {file}\n"
    env = dict(QUIET)
    if traefik is not None:
        env["TRAEFIK_WORKERS"] = str(traefik)
    if own is not None:
        env["EDGEROUTER_WORKERS"] = str(own)
    flags = [] if flag is None else [f"--workers={flag}"]
    assert good(*flags, env=env, file=write(text, f"edgerouter.{ending}")).workers == expected


def test_sources_merge_option_by_option(write: Any) -> None:
    file = write(
        """\
entryPoints:
  web: {address: ":1", asDefault: true}
  other: {address: ":2"}
providers:
  docker: {endpoint: tcp, watch: false, networks: [a, b]}
"""
    )
    static = good(
        "--entrypoints.WEB.address=:9",
        "--providers.docker",
        "--providers.docker.networks=c",
        env={"EDGEROUTER_PROVIDERS_DOCKER_ENDPOINT": "ssh"},
        file=file,
    )
    assert static.entry_points == {"web": EntryPoint(address=":9", as_default=True), "other": EntryPoint(address=":2")}
    assert static.providers.sections == {"docker": Docker(endpoint="ssh", watch=False, networks=("c",))}


@pytest.mark.parametrize(
    ("text", "flags", "sections"),
    [
        ("providers: {docker: {endpoint: x}}", ["--providers.docker=false"], {}),
        ("providers: {docker: false}", ["--providers.docker.endpoint=x"], {"docker": Docker(endpoint="x")}),
        ("providers: {docker: }", [], {"docker": Docker()}),
        ("providers: {Docker: true}", [], {"docker": Docker()}),
        ("providers: {file: {filename: a}, docker: {}}", [], {"docker": Docker(), "file": File(filename="a")}),
    ],
)
def test_sections_on_and_off(write: Any, text: str, flags: list[str], sections: dict[str, Any]) -> None:
    loaded = load(*flags, env={}, file=write(text))
    assert loaded.errors == ()
    assert loaded.static is not None
    assert loaded.static.providers.sections == sections


def test_ping_and_metrics_are_on_unless_turned_off() -> None:
    static = good()
    assert static.ping is not None and static.metrics.prometheus is not None and static.api is None
    static = good("--ping=false", "--metrics.prometheus=false")
    assert static.ping is None and static.metrics.prometheus is None


def test_named_file(write: Any) -> None:
    named, other = write("workers: 5", "a.yml"), write("workers: 6", "b.yml")
    assert good(f"--configFile={named}", file=other).workers == 5
    assert good("--configfile", named).workers == 5
    assert good("-c", named).workers == 5
    assert [p.path for p in load("--configFile").errors] == ["configFile"]
    assert good(env={**QUIET, "TRAEFIK_CONFIGFILE": named}, file=other).workers == 5


def test_search_order() -> None:
    found = list(search({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}))
    assert found[:6] == [
        "/etc/edgerouter/edgerouter.toml",
        "/etc/edgerouter/edgerouter.yaml",
        "/etc/edgerouter/edgerouter.yml",
        "/x/edgerouter.toml",
        "/x/edgerouter.yaml",
        "/x/edgerouter.yml",
    ]
    assert found[6] == "/h/.config/edgerouter.toml"
    assert found[9] == "./edgerouter.toml"
    assert found[12] == "/etc/traefik/traefik.toml"
    assert len(found) == 24


FLAGS = [
    # flag, path, message, hint
    ("--entrypoint.web.address=:1", "entrypoint", "unknown option 'entrypoint'", "'entryPoints'"),
    ("--entrypoints.web.adress=:1", "entryPoints.web.adress", "unknown option 'adress'", "'address'"),
    ("--entrypoints.web.address=80", "entryPoints.web.address", "[host]:port", ""),
    ("--entrypoints.web.address=::1:80", "entryPoints.web.address", "brackets", ""),
    ("--entrypoints.web", "entryPoints.web.address", "address is missing", ":80"),
    ("--workers=many", "workers", "whole number, got 'many'", ""),
    ("--workers=-1", "workers", "0 or more", ""),
    ("--api.insecure=yes", "api.insecure", "true or false, got 'yes'", "true or false"),
    ("--api=maybe", "api", "expected options, got 'maybe'", "true"),
    ("--api.basePath=x", "api.basePath", "expected a path", ""),
    ("--log.level=LOUD", "log.level", "one of DEBUG", ""),
    ("--log.level=INF", "log.level", "one of DEBUG", "'INFO'"),
    ("--ping.entrypoint=wbe", "ping.entryPoint", "no entry point 'wbe'", ""),
    ("--providers.dokcer", "providers.dokcer", "unknown option", "'docker'"),
    ("--providers.docker.wach", "providers.docker.wach", "unknown option", "'watch'"),
    ("--providers.docker.refresh=soon", "providers.docker.refresh", "expected a duration", ""),
    ("--providers.consul", "providers.consul", "consul is not there yet", "docker, file"),
    ("--providers.docker.swarmMode", "providers.docker.swarmMode", "removed", "providers.swarm"),
    ("--providers.docker.tls.caOptional=true", "providers.docker.tls.caOptional", "removed", "leave it out"),
    ("--pilot.token=x", "pilot", "removed", ""),
    ("--tracing.jaeger=true", "tracing.jaeger", "removed", "tracing.otlp"),
    ("--experimental.http3=true", "experimental.http3", "removed", "http3"),
    ("--providers.precedence=dokcer", "providers.precedence", "no provider 'dokcer'", "'docker'"),
    ("--metrics.prometheus.buckets=2,1", "metrics.prometheus.buckets", "rising", ""),
    ("--metrics.prometheus.buckets=a", "metrics.prometheus.buckets[0]", "expected a number", ""),
    ("--explain.trustedips=10.0.0.0/33", "explain.trustedIPs", "got '10.0.0.0/33'", "10.0.0.0/8"),
    ("--accesslog.filters.statuscodes=99", "accessLog.filters.statusCodes", "got '99'", "404"),
    ("--log.level", "log.level", "value is missing", "--log.level="),
]


@pytest.mark.parametrize(("flag", "path", "message", "hint"), FLAGS)
def test_bad_flags(flag: str, path: str, message: str, hint: str) -> None:
    loaded = load(flag)
    assert loaded.static is None
    assert [(p.path, p.source) for p in loaded.errors] == [(path, "flag " + flag.split("=")[0])]
    assert message in loaded.errors[0].message
    assert hint in loaded.errors[0].hint


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ("forwardedHeaders: {trustedIPs: [10.0.0.0/99]}", "forwardedHeaders.trustedIPs", "IP address or CIDR"),
        ("proxyProtocol: {trustedIPs: [x]}", "proxyProtocol.trustedIPs", "IP address or CIDR"),
        ("http: {maxHeaderBytes: 1}", "http.maxHeaderBytes", "256 or more"),
        ("http: {redirections: {entryPoint: {to: nobody}}}", "http.redirections.entryPoint.to", "no entry point"),
        ("http: {redirections: {entryPoint: {}}}", "http.redirections.entryPoint.to", "target is missing"),
        ("maxConnections: -1", "maxConnections", "0 (no limit)"),
        ("transport: {lifeCycle: {graceTimeOut: -1s}}", "transport.lifeCycle.graceTimeOut", "0 or more, got -1s"),
        ("http: {underscoreHeadersStrategy: kep}", "http.underscoreHeadersStrategy", "one of"),
    ],
)
def test_bad_entry_points(write: Any, options: str, path: str, message: str) -> None:
    loaded = load(file=write(f"entryPoints:\n  web:\n    address: :1\n    {options}\n"))
    assert [(p.path, p.source.rpartition("/")[2]) for p in loaded.errors] == [
        (f"entryPoints.web.{path}", "edgerouter.yml:4")
    ]
    assert message in loaded.errors[0].message


@pytest.mark.parametrize(
    ("one", "two", "collide"),
    [
        (":1", ":1", True),
        (":1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "127.0.0.2:1", False),
        (":1", ":1/udp", False),
        (":0", ":0", False),
    ],
)
def test_addresses_collide(one: str, two: str, collide: bool) -> None:
    loaded = load(f"--entrypoints.a.address={one}", f"--entrypoints.b.address={two}")
    assert bool(loaded.errors) is collide
    assert all("of the entry point a too" in p.message and p.path == "entryPoints.b.address" for p in loaded.errors)


def test_all_problems_of_all_sources_at_once(write: Any) -> None:
    file = write("entryPoints:\n  web:\n    address: x\nlog:\n  levl: INFO\nlog: {}\n")
    loaded = load("--workers=x", "stray", "--api.insecur", env={"EDGEROUTER_PING_ENTRYPONT": "x"}, file=file)
    assert loaded.static is None
    assert sorted((p.source.rpartition("/")[2], p.path) for p in loaded.errors) == [
        ("command line", ""),
        ("edgerouter.yml:3", "entryPoints.web.address"),
        ("edgerouter.yml:5", "log.levl"),
        ("edgerouter.yml:6", "log"),
        ("flag --api.insecur", "api.insecur"),
        ("flag --workers", "workers"),
        ("variable EDGEROUTER_PING_ENTRYPONT", "ping.entryPont".lower()),
    ]


@pytest.mark.parametrize(
    ("name", "text", "source", "message"),
    [
        ("a.yml", "a: [", "a.yml:2", "no valid YAML"),
        ("a.toml", "a = ", "a.toml:1", "no valid TOML"),
        ("a.yml", "- a", "a.yml:1", "expected options"),
        ("a.toml", "[entryPoints.web]\nadress = ':1'\n", "a.toml:2", "unknown option"),
    ],
)
def test_bad_files(write: Any, name: str, text: str, source: str, message: str) -> None:
    loaded = load(file=write(text + "\n", name))
    assert [p.source.rpartition("/")[2] for p in loaded.errors] == [source]
    assert message in loaded.errors[0].message


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    for name in (tmp_path / "absent.yml", tmp_path):
        loaded = load(f"--configFile={name}")
        assert [(p.source, p.message[:15]) for p in loaded.errors] == [(str(name), "cannot be read:")]
    (tmp_path / "latin.yml").write_bytes(b"a: \xe9\n")
    assert "UTF-8" in load(f"--configFile={tmp_path / 'latin.yml'}").errors[0].message


def test_a_misspelt_variable_is_named() -> None:
    loaded = load(
        env={**QUIET, "EDGEROUTER_PROVIDRS_FILE": "x", "EDGEROUTER_PURE": "1", "EDGEROUTER_SERVICE_PORT": "1"}
    )
    assert [(p.severity, p.source) for p in loaded.problems] == [("warning", "variable EDGEROUTER_PROVIDRS_FILE")]
    assert "'providers'" in loaded.problems[0].hint


@pytest.mark.parametrize(
    ("flag", "path"),
    [
        ("--tracing.otlp=true", "tracing"),
        ("--metrics.datadog", "metrics.datadog"),
        ("--experimental.plugins.x.modulename=y", "experimental.plugins"),
        ("--hostresolver.cnameflattening", "hostResolver"),
        ("--log.otlp=true", "log.otlp"),
    ],
)
def test_what_is_not_there_yet_is_named(flag: str, path: str) -> None:
    loaded = load(flag)
    assert loaded.static is not None
    assert [(p.severity, p.path) for p in loaded.problems] == [("warning", path)]
    assert "not there yet" in loaded.problems[0].message


def test_nothing_to_route_is_named() -> None:
    assert [p.path for p in load(env={}).problems] == ["providers"]


def test_a_secret_is_kept_and_never_shown() -> None:
    static = good("--providers.docker.password=hunter2")
    assert static.providers.sections["docker"].password.reveal() == "hunter2"
    assert "hunter2" not in repr(static)
    wrong = load("--providers.docker.password=hunter2", "--providers.docker.password.x=hunter2")
    assert wrong.errors and not any("hunter2" in repr(p) for p in wrong.problems)
