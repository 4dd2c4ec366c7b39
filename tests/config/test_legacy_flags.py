"""1.x flags that people copy: what they become, and one line each that says today's name."""

from __future__ import annotations

from typing import Any

import pytest

from edgerouter.config.dynamic import Model
from edgerouter.config.sources import Loaded, load_static
from edgerouter.config.static import Api, EntryPoint


class Docker(Model, frozen=True):
    endpoint: str = "unix"
    watch: bool = True
    default_rule: str = ""
    refresh_seconds: int = 15


PROVIDERS: dict[str, Any] = {"docker": Docker, "swarm": Docker, "kubernetesIngress": Docker, "file": None}


def load(*flags: str) -> Loaded:
    return load_static(flags, {}, PROVIDERS, {}, [])


TODAY = [
    # flags -> today's
    ("--docker", "--providers.docker"),
    ("--docker.watch", "--providers.docker.watch"),
    ("--docker --docker.endpoint=x", "--providers.docker.endpoint=x"),
    ("--docker --docker.swarmmode", "--providers.swarm"),
    ("--docker.swarmMode=true --docker.endpoint=x", "--providers.swarm.endpoint=x"),
    ("--docker --docker.swarmmode=false", "--providers.docker"),
    ("--docker.swarmmode --docker.swarmmoderefreshseconds=5", "--providers.swarm.refreshSeconds=5"),
    ("--docker.domain=x.org", "--providers.docker.defaultRule=Host(`{{ normalize .Name }}.x.org`)"),
    ("--kubernetes --logLevel=WARN", "--providers.kubernetesIngress --log.level=WARN"),
    ("--docker --debug", "--providers.docker --log.level=DEBUG"),
    ("--docker -logLevel debug", "--providers.docker --log.level=DEBUG"),
    ("--docker --web", "--providers.docker --api.insecure=true"),
    ("--docker --web.address=:9", "--providers.docker --entrypoints.traefik.address=:9"),
    ("--docker --accesslogsfile=/a", "--providers.docker --accesslog.filepath=/a"),
    ("--docker --traefiklog.filepath=/a", "--providers.docker --log.filepath=/a"),
    ("--docker --insecureskipverify", "--providers.docker --serverstransport.insecureskipverify"),
    ("--docker --api", "--providers.docker --api.insecure=true"),
    ("--docker --api --api.insecure=false", "--providers.docker --api"),
    ("--providers.docker --api", "--providers.docker --api"),
    ("--providers.docker --api --loglevel=INFO", "--providers.docker --api"),
    (
        "--docker --defaultentrypoints=http,b",
        "--providers.docker --entrypoints.b.asdefault --entrypoints.http.asdefault",
    ),
]
POINTS = ("--entrypoints.http.address=:1", "--entrypoints.b.address=:2")


@pytest.mark.parametrize(("old", "today"), TODAY)
def test_meaning(old: str, today: str) -> None:
    loaded = load(*POINTS, *old.split())
    expected = load(*POINTS, *(f"--{flag}" for flag in today.removeprefix("--").split(" --")))
    assert loaded.errors == expected.errors == ()
    assert loaded.static == expected.static
    assert all(p.severity == "warning" and p.hint for p in loaded.problems)
    old_names = [word.lstrip("-").partition("=")[0].lower() for word in old.split() if word.startswith("-")]
    named = [p.path.lower() for p in loaded.problems]
    for name in old_names:
        if not name.startswith(("providers", "api")):
            assert named.count(name) == 1


def test_api_beside_a_1x_flag_is_open_and_says_so() -> None:
    loaded = load("--api", "--kubernetes", "--logLevel=INFO")
    assert loaded.static is not None
    assert loaded.static.api == Api(insecure=True)
    assert [p.path for p in loaded.problems] == ["api", "kubernetes", "logLevel"]
    assert "open to all on :8080" in loaded.problems[0].message


def test_entry_points_in_1x_form() -> None:
    loaded = load(
        "--docker",
        "--entryPoints=Name:http Address::80 Redirect.EntryPoint:https",
        "--entryPoints",
        "Name:https Address:[::1]:443 TLS ForwardedHeaders.TrustedIPs:10.0.0.0/8 Compress:true",
    )
    assert loaded.errors == ()
    assert loaded.static is not None
    points = loaded.static.entry_points
    redirect = points["http"].http.redirections.entry_point
    assert redirect is not None
    assert (redirect.to, redirect.permanent) == ("https", False)
    assert points["https"].http.tls is not None
    assert points["https"].forwarded_headers.trusted_ips == ("10.0.0.0/8",)
    assert points["https"].address == "[::1]:443"
    hints = " ".join(p.hint for p in loaded.problems)
    for name in ("--entryPoints.http.address=:80", "--entryPoints.https.http.tls=true", "middleware compress"):
        assert name in hints


def test_short_1x_entry_point() -> None:
    loaded = load("--docker", "--entrypoints=Name:web Address::81")
    assert loaded.static is not None
    assert loaded.static.entry_points == {"web": EntryPoint(address=":81")}


@pytest.mark.parametrize(
    ("flag", "hint"),
    [
        ("--marathon", "leave it out"),
        ("--acme.email=x", "certificatesResolvers"),
        ("--docker.constraints=tag==a", "providers.docker.constraints"),
        ("--graceTimeOut=5", "graceTimeOut"),
        ("--retry", "middleware retry"),
        ("--api.entryPoint=foo", "api@internal"),
        ("--entryPoints=Address::80", "entryPoints.NAME.address"),
        ("--entryPoints=Name:a Address::80 Auth.Basic.Users:x", "middleware"),
        ("--docker.swarmmode=maybe", "providers.swarm"),
    ],
)
def test_what_has_no_meaning_today(flag: str, hint: str) -> None:
    loaded = load("--docker", flag)
    assert loaded.static is None
    assert len(loaded.errors) == 1
    assert hint in loaded.errors[0].hint
    assert loaded.errors[0].source == "flag " + flag.split("=")[0]
