"""One table over all storages, each a real one: whatever holds for the file holds for Redis, etcd and Kubernetes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from storage_servers import etcd, redis
from storage_table import (  # noqa: F401 - the table
    test_a_lock_ends_with_its_time,
    test_a_lock_has_one_owner,
    test_keys_of_one_section_in_order,
    test_large_values_of_any_letters,
    test_of_many_who_want_a_lock_one_gets_it,
    test_values_are_kept_and_seen_by_others,
    test_writers_side_by_side_lose_nothing,
)

from edgerouter.certs.acme.storage import Storage, StorageError, instance, is_gone
from edgerouter.certs.acme.stores.choose import open_storage
from edgerouter.errors import ConfigurationError

KINDS = ("file", "redis", "etcd")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("servers")
    with redis(folder, password="s3cret") as redis_place, etcd(folder) as etcd_place:
        yield {"file": str(folder / "acme.json"), "redis": redis_place, "etcd": etcd_place}


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, places: dict[str, str]) -> Callable[[], Storage]:
    """Opens the storage as another router would."""
    place = places[request.param]
    more = "" if request.param == "file" else f"?prefix=t{time.monotonic_ns()}"
    if request.param == "file":
        Path(place).unlink(missing_ok=True)
    return lambda: open_storage(place + more)


@pytest.mark.parametrize("scheme", ["redis", "etcd"])
def test_a_server_that_is_away_is_named_and_its_password_is_not(scheme: str) -> None:
    storage = open_storage(f"{scheme}://me:s3cret@127.0.0.1:1")
    asks: list[Callable[[], Any]] = [
        lambda: storage.get("le/account"),
        lambda: storage.put("le/account", '{"key": "s3cret"}'),
        lambda: storage.delete("le/account"),
        lambda: storage.keys("le/certificates/"),
        lambda: storage.lock("le/a.test", "me", 5),
        lambda: storage.unlock("le/a.test", "me"),
    ]
    for ask in asks:
        with pytest.raises(StorageError) as failure:
            ask()
        assert "127.0.0.1:1" in str(failure.value) and "s3cret" not in str(failure.value)


def test_a_wrong_password_is_said_in_the_servers_words(places: dict[str, str]) -> None:
    with pytest.raises(StorageError, match=r"(?i)password|auth") as failure:
        open_storage(places["redis"].replace("s3cret", "wr0ng")).get("le/account")
    assert "wr0ng" not in str(failure.value)


def test_a_password_may_stand_elsewhere(places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "s3cret")
    storage = open_storage(places["redis"].replace("s3cret", "${env:STORE_PASSWORD}"))
    storage.put("elsewhere/account", "{}")
    assert storage.get("elsewhere/account") == "{}"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("mysql://host", "there is no storage mysql://; write a file's name or one of redis://"),
        ("redis://host:port", "this is no redis:// URL; in a password"),
        ("redis://", "the host is missing"),
        ("redis://host?prefx=a", "there is no prefx"),
        ("etcd://host:2379/root", "what is 'root'?"),
        ("etcd://", "a place without a host"),
        ("redis://:${env:NO_SUCH_NAME}@host", "the router's environment has no NO_SUCH_NAME"),
    ],
)
def test_a_place_that_cannot_be_one(place: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        open_storage(place)
    assert words in failure.value.message


def test_who_is_gone() -> None:
    assert not is_gone(instance()) and not is_gone("somebody else") and not is_gone("")
    parts = instance().split(":")
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert is_gone(":".join([parts[0], str(ended.pid), *parts[2:]]))
    assert is_gone(":".join([*parts[:3], "1", parts[4]])), "another process has its number by now"
    assert not is_gone(":".join([*parts[:2], "77", *parts[3:]])), "what another container holds cannot be seen"
