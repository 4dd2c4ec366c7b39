"""One table over all storages, each a real one: whatever holds for the file holds for Redis, etcd and Kubernetes."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from storage_servers import etcd, redis

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


def test_values_are_kept_and_seen_by_others(make: Callable[[], Storage]) -> None:
    one, other = make(), make()
    assert one.get("le/account") is None and one.keys("le/certificates/") == []
    one.put("le/account", '{"key": "k"}')
    assert other.get("le/account") == '{"key": "k"}'
    other.put("le/account", '{"key": "other"}')
    assert one.get("le/account") == '{"key": "other"}'
    one.delete("le/account")
    one.delete("le/account")
    assert other.get("le/account") is None


def test_keys_of_one_section_in_order(make: Callable[[], Storage]) -> None:
    one, other = make(), make()
    names = ["*.b.test", "a.test", "a.test,1f", "b[0].test"]
    for name in reversed(names):
        one.put(f"le/certificates/{name}", "{}")
    one.put("le/orders/a.test", "{}")
    one.put("le2/certificates/c.test", "{}")
    one.put("le/account", "{}")
    assert one.lock("le/certificates/x", "me", 60)
    assert other.keys("le/certificates/") == [f"le/certificates/{name}" for name in names]
    assert other.keys("le/certificates/a") == ["le/certificates/a.test", "le/certificates/a.test,1f"]
    assert other.get("le/certificates/*.b.test") == "{}"


def test_large_values_of_any_letters(make: Callable[[], Storage]) -> None:
    one = make()
    value = '{"certificate": "' + "ü\\n" * 50_000 + '"}'
    one.put("le/certificates/a.test", value)
    found = one.get("le/certificates/a.test")
    assert found is not None
    import json

    assert json.loads(found) == json.loads(value)


def test_a_lock_has_one_owner(make: Callable[[], Storage]) -> None:
    one, other = make(), make()
    assert one.lock("le/a.test", "one", 60)
    assert not other.lock("le/a.test", "other", 60)
    assert other.lock("le/b.test", "other", 60), "another name is another lock"
    assert one.lock("le/a.test", "one", 60), "its owner renews it"
    other.unlock("le/a.test", "other")
    assert not other.lock("le/a.test", "other", 60), "who does not have it cannot give it back"
    one.unlock("le/a.test", "one")
    assert other.lock("le/a.test", "other", 60)


def test_a_lock_ends_with_its_time(make: Callable[[], Storage]) -> None:
    one, other = make(), make()
    assert one.lock("le/a.test", "one", 1.0)
    end = time.monotonic() + 30
    while not other.lock("le/a.test", "other", 60):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert not one.lock("le/a.test", "one", 60)
    one.unlock("le/a.test", "one")
    assert not one.lock("le/a.test", "one", 60)


def test_of_many_who_want_a_lock_one_gets_it(make: Callable[[], Storage]) -> None:
    got: list[str] = []
    stores = [make() for _ in range(4)]

    def take(at: int) -> None:
        if stores[at % 4].lock("le/a.test", f"owner {at}", 60):
            got.append(f"owner {at}")

    threads = [threading.Thread(target=take, args=(at,)) for at in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 1


def test_writers_side_by_side_lose_nothing(make: Callable[[], Storage]) -> None:
    stores = [make(), make()]

    def write(at: int) -> None:
        for number in range(25):
            stores[at].put(f"le/certificates/{at}-{number}", "{}")

    threads = [threading.Thread(target=write, args=(at,)) for at in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(stores[0].keys("le/certificates/")) == 50


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
