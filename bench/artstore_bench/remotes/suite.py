"""All questions about remotes to all tools, in turn; a tool that fails loses its repetition and stops no other one."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import msgspec

from artstore.testing.fault_proxy import FaultProxy
from artstore_bench.command import Toolbox
from artstore_bench.corpus import Corpus
from artstore_bench.method import ToolFailed, rounds
from artstore_bench.peers import SUBJECT
from artstore_bench.remotes import ours
from artstore_bench.remotes.lab import REMOTE, Lab
from artstore_bench.remotes.service import Bucket, Service
from artstore_bench.remotes.tools import BACKUP, Replica
from artstore_bench.results import Failure, Run
from artstore_bench.trees import differences

# A peer that takes longer for one repetition is measured once.
SLOW_S: Final = 150.0

Tell = Callable[[str], None]


class Findings(Protocol):
    """Where answers and failures go."""

    @property
    def runs(self) -> list[Run]: ...
    @property
    def failures(self) -> list[Failure]: ...


class RemoteSuite:
    """One run of the questions about remotes, in a folder that is emptied before and afterwards."""

    def __init__(self, service: Service, toolbox: Toolbox, findings: Findings, tell: Tell) -> None:
        self._service = service
        self._toolbox = toolbox
        self._place = toolbox.folder / "run" / REMOTE
        self._findings = findings
        self._tell = tell

    def run(
        self, tools: Sequence[Replica], *, whole: Corpus, many: Corpus, repeat: int, saved: Callable[[], None]
    ) -> None:
        """Ask about one corpus of a GiB and about one of very many files; `saved` is called after each part."""
        shutil.rmtree(self._place, ignore_errors=True)
        try:
            self._compare(tools, whole, repeat)
            saved()
            for repetition in range(repeat):
                self._tell(f"remote · many files · {repetition + 1}/{repeat} · {SUBJECT}")
                self._try(SUBJECT, repetition, lambda lab: ours.ask_many(lab, many))
            saved()
            self.peek(whole, repeat)
        finally:
            shutil.rmtree(self._place, ignore_errors=True)

    def _compare(self, tools: Sequence[Replica], corpus: Corpus, repeat: int) -> None:
        self._tell("remote · what is to be pushed")
        try:
            stored = ours.stock(self._lab(SUBJECT, 0, self._place), corpus)
        except ToolFailed as error:
            self._fail(SUBJECT, 0, str(error))
            tools = [tool for tool in tools if tool.questions == BACKUP]  # there is nothing that the others could send
            stored = None
        slow: set[str] = set()
        for repetition, tool in rounds([None, *tools], repeat):
            name = SUBJECT if tool is None else tool.name
            if name in slow:
                continue
            self._tell(f"remote · {repetition + 1}/{repeat} · {name}")
            if tool is None:
                self._ask_ours(repetition, stored, corpus)
                continue
            began = time.monotonic()
            self._try(name, repetition, partial(self._ask_peer, tool=tool, stored=stored, corpus=corpus))
            took = time.monotonic() - began
            if took > SLOW_S and repetition + 1 < repeat:
                self._fail(name, repetition, f"not repeated: one repetition took {took:.0f} s")
                slow.add(name)

    def _ask_ours(self, repetition: int, stored: ours.Stock | None, corpus: Corpus) -> None:
        if stored is not None:
            self._try(SUBJECT, repetition, lambda lab: ours.ask_stored(lab, stored))
        self._try(SUBJECT, repetition, lambda lab: ours.ask_folder(lab, corpus))

    def _ask_peer(self, lab: Lab, *, tool: Replica, stored: ours.Stock | None, corpus: Corpus) -> list[Run]:
        source, manifest = corpus.tree(ours.VERSION), corpus.manifests[ours.VERSION]
        if tool.questions != BACKUP:
            assert stored is not None
            source, manifest = stored.source, stored.packs
        out, caches = lab.place / "out", lab.place / "caches"
        for folder in (out, caches):
            folder.mkdir()
        sending, fetching = tool.questions
        with self._service.bucket() as bucket:
            lab.prepare(tool.prepare(bucket, caches))
            commands = tool.send(bucket, caches, source)
            sent = lab.timed(sending, commands, inputs=[source], input_bytes=manifest.size)
            commands = tool.fetch(bucket, caches, out)
            fetched = lab.timed(fetching, commands, inputs=(), input_bytes=manifest.size)
        wrong = differences(out, manifest)
        if wrong:
            raise ToolFailed(f"fetched {len(wrong)} files wrongly, the first is {wrong[0]}")
        return [sent, fetched]

    def peek(self, corpus: Corpus, repeat: int) -> None:
        """A little of a big file, through a proxy that counts."""
        parts = urlsplit(self._service.endpoint)
        assert parts.hostname is not None
        assert parts.port is not None
        lab = self._lab(SUBJECT, 0, self._place / "peek")
        proxy = FaultProxy((parts.hostname, parts.port), lambda _method, _path: None)
        try:
            with self._service.bucket() as bucket, proxy:
                file = ours.prepare_peek(lab, corpus, bucket)
                through = replace(bucket, endpoint=proxy.url)
                for repetition in range(repeat):
                    self._tell(f"remote · a little of a big file · {repetition + 1}/{repeat} · {SUBJECT}")
                    ask = partial(_ask_peek, file=file, bucket=through, proxy=proxy, number=repetition)
                    self._try(SUBJECT, repetition, ask)
        except ToolFailed as error:
            self._fail(SUBJECT, 0, str(error))

    def _lab(self, tool: str, repetition: int, place: Path) -> Lab:
        place.mkdir(parents=True, exist_ok=True)
        return Lab(self._service, self._toolbox, place, tool, repetition)

    def _try(self, tool: str, repetition: int, ask: Callable[[Lab], list[Run]]) -> None:
        """Ask, in a folder that is empty before and gone afterwards."""
        place = self._place / "session"
        try:
            self._findings.runs.extend(ask(self._lab(tool, repetition, place)))
        except ToolFailed as error:
            self._fail(tool, repetition, str(error))
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _fail(self, tool: str, repetition: int, message: str) -> None:
        self._tell(f"{tool}: {message}")
        self._findings.failures.append(Failure(corpus=REMOTE, tool=tool, repetition=repetition, message=message))


def _ask_peek(lab: Lab, *, file: Path, bucket: Bucket, proxy: FaultProxy, number: int) -> list[Run]:
    """Read from a fresh clone, at another place each time; what passes is counted from outside."""
    copy = lab.place / "copy"
    lab.prepare([ours.clone(copy, bucket)])
    size = min(ours.PEEK_BYTES, file.stat().st_size // 4)
    offset = (file.stat().st_size - size) * (number % 7 + 1) // 9
    with file.open("rb") as source:
        source.seek(offset)
        expected = hashlib.sha256(source.read(size)).hexdigest()
    proxy.requests = proxy.moved_bytes = 0
    command = ours.peek(copy, bucket, file=file.name, offset=offset, size=size)
    run = lab.timed("peek", [command], inputs=(), input_bytes=size)
    if expected not in lab.log("peek").read_text():
        raise ToolFailed(f"read something else than {size} bytes from {offset}")
    return [msgspec.structs.replace(run, requests=proxy.requests, moved_bytes=proxy.moved_bytes)]
