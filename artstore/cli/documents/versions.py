"""Documents about versions and their files: made, listed, compared, written out."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from artstore.cli.documents.base import Bytes, Document, Files, Id, Path, RawPath, Scalar, Seconds, Time


class CommitDocument(Document, frozen=True, kw_only=True):
    """A version was made, or nothing had changed."""

    schema: Literal["artstore/commit/v1"] = "artstore/commit/v1"
    ref: Annotated[str | None, Meta(description="Its tag; null in a dry run.")]
    version: Annotated[str | None, Meta(description="Its id; null in a dry run.")]
    parent: Annotated[str | None, Meta(description="Id of its first parent, or null.")]
    files: Files
    bytes: Bytes
    new_bytes: Annotated[int, Meta(description="Bytes that the store did not have.")]
    stored_bytes: Annotated[int, Meta(description="What these take in the store, compressed.")]
    unchanged: Annotated[bool, Meta(description="True: content and metadata are those of the version before.")]
    dry_run: bool
    ignored: Annotated[int, Meta(description="Files and folders left out by ignore rules.")]
    skipped: Annotated[list[str], Meta(description="Paths left out by --skip-unreadable.")]
    changed: Annotated[
        list[str], Meta(description="Paths in it that changed while they were read: the first 100 of them.")
    ]
    seconds: Seconds


class IgnoreItem(Document, frozen=True, kw_only=True):
    """One path asked about."""

    path: str
    ignored: bool
    rule: Annotated[str | None, Meta(description="The rule that decided, or null when none matches.")]
    origin: Annotated[str | None, Meta(description="Where the rule stands: FILE:LINE, `--exclude` or `built in`.")]


class IgnoreDocument(Document, frozen=True, kw_only=True):
    """Which rule leaves a path out."""

    schema: Literal["artstore/check-ignore/v1"] = "artstore/check-ignore/v1"
    paths: list[IgnoreItem]


class VersionItem(Document, frozen=True, kw_only=True):
    """One version."""

    version: Id
    tags: Annotated[list[str], Meta(description="Its tags, oldest first.")]
    aliases: Annotated[list[str], Meta(description="Aliases that stand on it now.")]
    parents: Annotated[list[str], Meta(description="Ids of the versions it came from; they may be collected.")]
    created: Time
    author: str
    message: str
    files: Files
    bytes: Bytes
    params: dict[str, Scalar]
    metrics: dict[str, int | float]
    labels: dict[str, Scalar]


class LogHead(Document, frozen=True, kw_only=True):
    """Head of a log."""

    schema: Literal["artstore/log/v1"] = "artstore/log/v1"


class LogDocument(LogHead, frozen=True, kw_only=True):
    """Versions, newest first."""

    versions: list[VersionItem]


class ShowDocument(VersionItem, frozen=True, kw_only=True):
    """Everything recorded about one version."""

    schema: Literal["artstore/show/v1"] = "artstore/show/v1"
    tree: Annotated[str, Meta(description="Id of its tree: equal content has equal trees.")]
    inputs: Annotated[dict[str, str], Meta(description="Name → id of the version it was made from.")]
    source: Annotated[dict[str, Scalar], Meta(description="The code it was made by.")]
    environment: dict[str, Scalar]


class EntryItem(Document, frozen=True, kw_only=True):
    """A file, a link or a folder."""

    path: Path
    raw: RawPath
    kind: Literal["file", "exec", "symlink", "dir"]
    bytes: Bytes
    files: Files
    target: Annotated[str | None, Meta(description="Where a symbolic link leads, else null.")]
    id: Annotated[str | None, Meta(description="Hash of the content: chunk, recipe or tree; null for none.")]


class LsHead(Document, frozen=True, kw_only=True):
    """Head of a listing."""

    schema: Literal["artstore/ls/v1"] = "artstore/ls/v1"
    version: Id
    path: Path


class LsDocument(LsHead, frozen=True, kw_only=True):
    """Files of a version, by path."""

    entries: list[EntryItem]


class ChangeItem(Document, frozen=True, kw_only=True):
    """One difference."""

    change: Literal["added", "removed", "modified", "renamed", "retyped"]
    path: Path
    raw: RawPath
    source: Annotated[str | None, Meta(description="The former path of something renamed, else null.")]
    bytes_before: Annotated[int | None, Meta(description="Size on the left side, or null.")]
    bytes_after: Annotated[int | None, Meta(description="Size on the right side, or null.")]
    shared_bytes: Annotated[int | None, Meta(description="Bytes of a modified file that both sides share, or null.")]


class DiffHead(Document, frozen=True, kw_only=True):
    """Head of a comparison."""

    schema: Literal["artstore/diff/v1"] = "artstore/diff/v1"
    before: Annotated[str, Meta(description="Version id of the left side.")]
    after: Annotated[str, Meta(description="Version id of the right side, or the folder.")]


class DiffDocument(DiffHead, frozen=True, kw_only=True):
    """What changed, by path."""

    changes: list[ChangeItem]


class UsageItem(Document, frozen=True, kw_only=True):
    """What one version takes."""

    version: Id
    ref: Annotated[str | None, Meta(description="A name of it.")]
    bytes: Bytes
    exclusive_bytes: Annotated[int, Meta(description="Stored bytes that only this version needs.")]
    shared_bytes: Annotated[int, Meta(description="Stored bytes that others need too.")]


class DuDocument(Document, frozen=True, kw_only=True):
    """What versions take in the store."""

    schema: Literal["artstore/du/v1"] = "artstore/du/v1"
    versions: list[UsageItem]
    bytes: Annotated[int, Meta(description="Bytes of all versions that have a name, each counted in full.")]
    stored_bytes: Annotated[int, Meta(description="Stored bytes that these need together.")]


class CheckoutDocument(Document, frozen=True, kw_only=True):
    """Files were written."""

    schema: Literal["artstore/checkout/v1"] = "artstore/checkout/v1"
    version: Id
    path: Annotated[str, Meta(description="The folder or file that was written.")]
    files: Files
    bytes: Bytes
    written_bytes: Annotated[int, Meta(description="Bytes that were not there already.")]
    reused_files: Annotated[int, Meta(description="Files that were there already, verified.")]
    seconds: Seconds


class PathDocument(Document, frozen=True, kw_only=True):
    """Where a version stands in the mount."""

    schema: Literal["artstore/path/v1"] = "artstore/path/v1"
    version: Id
    path: Annotated[str, Meta(description="What is there never changes.")]
