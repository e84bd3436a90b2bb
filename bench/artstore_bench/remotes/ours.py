"""artstore itself, through its command line: what it is asked about remotes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from artstore_bench.command import Command
from artstore_bench.corpus import Corpus
from artstore_bench.method import ToolFailed
from artstore_bench.peers import SUBJECT
from artstore_bench.remotes.lab import Lab
from artstore_bench.remotes.service import Bucket, module
from artstore_bench.results import Run
from artstore_bench.trees import Manifest, describe, differences, link

VERSION: Final = "v1"
TAG: Final = "bench/v1"
HOME: Final = "origin"
PEEK_BYTES: Final = 1 << 20
_CHANGED_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Stock:
    """A store in which a corpus was committed: its packs are what everybody uploads."""

    store: Path
    corpus: Corpus
    packs: Manifest

    @property
    def source(self) -> Path:
        """The folder of its packs."""
        return self.store / "packs"


def stock(lab: Lab, corpus: Corpus) -> Stock:
    """Commit a corpus into a store of its own."""
    store = lab.place / "stock"
    lab.prepare([_command(store, "init"), _commit(store, corpus.tree(VERSION))])
    return Stock(store, corpus, describe(store / "packs"))


def ask_stored(lab: Lab, stored: Stock) -> list[Run]:
    """Push what was committed before, clone it all; then clone names only and check out, which is compared."""
    copy, out = lab.place / "copy", lab.place / "out"
    name = f"r{lab.repetition}"
    with lab.service.bucket() as bucket:
        lab.prepare([_add_remote(stored.store, bucket, name)])
        sending = _command(stored.store, "push", "--to", name, "--json", bucket=bucket)
        size = stored.packs.size
        pushed = lab.told(lab.timed("push", [sending], inputs=[stored.source], input_bytes=size))
        cloning = _clone(copy, bucket, full=True)
        fetched = lab.told(lab.timed("fetch", [cloning], inputs=(), input_bytes=size))
        shutil.rmtree(copy)
        restoring = [_clone(copy, bucket, full=False), _command(copy, "checkout", TAG, str(out), bucket=bucket)]
        manifest = stored.corpus.manifests[VERSION]
        restored = lab.timed("restore", restoring, inputs=(), input_bytes=manifest.size)
    wrong = differences(out, manifest)
    if wrong:
        raise ToolFailed(f"restored {len(wrong)} files wrongly, the first is {wrong[0]}")
    return [pushed, fetched, restored]


def ask_folder(lab: Lab, corpus: Corpus) -> list[Run]:
    """Commit and push a folder; then push what one changed file of it adds."""
    store, live = lab.place / "store", lab.place / "live"
    manifest = corpus.manifests[VERSION]
    with lab.service.bucket() as bucket:
        lab.prepare([_command(store, "init"), _add_remote(store, bucket)])
        commands = [_commit(store, corpus.tree(VERSION)), _push(store, bucket)]
        backup = lab.told(lab.timed("backup", commands, inputs=[corpus.tree(VERSION)], input_bytes=manifest.size))
        return [backup, _ask_changed(lab, "changed", store, bucket, _linked(corpus, live))]


def ask_many(lab: Lab, corpus: Corpus) -> list[Run]:
    """Push very many small files, and one changed file of them."""
    store, live = lab.place / "store", lab.place / "live"
    with lab.service.bucket() as bucket:
        lab.prepare([_command(store, "init"), _add_remote(store, bucket), _commit(store, corpus.tree(VERSION))])
        size = corpus.manifests[VERSION].size
        many = lab.told(lab.timed("many", [_push(store, bucket)], inputs=[store / "packs"], input_bytes=size))
        return [many, _ask_changed(lab, "many-changed", store, bucket, _linked(corpus, live))]


def prepare_peek(lab: Lab, corpus: Corpus, bucket: Bucket) -> Path:
    """Push one file that is as large as the corpus; the file."""
    file, store = lab.place / "whole" / "whole.bin", lab.place / "store"
    file.parent.mkdir(parents=True)
    with file.open("wb") as whole:
        for row in corpus.manifests[VERSION].files:
            with (corpus.tree(VERSION) / row.path).open("rb") as part:
                shutil.copyfileobj(part, whole)
    commands = [_command(store, "init"), _commit(store, file.parent), _add_remote(store, bucket), _push(store, bucket)]
    lab.prepare(commands)
    shutil.rmtree(store)
    return file


def peek(store: Path, bucket: Bucket, *, file: str, offset: int, size: int) -> Command:
    """Read a little of that file from a clone."""
    return module("peek", (str(store), TAG, file, str(offset), str(size)), bucket.environment)


def clone(store: Path, bucket: Bucket) -> Command:
    """A clone as it is made by default."""
    return _clone(store, bucket, full=False)


def _ask_changed(lab: Lab, question: str, store: Path, bucket: Bucket, live: Path) -> Run:
    changed = min(path for path in live.rglob("*") if path.is_file())
    data = bytearray(changed.read_bytes())
    middle = len(data) // 2
    data[middle : middle + _CHANGED_BYTES] = bytes(byte ^ 0xFF for byte in data[middle : middle + _CHANGED_BYTES])
    changed.unlink()  # its bytes are the corpus's, too
    changed.write_bytes(data)
    lab.prepare([_commit(store, live, "bench/v2")])
    return lab.told(lab.timed(question, [_push(store, bucket)], inputs=(), input_bytes=changed.stat().st_size))


def _linked(corpus: Corpus, live: Path) -> Path:
    link(corpus.tree(VERSION), live, corpus.manifests[VERSION])
    return live


def _command(store: Path, *arguments: str, bucket: Bucket | None = None) -> Command:
    environment: Mapping[str, str] = {} if bucket is None else bucket.environment
    return Command((SUBJECT, "--store", str(store), *arguments), environment=environment)


def _commit(store: Path, source: Path, tag: str = TAG) -> Command:
    return _command(store, "commit", str(source), "--tag", tag)


def _place(bucket: Bucket) -> Sequence[str]:
    return (f"s3://{bucket.name}/art", "--endpoint", bucket.endpoint)


def _add_remote(store: Path, bucket: Bucket, name: str = HOME) -> Command:
    return _command(store, "remote", "add", name, *_place(bucket), bucket=bucket)


def _push(store: Path, bucket: Bucket) -> Command:
    return _command(store, "push", "--json", bucket=bucket)


def _clone(store: Path, bucket: Bucket, *, full: bool) -> Command:
    return _command(store, "clone", *(("--full",) if full else ()), *_place(bucket), "--json", bucket=bucket)
