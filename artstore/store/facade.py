"""One opened store, as programs use it: everything that can be done to versions, files and names.

A thin face: it turns revisions into ids and calls the services. How a store is found, made and configured is
`artstore.Store`'s, which builds on this.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from artstore.errors import NotFound, UsageError
from artstore.format.tree import iter_entries
from artstore.model import Digest, Form, Kind, Metadata
from artstore.revision import artifact_name_from_folder, artifact_of
from artstore.store import identity, refs
from artstore.store.objects import Objects
from artstore.store.read import entry_at, open_file, walk
from artstore.store.refs import Absent, Resolved

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from artstore.model import Alias, Entry, Move, Scalar, Tag, Version
    from artstore.ports import IndexReader
    from artstore.store.checkout import CheckoutResult
    from artstore.store.commit import CommitOptions, CommitResult, Naming
    from artstore.store.compare import Compared
    from artstore.store.content import VerifiedFile
    from artstore.store.context import Context, Counters
    from artstore.store.refs import Moved, RefRow, TagSet
    from artstore.store.usage import Usage

AnyPath = str | bytes | os.PathLike[str]
Rev = str | bytes
"""A revision as text (`llama/v2`, `llama/production@{1}`), or the 32 bytes of a version id."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What opening a store gives; `close` lets go of its files."""

    context: Context
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A version with the names it has now: tags oldest first, aliases by name."""

    id: Digest
    version: Version
    tags: tuple[str, ...]
    aliases: tuple[str, ...]


class Store:
    """An opened store. Thread-safe; usable in forked children; a context manager that closes it."""

    def __init__(self, path: str, connection: Connection) -> None:
        self.path = path
        self._connection = connection
        self._objects = Objects(connection.context)

    @property
    def context(self) -> Context:
        """The ports, for services beside this class."""
        return self._connection.context

    @property
    def objects(self) -> Objects:
        """Verified objects by id, for services beside this class."""
        return self._objects

    def close(self) -> None:
        """Let go of the store's files; closing twice is fine."""
        self._objects.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- making versions

    def commit(
        self,
        source: AnyPath | IO[bytes],
        *,
        tag: str | None = None,
        artifact: str | None = None,
        name: str | None = None,
        message: str = "",
        author: str | None = None,
        params: Mapping[str, Scalar] | None = None,
        metrics: Mapping[str, int | float] | None = None,
        labels: Mapping[str, Scalar] | None = None,
        inputs: Mapping[str, Rev] | None = None,
        options: CommitOptions | None = None,
        counters: Counters | None = None,
    ) -> CommitResult:
        """Make a version of a folder, a file, or a stream (as a file called `name`).

        Without `tag` or `artifact` the folder's name is the artifact, and the tag its next vN. `inputs`: name → the
        version it was made from. Raises BadInput with the paths that can't be committed, Conflict if the tag names
        another version, NoSpace.
        """
        from artstore.store import commit as service

        metadata = self._metadata(params, metrics, labels, inputs, folder=_folder_of(source))
        said = service.Said(message=message, author=author or identity.author(), metadata=metadata)
        if isinstance(source, str | bytes | os.PathLike):
            return service.commit(
                self.context,
                self.objects,
                os.fsencode(source),
                naming=_naming(tag, artifact, os.fsencode(source)),
                said=said,
                options=options,
                counters=counters,
            )
        if name is None:
            raise UsageError("a stream has no name", hint="give the file's name")
        return service.commit(
            self.context,
            self.objects,
            source,
            naming=_naming(tag, artifact, os.fsencode(name)),
            said=said,
            file_name=_plain_name(name),
            options=options,
            counters=counters,
        )

    def edit(
        self,
        base: Rev,
        *,
        add: Iterable[tuple[AnyPath, AnyPath]] = (),
        remove: Iterable[AnyPath] = (),
        tag: str | None = None,
        artifact: str | None = None,
        message: str = "",
        author: str | None = None,
        params: Mapping[str, Scalar] | None = None,
        metrics: Mapping[str, int | float] | None = None,
        labels: Mapping[str, Scalar] | None = None,
        inputs: Mapping[str, Rev] | None = None,
        options: CommitOptions | None = None,
        counters: Counters | None = None,
    ) -> CommitResult:
        """Make a version from another one: `add` (path in it, local file or folder), `remove` paths of it.

        What is not named is not read. Without a name, the next vN of the base's artifact.
        """
        from artstore.store import commit as service

        found = self.resolve(base)
        ref = found.tag or found.alias
        if tag is None and artifact is None and ref is None:
            raise UsageError("a version id tells no name for the new version", hint="give a tag or an artifact")
        naming = service.Naming(tag, artifact or (artifact_of(ref) if ref is not None and tag is None else None))
        metadata = self._metadata(params, metrics, labels, inputs, folder=None)
        return service.edit(
            self.context,
            self.objects,
            found.version,
            additions=[service.Addition(os.fsencode(path), os.fsencode(local)) for path, local in add],
            removals=[os.fsencode(path) for path in remove],
            naming=naming,
            said=service.Said(message=message, author=author or identity.author(), metadata=metadata),
            options=options,
            counters=counters,
        )

    # --- reading them

    def resolve(self, revision: Rev, *, relative_to: str | None = None) -> Resolved:
        """What a revision means now: resolve once, use the id everywhere.

        Raises NotFound with names that come near, Ambiguous with the candidates, BadName.
        """
        with self.context.index.read() as reader:
            return self._resolve(reader, revision, relative_to)

    def version(self, revision: Rev) -> Version:
        """The document of a version: message, metadata, parents, size."""
        return self.objects.version(self.resolve(revision).version)

    def entry(self, revision: Rev, path: AnyPath = b"") -> Entry:
        """What lies at a path of a version: kind, size, content id. NotFound names the part that is missing."""
        return entry_at(self.objects, self.version(revision), os.fsencode(path))

    def entries(self, revision: Rev, path: AnyPath = b"") -> Iterator[tuple[bytes, Entry]]:
        """(path, entry) of what lies directly in a folder of a version, by name; of a file, the file."""
        path = os.fsencode(path).strip(b"/")
        top = self.entry(revision, path)
        if top.kind != Kind.DIR:
            return iter([(path, top)])
        prefix = path + b"/" if path else b""
        return ((prefix + entry.name, entry) for entry in iter_entries(top.content.value, self.objects.load))

    def walk(self, revision: Rev, path: AnyPath = b"") -> Iterator[tuple[bytes, Entry]]:
        """(path, entry) of everything below a path of a version, folders before what they hold; streams."""
        return walk(self.objects, self.version(revision).tree, os.fsencode(path))

    def open_file(self, revision: Rev, path: AnyPath | None = None) -> VerifiedFile:
        """A file of a version, as a seekable binary file object; every byte is verified. `REV:PATH` works too."""
        found = self.resolve(revision)
        wanted = found.path if path is None else os.fsencode(path)
        if not wanted:
            raise UsageError("which file?", hint="give a path, or write REV:PATH")
        entry = entry_at(self.objects, self.objects.version(found.version), wanted)
        return open_file(self.context, self.objects, entry.content, entry.size)

    def link_target(self, entry: Entry) -> bytes:
        """Where a symbolic link leads."""
        if entry.content.form != Form.SYMLINK:
            raise UsageError("only a symbolic link has a target")
        return entry.content.value

    def checkout(
        self,
        revision: Rev,
        destination: AnyPath,
        *,
        path: AnyPath = b"",
        force: bool = False,
        sync: bool = False,
        workers: int | None = None,
        counters: Counters | None = None,
    ) -> CheckoutResult:
        """Write a version's files to a folder, verified; what already lies there with the right content stays.

        Raises Unsafe before anything is written if a file differs and not `force`.
        """
        from artstore.store.checkout import checkout

        found = self.resolve(revision)
        return checkout(
            self.context,
            self.objects,
            self.objects.version(found.version).tree,
            destination,
            subpath=os.fsencode(path) or found.path or b"",
            force=force,
            workers=workers,
            counters=counters,
            sync=sync,
        )

    def diff(self, before: Rev, after: Rev, path: AnyPath = b"") -> Iterator[Compared]:
        """What changed between two versions, at and below a path; NotFound if neither has it."""
        from artstore.store.compare import diff_versions

        trees = [self.version(revision).tree for revision in (before, after)]
        return diff_versions(self.objects, trees[0], trees[1], os.fsencode(path))

    def diff_folder(
        self,
        revision: Rev,
        folder: AnyPath,
        path: AnyPath = b"",
        *,
        excludes: Iterable[str] = (),
        default_ignores: bool = True,
    ) -> Iterator[Compared]:
        """What a commit of a local folder would change in a version; compared by content, never by time."""
        from artstore.store.compare import diff_folder

        return diff_folder(
            self.objects,
            self.version(revision).tree,
            os.fsencode(folder),
            os.fsencode(path),
            excludes=excludes,
            default_ignores=default_ignores,
        )

    def log(self, revision: Rev | None = None) -> Iterator[LogEntry]:
        """Versions, newest first: those of all tags, or one and its first parents until one was collected."""
        with self.context.index.read() as reader:
            tags = sorted(reader.tags(), key=lambda tag: (tag.created, tag.name))
            aliases = list(reader.aliases())
            start = None if revision is None else self._resolve(reader, revision).version
        names: dict[bytes, tuple[list[str], list[str]]] = {}
        for tag in tags:
            names.setdefault(tag.version, ([], []))[0].append(tag.name)
        for alias in aliases:
            names.setdefault(alias.version, ([], []))[1].append(alias.name)
        ids = self._first_parents(start) if start is not None else dict.fromkeys(tag.version for tag in reversed(tags))
        for id in ids:
            of_tags, of_aliases = names.get(id, ([], []))
            yield LogEntry(Digest(id), self.objects.version(id), tuple(of_tags), tuple(of_aliases))

    def usage(self, revisions: Sequence[Rev] = ()) -> Usage:
        """What versions take on disk, alone and together, among all that have a name and those given."""
        from artstore.store.usage import usage

        wanted = [self.resolve(revision).version for revision in revisions]
        with self.context.index.read() as reader:
            named = [*(tag.version for tag in reader.tags()), *(alias.version for alias in reader.aliases())]
        return usage(self.context, self.objects, [*wanted, *named])

    # --- names

    def tags(self, prefix: str = "") -> list[Tag]:
        """Tags whose names begin so, by name."""
        with self.context.index.read() as reader:
            return list(reader.tags(prefix))

    def aliases(self, prefix: str = "") -> list[Alias]:
        """Aliases whose names begin so, by name."""
        with self.context.index.read() as reader:
            return list(reader.aliases(prefix))

    def refs(self, pattern: str | None = None) -> list[RefRow]:
        """Tags and aliases by name: all, those below an artifact, or those that a pattern with * and ? fits."""
        with self.context.index.read() as reader:
            return list(refs.list_refs(reader, pattern))

    def tag(self, name: str, revision: Rev | None = None) -> TagSet:
        """Give a version (else the newest of the name's artifact) an immutable name. Idempotent; Conflict if taken."""
        with self.context.index.write() as writer:
            wanted = artifact_of(name) if revision is None and "/" in name else revision
            version = self._resolve(writer, wanted if wanted is not None else name).version
            return refs.set_tag(writer, name, version, now=self.context.clock.now_ns())

    def set_alias(self, name: str, revision: Rev, *, expected: Rev | Absent | None = None, reason: str = "") -> Moved:
        """Make an alias or move it; a bare `v4` means the alias's own artifact's.

        `expected` swaps only if it stands there now (ABSENT: if there is none); else Conflict.
        """
        with self.context.index.write() as writer:
            target = self._resolve(writer, revision, name).version
            if expected is not None and not isinstance(expected, Absent):
                expected = self._resolve(writer, expected, name).version
            return refs.set_alias(writer, name, target, if_current=expected, reason=reason, **self._mover())

    def remove_alias(self, name: str, *, reason: str = "") -> Moved:
        """Remove an alias; its history stays."""
        with self.context.index.write() as writer:
            return refs.remove_alias(writer, name, reason=reason, **self._mover())

    def remove_tag(self, name: str) -> Tag:
        """Remove a tag; its name stays reserved, its content stays until nothing leads to it and `gc` runs."""
        with self.context.index.write() as writer:
            return refs.remove_tag(writer, name, now=self.context.clock.now_ns(), who=identity.user())

    def alias_log(self, name: str) -> list[Move]:
        """The moves of an alias, newest first, be it removed by now."""
        with self.context.index.read() as reader:
            return [move for _, move in refs.alias_log(reader, name)]

    def rollback(self, name: str, to: Rev | None = None, *, expected: Rev | None = None, reason: str = "") -> Moved:
        """Move an alias back to where it stood before its newest forward move, and further each time; or `to` there.

        Conflict when there is nowhere to go; never to a version that was rolled back from.
        """
        with self.context.index.write() as writer:
            target = None if to is None else self._resolve(writer, to, name).version
            current = None if expected is None else self._resolve(writer, expected, name).version
            return refs.rollback(writer, name, to=target, if_current=current, reason=reason, **self._mover())

    def rollback_target(self, name: str, to: Rev | None = None) -> Digest:
        """Where `rollback` would go now; errors as `rollback`."""
        with self.context.index.read() as reader:
            target = None if to is None else self._resolve(reader, to, name).version
            return refs.rollback_target(reader, name, to=target).target

    def missing(self, revision: Rev) -> str | None:
        """What a version lacks in this store, in words; None if every pack it needs is here at its full size."""
        version = self.resolve(revision).version
        with self.context.index.read() as reader:
            numbers = reader.version_set(version)
            rows = [] if numbers is None else [reader.pack(number) for number in numbers]
        if numbers is None:
            return "its set is not here"
        for row in rows:
            if row is None:
                return "a pack is not in the index"
            if self.context.packs.size(row.id) != row.size:
                return f"pack {row.id.hex()} is missing or cut short"
        return None

    def name_of(self, version: bytes, beside: str = "") -> str | None:
        """A tag of a version: the newest in the artifact of the ref `beside`, else the newest of all."""
        with self.context.index.read() as reader:
            own = refs.tag_of(reader, version, artifact_of(beside)) if "/" in beside else None
            if own is not None:
                return own
            tags = [tag for tag in reader.tags() if tag.version == version]
        return max(tags, key=lambda tag: (tag.created, tag.name)).name if tags else None

    # --- inside

    def _resolve(self, reader: IndexReader, revision: Rev, relative_to: str | None = None) -> Resolved:
        if isinstance(revision, bytes):
            if reader.version_set(revision) is None:
                raise NotFound(f"version {revision.hex()} is not in this store", hint="`artstore list` shows what is")
            return Resolved(Digest(revision), None, None, None)
        parsed = refs.parse(reader, revision)
        return refs.resolve(reader, parsed, load_version=self.objects.version, relative_to=relative_to)

    def _first_parents(self, start: Digest) -> Iterator[bytes]:
        version: bytes = start
        while True:
            yield version
            parents = self.objects.version(version).parents
            if not parents:
                return
            version = parents[0]
            with self.context.index.read() as reader:
                if reader.version_set(version) is None:
                    return

    def _mover(self) -> _Mover:
        return {"who": identity.user(), "host": identity.host(), "now": self.context.clock.now_ns()}

    def _metadata(
        self,
        params: Mapping[str, Scalar] | None,
        metrics: Mapping[str, int | float] | None,
        labels: Mapping[str, Scalar] | None,
        inputs: Mapping[str, Rev] | None,
        *,
        folder: bytes | None,
    ) -> Metadata:
        from artstore.store import metadata

        return Metadata(
            params=dict(sorted((params or {}).items())),
            metrics=dict(sorted((metrics or {}).items())),
            inputs={key: self.resolve(rev).version.hex() for key, rev in sorted((inputs or {}).items())},
            source={} if folder is None or not _in_work_tree(folder) else metadata.git_source(folder),
            environment=metadata.environment(),
            labels=dict(sorted((labels or {}).items())),
        )


