"""Workers that are waited for, whatever happens."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from artstore.store.crew import Crew


def test_an_interrupted_wait_still_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C at the end of a checkout would clean up while a worker still makes temporary files."""
    started, go, done = threading.Event(), threading.Event(), threading.Event()
    real, calls = ThreadPoolExecutor.shutdown, [0]

    def interrupted(pool: ThreadPoolExecutor, wait: bool = True, *, cancel_futures: bool = False) -> None:
        calls[0] += 1
        go.set()
        if calls[0] == 1:
            raise KeyboardInterrupt
        real(pool, wait=wait, cancel_futures=cancel_futures)

    def work(_: int) -> None:
        started.set()
        go.wait(10)
        done.set()

    def interrupted_run() -> None:
        with Crew(work, 1, waiting=1) as crew:
            crew.put(1)
            assert started.wait(10)
            raise KeyboardInterrupt

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", interrupted)
    with pytest.raises(KeyboardInterrupt):
        interrupted_run()
    assert calls[0] == 2
    assert done.is_set()
