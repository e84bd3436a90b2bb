"""One run of the benchmark: every corpus, every tool in turn, and the document that comes of it.

A tool that fails loses its repetition, is named in `failures`, and never stops the others.
"""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from artstore_bench import corpus as corpora
from artstore_bench.command import Toolbox
from artstore_bench.daemons.suite import DAEMON, DaemonSuite
from artstore_bench.machine import describe
from artstore_bench.method import SETTLE_S, ToolFailed, rounds
from artstore_bench.mounts.suite import MountSuite
from artstore_bench.peers import SUBJECT, KnowsData, Mountable, Peer, mountables, peers
from artstore_bench.questions import questions_for
from artstore_bench.questions.kernel import ask as ask_kernel
from artstore_bench.remotes import service as remote_service
from artstore_bench.remotes.lab import REMOTE
from artstore_bench.remotes.suite import RemoteSuite
from artstore_bench.remotes.tools import replicas
from artstore_bench.results import SCHEMA, Document, Failure, Run, ToolVersion, TreeFacts, summarise
from artstore_bench.scale.suite import SCALE, ScaleSuite, steps
from artstore_bench.session import LiveTree, Session
from artstore_bench.targets import judge

# "known" asks about the model corpus, "remote" about that and the small files; "daemon", "scale", "kernel" need none.
SUBJECTS: Final = (*corpora.NAMES, REMOTE, DAEMON, "known", SCALE, "kernel")
# What takes hours at its full size has to be asked for.
DEFAULTS: Final = tuple(subject for subject in SUBJECTS if subject != SCALE)
MOUNT: Final = "mount"
SERVICE: Final = "ceph (remote)"

SLOW_S: Final = 150.0  # of one repetition of all questions: such a peer is measured once

