"""How long does the first commit of a folder take, and how much is stored?"""

from __future__ import annotations

from artstore_bench.results import Run
from artstore_bench.session import Session


def ask(session: Session) -> Run:
    """Add version 1 to an empty repository."""
    commands = session.peer.add(session.repo, source=session.live.path, label="v1")
    return session.timed("first", commands, inputs=[session.live.path])
