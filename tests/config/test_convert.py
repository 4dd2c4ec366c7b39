"""edgerouter convert: what goes in and what comes out, as tables; and that today's program reads what comes out."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgerouter.cli import main
from edgerouter.config.decode import decode_dynamic
from edgerouter.registry import load

V1_TOML = """
[backends.shop]
  [backends.shop.circuitBreaker]
    expression = "NetworkErrorRatio() > 0.5"
  [backends.shop.servers.one]
    url = "http://10.0.0.1:80"
    weight = 10
  [backends.shop.servers.two]
    url = "http://10.0.0.2:80"
[frontends.main]
  entryPoints = ["web"]
  backend = "shop"
  passHostHeader = true
  priority = 10
  [frontends.main.routes.host]
    rule = "Host:shop.example,www.shop.example"
  [frontends.main.routes.path]
    rule = "PathPrefixStrip:/api"
"""
V1 = {
    "http": {
        "routers": {
            "main": {
                "rule": "(Host(`shop.example`) || Host(`www.shop.example`)) && PathPrefix(`/api`)",
                "entrypoints": ["web"],
                "priority": "10",
                "service": "shop",
                "middlewares": ["main-breaker", "main-path-stripprefix"],
            }
        },
        "services": {
            "shop": {
                "loadbalancer": {
                    "passhostheader": "true",
                    "servers": [{"url": "http://10.0.0.1:80", "weight": 10}, {"url": "http://10.0.0.2:80"}],
                }
            }
        },
        "middlewares": {
            "main-breaker": {"circuitbreaker": {"expression": "NetworkErrorRatio() > 0.5"}},
            "main-path-stripprefix": {"stripprefix": {"prefixes": ["/api"]}},
        },
    }
}
V2 = """
http:
  routers:
    a: {rule: "Host(`a`, `b`)", service: s, middlewares: [w]}
    b: {rule: "Host(`c`)", service: s}
  services: {s: {loadBalancer: {servers: [{url: "http://10.0.0.1"}]}}}
  middlewares:
    w: {ipWhiteList: {sourceRange: [10.0.0.0/8]}}
    h: {headers: {featurePolicy: x, sslRedirect: true}}
"""
V2_TODAY = {
    "http": {
        "routers": {
            "a": {"rule": "Host(`a`, `b`)", "ruleSyntax": "v2", "service": "s", "middlewares": ["w"]},
            "b": {"rule": "Host(`c`)", "service": "s"},
        },
        "services": {"s": {"loadBalancer": {"servers": [{"url": "http://10.0.0.1"}]}}},
        "middlewares": {
            "w": {"ipAllowList": {"sourceRange": ["10.0.0.0/8"]}},
            "h": {"headers": {"permissionsPolicy": "x"}},
        },
    }
}


def converted(text: str, name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any, list[str]]:
    file = folder / name
    file.write_text(text)
    code = main(["convert", str(file)])
    captured = capsys.readouterr()
    return code, list(yaml.safe_load_all(captured.out)), captured.err.splitlines()


def decoded(data: Any) -> list[str]:
    rooms = ("services", "middlewares")
    kinds = {room: {name: plugin.options for name, plugin in load(room).items()} for room in rooms}
    return [problem.message for problem in decode_dynamic(data, kinds, "file")[1]]


def test_a_file_of_1_x(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, documents, notes = converted(V1_TOML, "rules.toml", tmp_path, capsys)
    assert documents == [V1] and code == 0
    assert decoded(documents[0]) == []
    assert any("now http.routers.main.rule=" in note for note in notes)


def test_a_file_of_2_x(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, documents, notes = converted(V2, "dynamic.yml", tmp_path, capsys)
    assert documents == [V2_TODAY] and decoded(documents[0]) == []
    assert code == 1, "sslRedirect has no counterpart, and that is told"
    assert any("use redirectScheme" in note for note in notes)


def test_todays_file_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    today = yaml.safe_dump({"http": V2_TODAY["http"] | {"middlewares": {"w": {"stripPrefix": {"prefixes": []}}}}})
    code, documents, notes = converted(today, "dynamic.yml", tmp_path, capsys)
    assert (code, documents, notes) == (0, [yaml.safe_load(today)], [])


@pytest.mark.parametrize("listed", [True, False])
def test_a_compose_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], listed: bool) -> None:
    old = {"traefik.frontend.rule": "Host:a", "traefik.port": "80", "other": "x"}
    shown = [f"{key}={value}" for key, value in old.items()] if listed else old
    file = {"version": "3", "services": {"web": {"image": "i", "deploy": {"labels": shown}}, "db": {"image": "j"}}}
    code, documents, notes = converted(yaml.safe_dump(file), "stack.yml", tmp_path, capsys)
    found = documents[0]["services"]["web"]["deploy"]["labels"]
    pairs = dict(line.split("=", 1) for line in found) if listed else found
    assert pairs["traefik.http.routers.web.rule"] == "Host(`a`)" and pairs["traefik.port"] == "80"
    assert pairs["other"] == "x" and "traefik.frontend.rule" not in pairs
    assert documents[0]["services"]["db"] == {"image": "j"} and code == 0 and len(notes) == 1


def test_ingresses_of_older_versions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backend = {"serviceName": "bear", "servicePort": "http"}
    spec = {"rules": [{"host": "bear.minikube", "http": {"paths": [{"path": "/", "backend": backend}]}}]}
    old = {"apiVersion": "extensions/v1beta1", "kind": "Ingress", "metadata": {"name": "animals"}, "spec": spec}
    text = yaml.safe_dump_all([old, {"kind": "Service", "spec": {}}])
    code, documents, _ = converted(text, "animals.yml", tmp_path, capsys)
    assert documents[0]["apiVersion"] == "networking.k8s.io/v1" and code == 0
    assert documents[0]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] == "bear"
    assert documents[1] == {"kind": "Service", "spec": {}}


@pytest.mark.parametrize(
    ("text", "out", "code"),
    [
        ("traefik.frontend.rule=Host:a\n", "traefik.http.routers.shop.rule=Host(`a`)", 0),
        ("--label traefik.weight=3 \\\n", "traefik.http.services.shop.loadbalancer.server.weight=3", 0),
        (
            '- "traefik.http.middlewares.w.ipwhitelist.sourcerange=10.0.0.0/8"',
            "w.ipAllowList.sourcerange=10.0.0.0/8",
            0,
        ),
        ("traefik.http.routers.a.rule=Host(`a`,`b`)", "traefik.http.routers.a.ruleSyntax=v2", 0),
        ("traefik.frontend.passTLSCert=true", "", 1),
    ],
)
def test_lines_of_labels_on_standard_input(
    text: str, out: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert main(["convert", "--name=shop"]) == code
    assert out in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--nam=x"], ["/nowhere/at/all.yml"], ["BAD"]])
def test_what_cannot_be_converted(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_text("a: [")
    assert main(["convert", *(str(bad) if word == "BAD" else word for word in words)]) == 2
    assert "edgerouter convert" in capsys.readouterr().err
