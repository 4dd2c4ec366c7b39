"""Ways to an API server: a pod's account, options, a kubeconfig, and none of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trustme
import yaml

from edgerouter.clients import kubernetes_login
from edgerouter.clients.kubernetes_login import Credentials, log_in
from edgerouter.errors import ConfigurationError


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cluster is known, whatever this machine's user has."""
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))


def account(folder: Path) -> Path:
    """What a pod finds in its file system."""
    trustme.CA().cert_pem.write_to_path(str(folder / "ca.crt"))
    (folder / "token").write_text("first\n")
    return folder


def kubeconfig(folder: Path, **user: str) -> None:
    cluster = {"server": "https://cluster.test:6443", "insecure-skip-tls-verify": True}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": user}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(document))


@pytest.mark.parametrize(
    ("host", "url"), [("10.96.0.1", "https://10.96.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")]
)
async def test_a_pods_account_with_a_token_that_is_renewed(
    host: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    monkeypatch.setattr(kubernetes_login, "TOKEN_SECONDS", 0.0)
    login = await log_in(Credentials(), account(tmp_path))
    assert (login.host, await login.authorization()) == (url, "Bearer first")
    (tmp_path / "token").write_text("second\n")
    assert await login.authorization() == "Bearer second"


async def test_options_override_a_pods_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    login = await log_in(Credentials(endpoint="https://other.test/"), account(tmp_path))
    assert (login.host, await login.authorization()) == ("https://other.test", "Bearer first")
    login = await log_in(Credentials(token="mine"), account(tmp_path))
    assert (login.host, await login.authorization()) == ("https://10.96.0.1:443", "Bearer mine")


async def test_a_kubeconfig_and_options_over_it(tmp_path: Path) -> None:
    kubeconfig(tmp_path, token="from-file")
    login = await log_in(Credentials())
    assert (login.host, await login.authorization()) == ("https://cluster.test:6443", "Bearer from-file")
    assert login.tls is not None and not login.tls.check_hostname
    assert await (await log_in(Credentials(token="mine"))).authorization() == "Bearer mine"


async def test_a_kubeconfig_whose_plugin_gives_the_token(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    credential = '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "T"}}'
    plugin.write_text(f"#!/bin/sh\necho '{credential}'\n")
    plugin.chmod(0o755)
    kubeconfig(tmp_path)
    document = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    run = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "interactiveMode": "Never"}
    document["users"][0]["user"] = {"exec": run}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    assert await (await log_in(Credentials())).authorization() == "Bearer T"


async def test_no_way_to_a_cluster_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"this is no pod, there is no .*kubeconfig.*set KUBECONFIG"):
        await log_in(Credentials())
    with pytest.raises(ConfigurationError, match="certAuthFilePath: there is no file '/nowhere'"):
        await log_in(Credentials(endpoint="https://a.test", ca_file="/nowhere"))
    (tmp_path / "ca.crt").write_text("nothing of the kind")
    with pytest.raises(ConfigurationError, match="holds no certificate in PEM"):
        await log_in(Credentials(endpoint="https://a.test", ca_file=str(tmp_path / "ca.crt")))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    with pytest.raises(ConfigurationError, match="the pod's service account: there is no file"):
        await log_in(Credentials(), tmp_path / "absent")
    (tmp_path / "kubeconfig").write_text("{}")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(ConfigurationError, match="no way to the Kubernetes API server"):
        await log_in(Credentials())


def test_only_a_kubeconfig_costs_the_import_of_every_model() -> None:
    program = (
        "import asyncio, sys; from edgerouter.clients.kubernetes_login import *;"
        "asyncio.run(log_in(Credentials(endpoint='https://a.test', token='x')));"
        "sys.exit('kubernetes_asyncio' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0
