"""Makes a version of a folder, a file or a stream: read, store, and publish under a name.

Nothing is visible before the last transaction; what was read by a commit that failed is found again by the next.
"""

from __future__ import annotations

import os
import stat as stat_module
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

from artstore import limits
from artstore.errors import BadInput, Corrupt, NotFound, UsageError
from artstore.format.tree_page import check_name
from artstore.format.version import encode_version
from artstore.model import (
    AS_BEFORE_COUNT,
    AS_BEFORE_PATHS,
    CHANGED_PATHS,
    CHANGED_WHILE_READ,
    Digest,
    Kind,
    PackState,
    Version,
)
from artstore.planning.ignore import IgnoreStack
from artstore.revision import artifact_of
from artstore.store import provisional, refs
from artstore.store.changing import changed_paths, with_paths
from artstore.store.context import Context, Counters
from artstore.store.edit import apply_edits, parts_of
from artstore.store.lost import heal_sets
from artstore.store.partial import mark_based
from artstore.store.read import entry_at
from artstore.store.trouble import translate
from artstore.store.write.assemble import TreeResult
from artstore.store.write.pipeline import Pipeline
from artstore.store.write.trouble import AS_BEFORE, CHANGING
from artstore.store.write.walk import Walker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from artstore.model import Entry, Metadata
    from artstore.ports import IndexWriter
    from artstore.store.objects import Objects
    from artstore.store.write.packer import OpenPack

COPY_BYTES = limits.MIB


@dataclass(frozen=True, slots=True)
class CommitOptions:
    """What to read, and what to do about what can't be.

    `links`: what becomes of symlinks which lead out of the folder: "fail", "follow" (commit what they name) or "keep".
    `stat_cache=False` reads every file again. `keep_former`: files that change while they are read stay as they were in
    the artifact's newest version, or are left out if they weren't in it; so do those of `being_written`, absolute
    paths, which aren't read at all.
    """

    excludes: tuple[str, ...] = ()
    default_ignores: bool = True
    links: Literal["fail", "follow", "keep"] = "fail"
    skip_unreadable: bool = False
    allow_changing: bool = False
    keep_former: bool = False
    being_written: frozenset[bytes] = frozenset()
    dry_run: bool = False
    stat_cache: bool = True


@dataclass(frozen=True, slots=True)
class Naming:
    """Under which name a version is published: an exact tag, or the next vN of an artifact."""

    tag: str | None = None
    artifact: str | None = None

    @property
    def family(self) -> str:
        """The artifact, given or implied."""
        return artifact_of(self.tag) if self.tag is not None else (self.artifact or "")


@dataclass(frozen=True, slots=True)
class Said:
    """What a person says of a version."""

    message: str
    author: str
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Addition:
    """A local file or folder, and where in the version it goes; a file there is replaced."""

    path: bytes
    local: bytes