Tell = Callable[[str], None]
Save = Callable[[Document], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """What to run; `peers` names the tools beside artstore."""

    subjects: Sequence[str]
    peers: Sequence[str]
    repeat: int
    scale: float
    workdir: Path
    command: Sequence[str] = ()


@dataclass(slots=True)
class _Gathered:
    """What has been found so far."""

    started: str
    versions: Mapping[str, str | None]
    runs: list[Run] = field(default_factory=list[Run])
    failures: list[Failure] = field(default_factory=list[Failure])
    trees: list[TreeFacts] = field(default_factory=list[TreeFacts])

    @property
    def missing(self) -> list[str]:
        """Tools that were asked for and are not on this machine."""
        return [name for name, version in self.versions.items() if version is None]


def run(settings: Settings, tell: Tell, save: Save) -> Document:
    """Measure everything that was asked for, telling what is under way.

    What is known so far is saved after each corpus: an hour's figures survive what happens in the next one.
    """
    started = _now()
    tools, mounting, versions = _tools(settings)
    gathered = _Gathered(started, versions)
    for name in gathered.missing:
        tell(f"{name} is not on this machine and is left out")
    document = _document(settings, gathered)
    for subject in settings.subjects:
        if subject == "kernel":
            _run_kernel(settings, gathered, tell)
        elif subject == MOUNT:
            _run_mounts(mounting, settings=settings, gathered=gathered, tell=tell, save=save)
        elif subject == REMOTE:
            _run_remotes(settings, gathered, tell, save)
        elif subject == DAEMON:
            suite = DaemonSuite(Toolbox(settings.workdir), gathered, tell, scale=settings.scale)
            suite.run(repeat=settings.repeat)
        elif subject == SCALE:
            growing = ScaleSuite(Toolbox(settings.workdir), gathered, tell, growing=steps(settings.scale))
            growing.run(repeat=settings.repeat)
        else:
            _run_corpus(subject, tools, settings=settings, gathered=gathered, tell=tell)
        document = _document(settings, gathered)
        save(document)
    return document


def _tools(settings: Settings) -> tuple[list[Peer], list[Mountable], dict[str, str | None]]:
    """The tools that are here: for repositories, for mounts; and the version of each that is asked for, or None."""
    toolbox, wanted = Toolbox(settings.workdir), (SUBJECT, *settings.peers)
    versions: dict[str, str | None] = {}
    tools: list[Peer] = []
    mounting: list[Mountable] = []
    if any(subject not in {MOUNT, REMOTE, DAEMON, SCALE} for subject in settings.subjects):
        chosen = [peer for name, peer in peers(toolbox).items() if name in wanted]
        versions |= {peer.name: peer.version() for peer in chosen}
        tools = [peer for peer in chosen if versions[peer.name] is not None]
    if MOUNT in settings.subjects:
        for name, mountable in mountables(toolbox).items():
            if name in wanted:
                version = versions[f"{name} (mount)"] = mountable.mount_version()
                mounting += [mountable] if version is not None else []
    if REMOTE in settings.subjects:
        versions[SERVICE] = remote_service.version(toolbox)
        versions |= {f"{name} (remote)": tool.version() for name, tool in replicas(toolbox).items() if name in wanted}
    return tools, mounting, versions


def _document(settings: Settings, gathered: _Gathered) -> Document:
    summary = summarise(gathered.runs, subject=SUBJECT)
    return Document(
        schema=SCHEMA,
        started=gathered.started,
        finished=_now(),
        command=list(settings.command),
        scale=settings.scale,
        repeat=settings.repeat,
        machine=describe(settings.workdir),
        trees=list(gathered.trees),
        tools=[ToolVersion(name, version) for name, version in gathered.versions.items() if version is not None],
        missing=gathered.missing,
        runs=list(gathered.runs),
        failures=list(gathered.failures),
        summary=summary,
        targets=judge(summary, subject=SUBJECT),
    )


def _run_kernel(settings: Settings, gathered: _Gathered, tell: Tell) -> None:
    for repetition in range(settings.repeat):
        tell(f"kernel · {repetition + 1}/{settings.repeat}")
        gathered.runs.append(ask_kernel(repetition))


def _run_corpus(subject: str, tools: Sequence[Peer], *, settings: Settings, gathered: _Gathered, tell: Tell) -> None:
    corpus = _ensure("model" if subject == "known" else subject, settings, gathered, tell)
    if subject == "known":
        tools = [tool for tool in tools if isinstance(tool, KnowsData)]
    place = settings.workdir / "run" / subject
    shutil.rmtree(place, ignore_errors=True)
    # Speed is measured at full scale only; a small run need not wait for stat caches to trust its files.
    live = LiveTree(place / "data", corpus, SETTLE_S if settings.scale == 1 else 0.0)
    try:
        slow: set[str] = set()
        for repetition, peer in rounds(tools, settings.repeat):
            if peer.name in slow:
                continue
            tell(f"{subject} · {repetition + 1}/{settings.repeat} · {peer.name}")
            session = Session(peer, live, Toolbox(settings.workdir), repetition, subject)
            begin = time.monotonic()
            _run_session(session, gathered, tell)
            took = time.monotonic() - begin
            if peer.name != SUBJECT and took > SLOW_S and repetition + 1 < settings.repeat:
                slow.add(peer.name)
                _fail(session, f"not repeated: one repetition took {took:.0f} s", gathered, tell)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _run_mounts(tools: Sequence[Mountable], *, settings: Settings, gathered: _Gathered, tell: Tell, save: Save) -> None:
    corpus = _ensure(MOUNT, settings, gathered, tell)
    suite = MountSuite(settings.workdir / "run" / MOUNT, Toolbox(settings.workdir), corpus, gathered, tell)
    suite.run(tools, repeat=settings.repeat, scale=settings.scale, saved=partial(_save, save, settings, gathered))


def _run_remotes(settings: Settings, gathered: _Gathered, tell: Tell, save: Save) -> None:
    if gathered.versions[SERVICE] is None:
        return
    toolbox = Toolbox(settings.workdir)
    whole, many = (_ensure(name, settings, gathered, tell) for name in ("model", "small"))
    tools = [tool for name, tool in replicas(toolbox).items() if gathered.versions.get(f"{name} (remote)")]
    try:
        with remote_service.running(toolbox) as service:
            suite = RemoteSuite(service, toolbox, gathered, tell)
            saved = partial(_save, save, settings, gathered)
            suite.run(tools, whole=whole, many=many, repeat=settings.repeat, saved=saved)
    except RuntimeError as error:
        tell(str(error))
        gathered.failures.append(Failure(corpus=REMOTE, tool=SERVICE, repetition=0, message=str(error)))


def _save(save: Save, settings: Settings, gathered: _Gathered) -> None:
    save(_document(settings, gathered))


def _ensure(name: str, settings: Settings, gathered: _Gathered, tell: Tell) -> corpora.Corpus:
    corpus = corpora.ensure(name, folder=settings.workdir / "corpora", scale=settings.scale, tell=tell)
    facts = [
        TreeFacts(name, version, len(manifest.files), manifest.size, manifest.digest)
        for version, manifest in corpus.manifests.items()
    ]
    gathered.trees += [fact for fact in facts if fact not in gathered.trees]
    return corpus


def _run_session(session: Session, gathered: _Gathered, tell: Tell) -> None:
    try:
        session.begin()
        for ask in questions_for(session.subject, versions=len(session.live.corpus.manifests)):
            gathered.runs.append(ask(session))
    except ToolFailed as error:
        _fail(session, str(error), gathered, tell)
    finally:
        session.clear()


def _fail(session: Session, message: str, gathered: _Gathered, tell: Tell) -> None:
    tell(f"{session.peer.name}: {message}")
    failure = Failure(corpus=session.subject, tool=session.peer.name, repetition=session.repetition, message=message)
    gathered.failures.append(failure)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
