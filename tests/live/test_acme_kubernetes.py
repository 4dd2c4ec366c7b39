"""The storage of certificates in Kubernetes: the table of all storages, at a real API server."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from live.kubernetes_server import ADMIN, ROUTER, ApiServer
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


def place(cluster: ApiServer, token: str, prefix: str) -> str:
    ca = quote(str(Path(cluster.ca)), safe="")
    return f"kubernetes://default?endpoint={cluster.url}&token={token}&ca={ca}&prefix={prefix}"


@pytest.fixture
def make(cluster: ApiServer) -> Callable[[], Storage]:
    prefix = f"t{next(COUNT)}"
    return lambda: open_storage(place(cluster, ADMIN, prefix))


def test_what_an_account_may_not_do_is_said_in_the_servers_words(cluster: ApiServer) -> None:
    storage = open_storage(place(cluster, ROUTER, "t"))
    with pytest.raises(StorageError, match=r"403: secrets .* is forbidden: User \"router\" cannot get") as failure:
        storage.get("le/account")
    assert ROUTER not in str(failure.value)
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1"):
        open_storage("kubernetes://default?endpoint=http://127.0.0.1:1&token=x").get("le/account")
