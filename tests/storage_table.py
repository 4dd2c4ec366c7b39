"""The table that every storage has to pass; ``make`` opens the same one again, as another router would."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

from edgerouter.certs.acme.storage import Storage


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