def _folder_of(source: AnyPath | IO[bytes]) -> bytes | None:
    if not isinstance(source, str | bytes | os.PathLike):
        return None
    path = os.path.abspath(os.fsencode(source))
    return path if os.path.isdir(path) else os.path.dirname(path)


def _in_work_tree(folder: bytes) -> bool:
    """Is there a repository to ask? Looking is cheaper than starting git."""
    while not os.path.lexists(os.path.join(folder, b".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return False
        folder = parent
    return True


def _naming(tag: str | None, artifact: str | None, source: bytes) -> Naming:
    from artstore.store.commit import Naming

    if tag is not None:
        if artifact is not None and artifact_of(tag) != artifact:
            raise UsageError(f"the tag {tag} is not of the artifact {artifact}", hint="give one of them")
        return Naming(tag, None)
    if artifact is not None:
        return Naming(None, artifact)
    name = os.path.basename(os.path.abspath(source))
    stem = name if os.path.isdir(source) else name.split(b".", 1)[0] or name
    return Naming(None, artifact_name_from_folder(os.fsdecode(stem)))


def _plain_name(name: str) -> bytes:
    plain = os.fsencode(name)
    if b"/" in plain or plain in (b"", b".", b".."):
        raise UsageError(f"{name!r} is no file name", hint="give a name without folders")
    return plain


if TYPE_CHECKING:
    from typing import TypedDict

    class _Mover(TypedDict):
        who: str
        host: str
        now: int
