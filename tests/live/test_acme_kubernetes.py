"""The storage of certificates in Kubernetes: the table of all storages, at a real API server."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from live.kubernetes_server import ADMIN, ROUTER, SAMPLES, ApiServer
from storage_table import (  # noqa: F401 - the table
    test_a_lock_ends_with_its_time,
    test_a_lock_has_one_owner,
    test_keys_of_one_section_in_order,
    test_large_values_of_any_letters,
    test_of_many_who_want_a_lock_one_gets_it,
    test_values_are_kept_and_seen_by_others,
    test_writers_side_by_side_lose_nothing,
)

from edgerouter.certs.acme.storage import Storage, StorageError
from edgerouter.certs.acme.stores.choose import open_storage

COUNT = itertools.count()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    server = ApiServer(tmp_path_factory.mktemp("cluster"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def place(cluster: ApiServer, token: str, prefix: str, namespace: str = "default") -> str:
    ca = quote(str(Path(cluster.ca)), safe="")
    return f"kubernetes://{namespace}?endpoint={cluster.url}&token={token}&ca={ca}&prefix={prefix}"


@pytest.fixture
def make(cluster: ApiServer) -> Callable[[], Storage]:
    prefix = f"t{next(COUNT)}"
    return lambda: open_storage(place(cluster, ADMIN, prefix))


def test_what_an_account_may_not_do_is_said_in_the_servers_words(cluster: ApiServer) -> None:
    storage = open_storage(place(cluster, ROUTER, "t"))
    with pytest.raises(
        StorageError, match=r"403: secrets .* is forbidden: User \"router\" cannot get.*certificate-store\.yml"
    ) as failure:
        storage.get("le/account")
    assert ROUTER not in str(failure.value)
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1"):
        open_storage("kubernetes://default?endpoint=http://127.0.0.1:1&token=x").get("le/account")


async def test_the_sample_role_is_enough_and_for_its_own_namespace_only(cluster: ApiServer) -> None:
    account = "/api/v1/namespaces/kube-system/serviceaccounts"
    async with cluster.admin() as admin:
        await admin.apply((SAMPLES / "certificate-store.yml").read_text())
        meta = {"name": "edgerouter", "namespace": "kube-system"}
        await admin.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = await admin.call("POST", f"{account}/edgerouter/token", request)
    await asyncio.to_thread(use_all_of_it, cluster, answer["status"]["token"])


def use_all_of_it(cluster: ApiServer, token: str) -> None:
    storage = open_storage(place(cluster, token, "t", "edgerouter-certificates"))
    for value in ("1", "2"):
        storage.put("le/certificates/a.test", value)
    assert storage.get("le/certificates/a.test") == "2"
    assert storage.keys("le/certificates/") == ["le/certificates/a.test"]
    assert storage.lock("le/a.test", "one", 60) and storage.lock("le/a.test", "one", 60)
    assert not storage.lock("le/a.test", "other", 60)
    storage.unlock("le/a.test", "one")
    assert storage.lock("le/a.test", "other", 60)
    storage.delete("le/certificates/a.test")
    assert storage.keys("le/certificates/") == []
    with pytest.raises(StorageError, match=r"403: secrets .* is forbidden"):
        open_storage(place(cluster, token, "t", "kube-system")).put("le/account", "{}")
