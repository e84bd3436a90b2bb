"""How long does it take to find out that nothing has changed?"""

from __future__ import annotations

from artstore_bench.results import Run
from artstore_bench.session import Session


def ask(session: Session) -> Run:
    """Add the same folder once more, under another name; stat caches may help."""
    commands = session.peer.add(session.repo, source=session.live.path, label="again")
    return session.timed("again", commands, inputs=[session.live.path])