@dataclass(frozen=True, slots=True)
class _Edit:
    base: Digest
    additions: Sequence[Addition]
    removals: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What was made. `version` is None in a dry run. `unchanged`: nothing was made, `version` exists already.

    `parent`: the version's own first parent, be it collected by now, or in a dry run what would be; None if it has
    none. `skipped`: local paths left out; `changed`: some of the paths within the version that changed while they were
    read, which it says of itself; `as_before`: some of the paths that are as they were before, as it says, too.
    """

    version: Digest | None
    tag: str | None
    parent: Digest | None
    tree: Digest
    files: int
    size: int
    new_bytes: int
    stored_bytes: int
    ignored: int
    unchanged: bool
    skipped: tuple[bytes, ...]
    changed: tuple[bytes, ...]
    as_before: tuple[bytes, ...]
    seconds: float


def commit(
    context: Context,
    objects: Objects,
    source: str | bytes | IO[bytes],
    *,
    naming: Naming,
    said: Said,
    file_name: bytes = b"stdin",
    options: CommitOptions | None = None,
    counters: Counters | None = None,
) -> CommitResult:
    """A version of a folder, of one file, or of a stream (as a file called `file_name`).

    Raises BadInput with the paths that can't be committed, NoSpace, Conflict if the tag names another version.
    """
    options = options or CommitOptions()

    def gather(walker: Walker) -> None:
        if isinstance(source, str | bytes):
            _walk_path(walker, os.fsencode(source), options)
        else:
            _walk_stream(walker, source, file_name, context.path)

    return _Commit(context, objects, naming, said, options, counters or Counters()).run(gather)


def edit(
    context: Context,
    objects: Objects,
    base: Digest,
    *,
    additions: Sequence[Addition],
    removals: Sequence[bytes],
    naming: Naming,
    said: Said,
    options: CommitOptions | None = None,
    counters: Counters | None = None,
) -> CommitResult:
    """A version made from `base`, its parent, by adding local files or folders and removing paths; nothing else of it
    is read.

    Raises as `commit`, NotFound for a path to be removed that isn't there, and BadInput for an addition that would put
    a folder in a file's place, or the other way round, unless that is removed too.
    """
    options = options or CommitOptions()

    def gather(walker: Walker) -> None:
        with walker.root():
            for number, addition in enumerate(additions):
                name = b"%012d" % number
                if os.path.isdir(addition.local):
                    walker.walk(addition.local, ignore_rules(options), name, above=len(parts_of(addition.path)))
                else:
                    _check_file(addition.local)
                    walker.walk_file(addition.local, name)

    making = _Commit(context, objects, naming, said, options, counters or Counters())
    return making.run(gather, _Edit(base, additions, removals))


def _check_file(path: bytes) -> None:
    try:
        stat = os.stat(path)
    except OSError as error:
        raise NotFound(f"{os.fsdecode(path)} can't be read ({error.strerror})", hint="check the path") from error
    if not stat_module.S_ISREG(stat.st_mode):
        raise BadInput(f"{os.fsdecode(path)} is neither file nor folder", [path], hint="name a file, a folder or -")


def _walk_path(walker: Walker, path: bytes, options: CommitOptions) -> None:
    if os.path.isdir(path):
        walker.walk(path, ignore_rules(options))
        return
    _check_file(path)
    with walker.root():
        walker.walk_file(path, os.path.basename(os.path.abspath(path)))


def _walk_stream(walker: Walker, stream: IO[bytes], name: bytes, folder: str) -> None:
    # Spooled first: zip and Parquet keep their directory at the end, and a changing size can't be read twice.
    from tempfile import TemporaryDirectory

    check_name(name)  # it must not lead out of the folder that is made here
    temporary = os.path.join(folder, "tmp")
    try:
        with TemporaryDirectory(dir=temporary, prefix="stdin-") as spool:
            path = os.path.join(os.fsencode(spool), name)
            with open(path, "wb") as file:
                while block := stream.read(COPY_BYTES):
                    file.write(block)
            _walk_path(walker, path, CommitOptions())
    except OSError as error:
        raise translate(error, "keep the stream in", os.fsencode(temporary)) from error


def ignore_rules(options: CommitOptions) -> IgnoreStack:
    """The rules a walk begins with."""
    return IgnoreStack.create(options.excludes, defaults=options.default_ignores)


class _Commit:
    """One commit, from its session to its result."""

    def __init__(
        self,
        context: Context,
        objects: Objects,
        naming: Naming,
        said: Said,
        options: CommitOptions,
        counters: Counters,
    ) -> None:
        if naming.tag is None and not naming.artifact:
            raise UsageError("a version needs a name", hint="give --tag NAME or --artifact NAME")
        self._context = context
        self._objects = objects
        self._naming = naming
        self._said = said
        self._options = options
        self._counters = counters
        self._begun = time.monotonic()
        self._tag = naming.tag
        self._changed: tuple[bytes, ...] = ()
        with context.index.read() as reader:
            self._newest = refs.newest_tag(reader, naming.family)
        self._parent = None if self._newest is None else Digest(self._newest.version)

    def run(self, gather: Callable[[Walker], None], edit: _Edit | None = None) -> CommitResult:
        context, options = self._context, self._options
        store, keep_top = not options.dry_run, edit is not None
        if edit is not None:
            self._parent = edit.base
        with (
            context.sessions.begin() as session,
            Pipeline(context, session, self._counters, store=store, keep_top=keep_top) as pipeline,
        ):
            walker = Walker(
                context.path,
                context.index,
                context.clock,
                pipeline.gatherer,
                options,
                self._counters,
                former=self._former() if options.keep_former and edit is None else None,
            )
            gather(walker)
            walker.trouble.fail()
            if walker.changed:
                self._changed = changed_paths(walker.changed, edit.additions if edit is not None else None)
            tree = pipeline.finish_tree()
            if edit is not None:
                tree = self._edited(edit, tree, pipeline)
            if options.dry_run:
                return self._result(walker, tree, None, unchanged=False)
            same = self._same_version(tree.root)
            if same is not None and (self._naming.tag is None or self._is_taken(same)):
                self._keep(pipeline, tree, same)
                return self._result(walker, tree, same, unchanged=True)
            return self._publish(walker, pipeline, tree, same, base=None if edit is None else edit.base)

    def _former(self) -> Callable[[bytes], Entry | None]:
        """What a path was in the artifact's newest version."""
        newest = self._parent

        def look(path: bytes) -> Entry | None:
            if newest is None:
                return None
            try:
                entry = entry_at(self._objects, self._objects.version(newest), path)
            except NotFound:
                return None
            return entry if entry.kind in (Kind.FILE, Kind.EXEC) else None

        return look

    def _edited(self, edit: _Edit, added: TreeResult, pipeline: Pipeline) -> TreeResult:
        """The base with what was read put into it. Its set holds all packs of the base: rather more than too few."""
        base = self._objects.version(edit.base)
        with self._context.index.read() as reader:
            known = reader.version_set(edit.base)
        if known is None:
            raise Corrupt(f"version {edit.base.hex()} has no set", digest=edit.base)
        packs: set[int | OpenPack] = {*known, *added.packs}
        numbered = ((b"%012d" % number, addition) for number, addition in enumerate(edit.additions))
        pairs = [(addition.path, added.top[name]) for name, addition in numbered if name in added.top]
        with pipeline.collecting(packs) as emit:
            summary = apply_edits(base.tree, pairs, edit.removals, self._objects.load, emit, self._context.ids)
        return TreeResult(summary.root, summary.files, summary.size, frozenset(packs), {})

    def _publish(
        self, walker: Walker, pipeline: Pipeline, tree: TreeResult, same: Digest | None, *, base: Digest | None
    ) -> CommitResult:
        if same is not None:  # new name, nothing else
            packs = tree.packs if _is_stored_again(tree) else frozenset[int]()

            def name(writer: IndexWriter, packs: set[int]) -> None:
                _add_to_set(writer, same, packs)
                self._name(writer, same)

            pipeline.publish(packs, None, name)
            return self._result(walker, tree, same, unchanged=False)
        said = self._said
        version = Version(
            tree.root,
            [] if self._parent is None else [bytes(self._parent)],
            self._context.clock.now_ns(),
            said.author,
            said.message,
            self._metadata(walker),
            tree.files,
            tree.size,
        )
        digest, document = encode_version(version, self._context.ids)

        def publish(writer: IndexWriter, packs: set[int]) -> None:
            revive(writer, packs)
            heal_sets(writer)
            writer.put_set(digest, packs)
            if base is not None:
                mark_based(writer, digest, base)
            self._name(writer, digest)

        pipeline.publish(tree.packs, (digest, document), publish)
        return self._result(walker, tree, digest, unchanged=False)

    def _keep(self, pipeline: Pipeline, tree: TreeResult, same: Digest) -> None:
        """Nothing has changed; but what a repair had to give up was stored again, and makes the old version whole."""
        if _is_stored_again(tree):
            pipeline.publish(tree.packs, None, lambda writer, packs: _add_to_set(writer, same, packs))
        else:
            pipeline.keep_rows()
        if self._naming.tag is not None:  # as `artstore tag` does
            with self._context.index.write() as writer:
                provisional.keep_name(writer, self._naming.tag)

    def _name(self, writer: IndexWriter, version: Digest) -> None:
        name = self._naming.tag or refs.next_tag_name(writer, self._naming.family)
        refs.set_tag(writer, name, version, now=self._context.clock.now_ns())
        if self._naming.tag is None:
            provisional.note_provisional(writer, name, version)
        self._tag = name

    def _is_taken(self, version: Digest) -> bool:
        assert self._naming.tag is not None
        with self._context.index.read() as reader:
            tag = reader.tag(self._naming.tag)
        return tag is not None and tag.version == version

    def _same_version(self, root: bytes) -> Digest | None:
        """The artifact's newest version, if this one would say nothing new. From then on its parent is meant."""
        if self._newest is None:
            return None
        try:
            newest = self._objects.version(self._newest.version)
        except Corrupt:
            return None  # the new version doesn't depend on it
        said, old = self._said, newest.metadata
        told = (said.metadata.params, said.metadata.metrics, said.metadata.inputs, said.metadata.labels)
        known = (old.params, old.metrics, old.inputs, old.labels)
        says_nothing_new = told in (({}, {}, {}, {}), known) and said.message in ("", newest.message)
        is_doubted = CHANGED_WHILE_READ in old.source and not self._changed  # this one vouches for the same content
        if newest.tree != root or not says_nothing_new or is_doubted:
            return None
        if self._naming.tag is None:
            self._tag = self._newest.name
        self._parent = Digest(newest.parents[0]) if newest.parents else None
        return Digest(self._newest.version)

    def _metadata(self, walker: Walker) -> Metadata:
        """What is said of the version, and what it has to say of itself."""
        metadata, counts = self._said.metadata, walker.trouble.counts
        if self._changed:
            metadata = with_paths(metadata, (CHANGED_WHILE_READ, CHANGED_PATHS), self._changed, counts[CHANGING])
        if walker.as_before:
            metadata = with_paths(metadata, (AS_BEFORE_COUNT, AS_BEFORE_PATHS), walker.as_before, counts[AS_BEFORE])
        return metadata

    def _result(self, walker: Walker, tree: TreeResult, version: Digest | None, *, unchanged: bool) -> CommitResult:
        counters = self._counters
        return CommitResult(
            version=version,
            tag=self._tag if version is not None else None,
            parent=self._parent,
            tree=Digest(tree.root),
            files=tree.files,
            size=tree.size,
            new_bytes=counters.bytes_new,
            stored_bytes=counters.bytes_stored,
            ignored=walker.ignored,
            unchanged=unchanged,
            skipped=tuple(walker.trouble.skipped),
            changed=self._changed,
            as_before=tuple(walker.as_before),
            seconds=time.monotonic() - self._begun,
        )


def _is_stored_again(tree: TreeResult) -> bool:
    """Did a tree that is known already need something new?"""
    return any(not isinstance(pack, int) for pack in tree.packs)


def _add_to_set(writer: IndexWriter, version: Digest, packs: set[int]) -> None:
    if packs:
        revive(writer, packs)
        heal_sets(writer)
        writer.put_set(version, packs.union(writer.version_set(version) or ()))


def revive(writer: IndexWriter, packs: Iterable[int]) -> None:
    """Before a set is published: every pack it names exists, and collection lets go of it.

    A pack that is DELETING still has its file, since our session began before its removal could.
    """
    for number in packs:
        row = writer.pack(number)
        if row is None:
            raise Corrupt(f"pack {number} vanished while it was needed", hint="commit again")
        if row.state is not PackState.LIVE:
            writer.set_pack_state(number, PackState.LIVE, 0)
