"""All of the mount's questions to all tools, in turn; a tool that fails loses that answer and stops no other one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from artstore_bench.command import Toolbox
from artstore_bench.corpus import Corpus
from artstore_bench.method import ToolFailed, rounds
from artstore_bench.mounts.server import is_mounted, unmount
from artstore_bench.mounts.session import MountSession
from artstore_bench.peers import SUBJECT, Mountable
from artstore_bench.questions.million import ManyVersions
from artstore_bench.questions.mount import GROUPS, Group, ask
from artstore_bench.results import Failure, Run

# A peer that takes longer for a group of questions, its mount included, answers it once.
SLOW_S: Final = 45.0

Tell = Callable[[str], None]


class Findings(Protocol):
    """Where answers and failures go."""

    @property
    def runs(self) -> list[Run]: ...
    @property
    def failures(self) -> list[Failure]: ...


class MountSuite:
    """One run of the mount's questions, in a folder that is emptied before and afterwards."""

    def __init__(self, place: Path, toolbox: Toolbox, corpus: Corpus, findings: Findings, tell: Tell) -> None:
        self._place = place
        self._toolbox = toolbox
        self._corpus = corpus
        self._findings = findings
        self._tell = tell

    def run(self, tools: Sequence[Mountable], *, repeat: int, scale: float, saved: Callable[[], None]) -> None:
        """Make the repositories, then ask; `saved` is called after each group, with what is known by then."""
        self._clear()
        try:
            sessions = [session for tool in tools if (session := self._begin(tool))]
            for group in GROUPS:
                self._ask_all(group, sessions, repeat)
                saved()
            if any(session.peer.name == SUBJECT for session in sessions):
                self._ask_many_versions(repeat, scale)
        finally:
            self._clear()

    def _begin(self, tool: Mountable) -> MountSession | None:
        self._tell(f"mount · repository · {tool.name}")
        session = MountSession(tool, self._corpus, self._toolbox, self._place / tool.name)
        try:
            session.begin()
        except ToolFailed as error:
            self._fail(tool.name, 0, str(error))
            return None
        return session

    def _ask_all(self, group: Group, sessions: Sequence[MountSession], repeat: int) -> None:
        done: set[str] = set()
        for repetition, session in rounds(sessions, repeat):
            name = session.peer.name
            if name in done:
                continue
            self._tell(f"mount · {group.name} · {repetition + 1}/{repeat} · {name}")
            began = time.monotonic()
            try:
                self._findings.runs.extend(ask(session, group, repetition))
            except ToolFailed as error:
                self._fail(name, repetition, f"{group.name}: {error}")
                done.add(name)
                continue
            took = time.monotonic() - began
            if name != SUBJECT and took > SLOW_S and repetition + 1 < repeat:
                self._fail(name, repetition, f"{group.name} is not repeated: it took {took:.0f} s")
                done.add(name)

    def _ask_many_versions(self, repeat: int, scale: float) -> None:
        self._tell("mount · a store of many versions")
        many = ManyVersions(self._place / "many", self._toolbox, scale)
        repetition = 0
        try:
            many.fill()
            for repetition in range(repeat):
                self._tell(f"mount · million · {repetition + 1}/{repeat} · {SUBJECT}")
                self._findings.runs.append(many.ask(repetition))
        except ToolFailed as error:
            self._fail(SUBJECT, repetition, f"million: {error}")

    def _fail(self, tool: str, repetition: int, message: str) -> None:
        self._tell(f"{tool}: {message}")
        failure = Failure(corpus=self._corpus.name, tool=tool, repetition=repetition, message=message)
        self._findings.failures.append(failure)

    def _clear(self) -> None:
        """Empty the folder; what an interrupted run left mounted in it is taken away first."""
        for point in self._place.glob("*/mount"):
            if is_mounted(point):
                unmount(point, self._toolbox, lazily=True)
        shutil.rmtree(self._place, ignore_errors=True)
