"""Making versions: of folders, files and streams, and of other versions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import IO, TYPE_CHECKING

from artstore.errors import UsageError
from artstore.model import Metadata
from artstore.revision import artifact_name_from_folder, artifact_of, check_artifact_name, check_ref_name
from artstore.store import identity
from artstore.store.facade.base import AnyPath, Base, Rev

if TYPE_CHECKING:
    from artstore.model import Digest, Scalar
    from artstore.store.commit import CommitOptions, CommitResult, Naming
    from artstore.store.context import Counters


class Making(Base):
    """What makes versions."""

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
        if tag is not None:
            check_ref_name(tag)
        if artifact is not None:
            check_artifact_name(artifact)
        naming = service.Naming(tag, artifact or (artifact_of(ref) if ref is not None and tag is None else None))
        metadata = self._metadata(params, metrics, labels, inputs, folder=None)
        making = partial(
            service.edit,
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
        return making() if options is not None and options.dry_run else self._edit(found.version, making)

    def _edit(self, base: Digest, making: Callable[[], CommitResult]) -> CommitResult:
        """Make a version from `base`: here, as far as this class knows."""
        del base
        return making()

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
        check_ref_name(tag)
        if artifact is not None and artifact_of(tag) != artifact:
            raise UsageError(f"the tag {tag} is not of the artifact {artifact}", hint="give one of them")
        return Naming(tag, None)
    if artifact is not None:
        return Naming(None, check_artifact_name(artifact))
    name = os.path.basename(os.path.abspath(source))
    stem = name if os.path.isdir(source) else name.split(b".", 1)[0] or name
    return Naming(None, artifact_name_from_folder(os.fsdecode(stem)))


def _plain_name(name: str) -> bytes:
    plain = os.fsencode(name)
    if b"/" in plain or plain in (b"", b".", b".."):
        raise UsageError(f"{name!r} is no file name", hint="give a name without folders")
    return plain
