"""Where a Kubernetes API server is, and what a request to it must carry: in a pod, from options, or from a kubeconfig.

A pod's account and what options say need a dozen lines. kubeconfig, with its exec and OIDC plugins, is
kubernetes_asyncio's work, and only who has one imports it: it brings every model of the API, 0.7 s and 60 MB.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from edgerouter.errors import ConfigurationError

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_SECONDS: Final = 60.0  # a pod's token is renewed in its file long before it ends


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What options say of the API server; all empty: the pod's own, else ``$KUBECONFIG``, else ``~/.kube/config``."""

    endpoint: str = ""
    token: str = ""
    ca_file: str = ""


class Login:
    """``host`` is the server's URL, ``tls`` what to trust and to show, ``proxy`` the way there ("": none)."""

    def __init__(self, host: str, tls: ssl.SSLContext | None, token: str = "", proxy: str = "") -> None:
        self.host = host.rstrip("/")
        self.tls = tls
        self.proxy = proxy
        self._token = token

    async def authorization(self) -> str:
        """The value of the header, or ""; raises OSError when it cannot be read."""
        return f"Bearer {self._token}" if self._token else ""


class PodLogin(Login):
    """A pod's account: its token is read from its file again and again, since it is renewed every hour."""

    def __init__(self, host: str, tls: ssl.SSLContext | None, folder: Path) -> None:
        super().__init__(host, tls)
        self._file = folder / "token"
        self._read = 0.0

    async def authorization(self) -> str:
        now = time.monotonic()
        if not self._token or now - self._read > TOKEN_SECONDS:
            self._token, self._read = self._file.read_text().strip(), now
        return await super().authorization()


class FileLogin(Login):
    """What a kubeconfig says; its plugins renew what ends."""

    def __init__(self, configuration: Any, tls: ssl.SSLContext) -> None:
        super().__init__(str(configuration.host), tls, "", str(configuration.proxy or ""))
        self._configuration = configuration

    async def authorization(self) -> str:
        settings = (await self._configuration.auth_settings()).values()
        return next((str(setting["value"]) for setting in settings), "")


async def log_in(given: Credentials, folder: Path = ACCOUNT) -> Login:
    """Find the cluster and its credentials; nothing is asked yet.

    Raises ConfigurationError when nothing says where the API server is, or a file cannot be read.
    """
    try:
        host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
        if host:
            return _in_pod(given, f"[{host}]" if ":" in host else host, folder)
        if given.endpoint:
            return Login(given.endpoint, _tls(given.ca_file, "certAuthFilePath"), given.token)
        return await _by_file(given)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"no way to the Kubernetes API server: {error}") from error


def _in_pod(given: Credentials, host: str, folder: Path) -> Login:
    where = given.endpoint or f"https://{host}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"
    authority = given.ca_file or str(folder / "ca.crt")
    tls = _tls(authority, "certAuthFilePath" if given.ca_file else "the pod's service account")
    return Login(where, tls, given.token) if given.token else PodLogin(where, tls, folder)


async def _by_file(given: Credentials) -> Login:
    file = _kubeconfig()
    # In a thread: a second of importing must not stand in the way of everything else on this loop.
    client = await asyncio.to_thread(import_module, "kubernetes_asyncio.client")
    config = import_module("kubernetes_asyncio.config")
    configuration = client.Configuration()
    try:
        await config.load_kube_config(file, client_configuration=configuration, persist_config=False)
    except config.ConfigException as error:
        raise ValueError(str(error)) from error
    tls = _tls(given.ca_file or str(configuration.ssl_ca_cert or ""), "the certificate authority")
    if configuration.cert_file:
        tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return Login(str(configuration.host), tls, given.token) if given.token else FileLogin(configuration, tls)


def _kubeconfig() -> str:
    file = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if not any(Path(part).is_file() for part in file.split(os.pathsep)):
        raise ValueError(
            f"this is no pod, there is no {file}, and providers.kubernetesIngress.endpoint is not set; "
            "run it in the cluster, set KUBECONFIG, or set endpoint, token and certAuthFilePath"
        )
    return file


def _tls(authority: str, option: str) -> ssl.SSLContext:
    if authority and not Path(authority).is_file():
        raise ValueError(f"{option}: there is no file {authority!r}")
    try:
        return ssl.create_default_context(cafile=authority or None)
    except ssl.SSLError as error:
        raise ValueError(f"{option}: {authority!r} holds no certificate in PEM") from error
