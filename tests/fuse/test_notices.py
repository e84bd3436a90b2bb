"""What the kernel is told unasked."""

from __future__ import annotations

import errno
from functools import partial
from threading import Event

from artstore_fuse.notices import Notices

WAIT_S = 10


def test_in_order_and_past_errors() -> None:
    """A kernel that refuses one notice still gets the next."""
    told: list[int] = []
    done = Event()

    def refuse() -> None:
        raise OSError(errno.ENOENT, "the kernel doesn't know it")

    notices = Notices("test", count_max=10)
    for number in range(3):
        assert notices.put(partial(told.append, number))
        assert notices.put(refuse)
    assert notices.put(done.set)
    assert done.wait(WAIT_S)
    assert told == [0, 1, 2]
    assert notices.close(WAIT_S)
    assert not notices.put(done.set)


def test_bounded_while_the_kernel_is_slow() -> None:
    """What piles up is dropped, by count and by bytes; there is room again once it is told."""
    begun, go, done = Event(), Event(), Event()

    def slow() -> None:
        begun.set()
        go.wait(WAIT_S)

    notices = Notices("test", count_max=2, bytes_max=100)
    assert notices.put(slow, 60)
    assert begun.wait(WAIT_S)
    assert not notices.put(done.set, 41)
    assert notices.put(lambda: None, 40)
    assert notices.put(done.set)
    assert not notices.put(done.set)  # two wait
    assert not notices.close(0.05)  # one is being told, and nobody waits for ever
    go.set()
    assert notices.close(WAIT_S)
    assert not done.is_set()  # after the end nothing is told


def test_room_again() -> None:
    """The bytes of what was told don't count any more."""
    told = Event()
    notices = Notices("test", count_max=5, bytes_max=100)
    for _ in range(20):
        told.clear()
        while not notices.put(told.set, 100):
            pass
        assert told.wait(WAIT_S)
    assert notices.close(WAIT_S)
