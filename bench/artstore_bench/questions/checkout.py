"""How long does it take to get the newest version back?"""

from __future__ import annotations

import shutil

from artstore_bench.results import Run
from artstore_bench.session import Session


def ask(session: Session) -> Run:
    """Restore what the live tree holds into a new folder, and compare every byte (after the clock has stopped)."""
    assert session.live.version is not None
    dest = session.live.path.parent / "restored"
    commands = session.peer.restore(session.repo, label=session.live.version, dest=dest)
    run = session.timed("checkout", commands, inputs=session.peer.stored_paths(session.repo))
    session.verify(dest)
    shutil.rmtree(dest)
    return run
