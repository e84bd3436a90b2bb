"""What every part of the face stands on: the connection, and what a revision leads to."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from artstore.errors import NotFound
from artstore.model import Digest
from artstore.store import refs
from artstore.store.objects import Objects
from artstore.store.refs import Resolved

if TYPE_CHECKING:
    from types import TracebackType

    from artstore.model import Version
    from artstore.ports import IndexReader
    from artstore.store.context import Context

AnyPath = str | bytes | os.PathLike[str]
Rev = str | bytes
"""A revision as text (`llama/v2`, `llama/production@{1}`), or the 32 bytes of a version id."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What opening a store gives; `close` lets go of its files."""

    context: Context
    close: Callable[[], None]


class Base:
    """An opened store, and what its revisions mean."""

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

    def resolve(self, revision: Rev, *, relative_to: str | None = None) -> Resolved:
        """What a revision means now: resolve once, use the id everywhere.

        Raises NotFound with names that come near, Ambiguous with the candidates, BadName; Conflict for a tag that was
        renumbered, until `dismiss`.
        """
        with self.context.index.read() as reader:
            return self.resolve_in(reader, revision, relative_to)

    def version(self, revision: Rev) -> Version:
        """The document of a version: message, metadata, parents, size."""
        return self.objects.version(self.resolve(revision).version)

    def resolve_in(self, reader: IndexReader, revision: Rev, relative_to: str | None = None) -> Resolved:
        """`resolve` within a snapshot or a write transaction."""
        if isinstance(revision, bytes):
            if reader.version_set(revision) is None:
                raise NotFound(f"version {revision.hex()} is not in this store", hint="`artstore list` shows what is")
            return Resolved(Digest(revision), None, None, None)
        parsed = refs.parse(reader, revision)
        return refs.resolve(reader, parsed, load_version=self.objects.version, relative_to=relative_to)
