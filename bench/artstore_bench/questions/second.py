"""How long does the commit of a changed folder take, and how many bytes does it add?"""

from __future__ import annotations

from artstore_bench.results import Run
from artstore_bench.session import Session


def ask(session: Session) -> Run:
    """Edit the folder into version 2 in place, as its owner would, and add it."""
    session.live.become("v2")
    commands = session.peer.add(session.repo, source=session.live.path, label="v2")
    return session.timed("v2", commands, inputs=[session.live.path])
