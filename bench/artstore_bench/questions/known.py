"""How fast is data recognised that is already stored: cut, hash, look up?"""

from __future__ import annotations

import shutil

from artstore_bench.peers import KnowsData
from artstore_bench.results import Run
from artstore_bench.session import Session


def ask(session: Session) -> Run:
    """Store version 1, then show a copy of it at a new path, whose files no stat cache has seen."""
    assert isinstance(session.peer, KnowsData)
    session.untimed(session.peer.add(session.repo, source=session.live.path, label="v1"))
    copy = session.live.path.parent / "copy"
    shutil.copytree(session.live.path, copy)
    run = session.timed("known", session.peer.known(session.repo, source=copy), inputs=[copy])
    shutil.rmtree(copy)
    return run
