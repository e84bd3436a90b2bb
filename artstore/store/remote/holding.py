"""Collection at once: a remote is held, all who may still write are waited for, then all garbage goes in one run.

Nobody writes a ref, or replaces a set, but within half of a grace of a look at gc/state that didn't find the remote
held. So half of a grace after it is, nothing is relied on but what marking sees. Killed while it waits, a run leaves
the remote held: another such run goes on with it, any run ends it an hour after it should have ended.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import ArtstoreError, Busy
from artstore.format.remote import FormerGrace, GcState, changed_state
from artstore.planning.remote_grace import change_grace
from artstore.store.remote.collect import RemoteCollector, RemoteGcResult
from artstore.store.remote.gc_state import held, held_since, read_state, swap_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore.ports import Remote
    from artstore.store.context import Context

_TICK_S = 1.0


class Holder:
    """One such run. `who`: what others are told; `left`: is told every second how many are to be waited; `sleep`: waits
    so long.
    """

    def __init__(
        self,
        context: Context,
        remote: Remote,
        remote_id: bytes,
        who: str,
        left: Callable[[float], None],
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._collector = RemoteCollector(context, remote, remote_id)
        self._remote = remote
        self._who = who
        self._left = left
        self._sleep = sleep

    def collect(self) -> RemoteGcResult:
        """Hold the remote, wait, collect all, let it go: in any case, but for being killed. Busy if another such run
        took it over.
        """
        state, etag, since = self._take()
        try:
            self._wait(etag, since + state.grace_in_force / 2)
            return self._collector.collect(self._collector.plan(hold=etag))
        except BaseException:
            with suppress(ArtstoreError):  # what ended the run is to be told; and another one can lift it
                swap_state(
                    self._remote,
                    changed_state(state, generation=state.generation + 1, exclusive=False, holder=""),
                    etag,
                )
            raise

    def _take(self) -> tuple[GcState, str, float]:
        """What gc/state says, its ETag, and a time by the remote's clock when the remote was held already."""
        state, how = read_state(self._remote)
        if state.exclusive:  # by a run that was killed; one that lives loses it when it wants to decide
            return state, how.etag, held_since(self._remote)
        taken = changed_state(state, exclusive=True, holder=self._who)
        done = swap_state(self._remote, taken, how.etag)
        if done is None:
            raise Busy(f"{self._remote.url} is being collected by somebody else", hint="try again later")
        return taken, done.etag, done.time + 1

    def _wait(self, etag: str, until: float) -> None:
        """Until it is `until` by the remote's clock. Busy as soon as gc/state is seen to be another one."""
        while True:
            state, how = read_state(self._remote)
            if how.etag != etag:
                raise (
                    held(self._remote, state)
                    if state.exclusive
                    else Busy(f"{self._remote.url} was let go by another run while this one waited", hint="try again")
                )
            wait = until - how.time
            if wait <= 0:
                return
            slept = 0.0
            while slept < min(wait, limits.REMOTE_HOLD_LOOK_S):
                self._left(wait - slept)
                tick = min(_TICK_S, wait - slept)
                self._sleep(tick)
                slept += tick


def set_grace(remote: Remote, grace: int) -> tuple[int, FormerGrace | None]:
    """Change how long packs wait there; what was said before, and what is waited for now. Busy while the remote is
    held, or if somebody else swaps gc/state all the time.
    """
    for _ in range(limits.REMOTE_SET_SWAPS_MAX):
        state, how = read_state(remote)
        if state.exclusive:
            raise held(remote, state)
        to, former = change_grace(state.grace, state.former, to=grace)
        same = to == state.grace and (former is None) == (state.former is None)
        if same or swap_state(remote, changed_state(state, grace=to, former=former), how.etag) is not None:
            return state.grace, state.former if same else former
    raise Busy(f"{remote.url} is being collected by somebody else", hint="try again later")
