"""Threads that prepare something let the loop run, even within functions that never give the interpreter up."""

from __future__ import annotations

import gc
import sys
import threading
from itertools import repeat

import pytest

from edgerouter.worker.giving_way import giving_way

MANY = 400_000


def in_one_piece() -> None:
    """One call of C that runs no step of the interpreter; it makes objects, as the initialisation of a library does."""
    list(map(list, repeat((), MANY)))


def turns_of_others() -> int:
    """How often another thread had a turn while the work was done."""
    turns = 0
    began, over = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        with giving_way():
            in_one_piece()
        over.set()

    thread = threading.Thread(target=work)
    thread.start()
    began.wait()
    while not over.is_set():
        turns += 1
        over.wait(1e-5)
    thread.join()
    return turns


@pytest.mark.parametrize("on", [True, False])
def test_all_is_as_before_afterwards(on: bool) -> None:
    before = (sys.getswitchinterval(), gc.get_threshold(), list(gc.callbacks), gc.isenabled())
    try:
        if not on:
            gc.disable()
        with pytest.raises(ImportError), giving_way():
            assert sys.getswitchinterval() < before[0] and gc.isenabled()
            raise ImportError
        assert gc.isenabled() is on
    finally:
        gc.enable()
        gc.unfreeze()
    assert (sys.getswitchinterval(), gc.get_threshold(), list(gc.callbacks), gc.isenabled()) == before


def test_others_have_their_turns_within_one_call() -> None:
    try:
        turns = turns_of_others()  # there are 4,000 places; from 3.12 on none within a function of C
        assert turns > 200 or sys.version_info >= (3, 12)
    finally:
        gc.unfreeze()
