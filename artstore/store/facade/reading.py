"""Reading versions: their documents, files and folders, what changed between them, what they take."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore.errors import NotFound, UsageError
from artstore.format.tree import iter_entries
from artstore.model import Digest, Form, Kind
from artstore.store.facade.base import AnyPath, Base, Rev
from artstore.store.read import entry_at, open_file, walk

if TYPE_CHECKING:
    from artstore.model import Entry, Version
    from artstore.store.checkout import CheckoutResult
    from artstore.store.compare import Compared
    from artstore.store.content import VerifiedFile
    from artstore.store.context import Counters
    from artstore.store.usage import Usage


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A version with the names it has now: tags oldest first, aliases by name."""

    id: Digest
    version: Version
    tags: tuple[str, ...]
    aliases: tuple[str, ...]


class Reading(Base):
    """What reads versions."""

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
            start = None if revision is None else self.resolve_in(reader, revision).version
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

    def is_here(self, revision: Rev) -> bool:
        """Can a version be read without a remote, as far as the index knows?"""
        from artstore.store.partial import is_partial

        version = self.resolve(revision).version
        with self.context.index.read() as reader:
            return reader.version_set(version) is not None and not is_partial(reader, version)

    def removed(self, name: str) -> Version | None:
        """The version that a removed tag named; None if there was no such tag, or the version is gone, too."""
        from artstore.store.names import removed_tag

        with self.context.index.read() as reader:
            id = removed_tag(reader, name)
        try:
            return None if id is None else self.version(id.hex())
        except NotFound:
            return None

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
