"""What `--json` prints, one document per command, each with its schema's name; docs/cli.md is written from here.

Sizes are bytes, times RFC 3339 in UTC, ids hex. Fields are only ever added within one schema.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Scalar = str | int | float | bool | None

Id = Annotated[str, Meta(description="Version id.")]
Bytes = Annotated[int, Meta(description="Bytes of all files.")]
Files = Annotated[int, Meta(description="Files and symbolic links.")]
Seconds = Annotated[float, Meta(description="How long it took.")]
Path = Annotated[str, Meta(description="Path in the version; a byte that is not UTF-8 is written \\xNN.")]
RawPath = Annotated[str | None, Meta(description="Base64 of the path's bytes when they are not UTF-8, else null.")]
Time = Annotated[str, Meta(description="When.")]


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all of them."""


class InitDocument(Document, frozen=True, kw_only=True):
    """A store was created."""

    schema: Literal["artstore/init/v1"] = "artstore/init/v1"
    store: Annotated[str, Meta(description="Its folder.")]
    id: Annotated[str, Meta(description="The store's id.")]
    shared: Annotated[str | None, Meta(description="The group that may write, or null.")]


class CommitDocument(Document, frozen=True, kw_only=True):
    """A version was made, or nothing had changed."""

    schema: Literal["artstore/commit/v1"] = "artstore/commit/v1"
    ref: Annotated[str | None, Meta(description="Its tag; null in a dry run.")]
    version: Annotated[str | None, Meta(description="Its id; null in a dry run.")]
    parent: Annotated[str | None, Meta(description="Id of the version before, or null.")]
    files: Files
    bytes: Bytes
    new_bytes: Annotated[int, Meta(description="Bytes that the store did not have.")]
    stored_bytes: Annotated[int, Meta(description="What these take in the store, compressed.")]
    unchanged: Annotated[bool, Meta(description="True: content and metadata are those of the version before.")]
    dry_run: bool
    ignored: Annotated[int, Meta(description="Files and folders left out by ignore rules.")]
    skipped: Annotated[list[str], Meta(description="Paths left out by --skip-unreadable.")]
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


class RefItem(Document, frozen=True, kw_only=True):
    """A tag or an alias."""

    name: str
    kind: Literal["tag", "alias"]
    version: Id
    created: Annotated[str, Meta(description="When the tag was made, or the alias last moved.")]
    files: Files
    bytes: Bytes


class ListHead(Document, frozen=True, kw_only=True):
    """Head of a list."""

    schema: Literal["artstore/list/v1"] = "artstore/list/v1"


class ListDocument(ListHead, frozen=True, kw_only=True):
    """Tags and aliases, by name."""

    refs: list[RefItem]


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


class StatusDocument(Document, frozen=True, kw_only=True):
    """The store on one screen."""

    schema: Literal["artstore/status/v1"] = "artstore/status/v1"
    store: str
    id: str
    shared: Annotated[str | None, Meta(description="The group that may write, or null.")]
    tags: int
    aliases: int
    packs: int
    stored_bytes: Annotated[int, Meta(description="Bytes of all packs.")]
    condemned_bytes: Annotated[int, Meta(description="Bytes of packs that gc will free; `gc --undo` keeps them.")]
    disk_free_bytes: int
    sessions: Annotated[int, Meta(description="Commits and other writers that run now.")]
    newest: Annotated[str | None, Meta(description="The newest tag.")]
    remote: Annotated[None, Meta(description="null: no remote is set up.")]
    daemon: Annotated[None, Meta(description="null: no daemon runs.")]


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


class ResolveDocument(Document, frozen=True, kw_only=True):
    """What a revision means now."""

    schema: Literal["artstore/resolve/v1"] = "artstore/resolve/v1"
    revision: str
    version: Id
    ref: Annotated[str | None, Meta(description="The tag or alias it was found by, or null.")]


class TagDocument(Document, frozen=True, kw_only=True):
    """A version got a tag."""

    schema: Literal["artstore/tag/v1"] = "artstore/tag/v1"
    tag: str
    version: Id
    created: Time


class MoveItem(Document, frozen=True, kw_only=True):
    """One move of an alias."""

    seq: int
    source: Annotated[str | None, Meta(description="Version id it came from; null at first.")]
    target: Annotated[str | None, Meta(description="Version id it went to; null when it was removed.")]
    time: Time
    who: str
    host: str
    reason: str
    rollback: bool


class AliasDocument(Document, frozen=True, kw_only=True):
    """An alias was moved, or stood there already."""

    schema: Literal["artstore/alias-set/v1"] = "artstore/alias-set/v1"
    alias: str
    source: Annotated[str | None, Meta(description="Version id it stood on; null when it is new.")]
    target: Annotated[str, Meta(description="Version id it stands on.")]
    seq: int
    changed: bool


class AliasLogDocument(Document, frozen=True, kw_only=True):
    """The history of an alias, newest first."""

    schema: Literal["artstore/alias-log/v1"] = "artstore/alias-log/v1"
    alias: str
    moves: list[MoveItem]


class AliasItem(Document, frozen=True, kw_only=True):
    """Where an alias stands."""

    alias: str
    version: Id
    tag: Annotated[str | None, Meta(description="A tag of that version.")]
    seq: int


class AliasListDocument(Document, frozen=True, kw_only=True):
    """Aliases, by name."""

    schema: Literal["artstore/alias-list/v1"] = "artstore/alias-list/v1"
    aliases: list[AliasItem]


class RollbackDocument(Document, frozen=True, kw_only=True):
    """An alias went back to where it stood, or would go."""

    schema: Literal["artstore/rollback/v1"] = "artstore/rollback/v1"
    alias: str
    source: Annotated[str, Meta(description="A tag of the version it was at, or its id.")] = msgspec.field(name="from")
    target: Annotated[str, Meta(description="A tag of the version it went to, or its id.")] = msgspec.field(name="to")
    version: Id
    moved: Annotated[bool, Meta(description="False with --check.")]
    complete: Annotated[bool | None, Meta(description="With --check: is all of the target in this store? Else null.")]


class RmDocument(Document, frozen=True, kw_only=True):
    """Names were removed."""

    schema: Literal["artstore/rm/v1"] = "artstore/rm/v1"
    removed: list[str]
    unnamed: Annotated[list[str], Meta(description="Ids of versions that have no name left; `gc` frees them.")]


class GoingItem(Document, frozen=True, kw_only=True):
    """A version that collection frees."""

    version: Id
    tags: Annotated[list[str], Meta(description="Names it had.")]
    created: Annotated[str | None, Meta(description="When it was made; null if its document can't be read.")]
    files: Files
    bytes: Bytes
    paths: Annotated[list[str], Meta(description="The topmost paths that no version which stays has.")]
    paths_more: Annotated[bool, Meta(description="True: there are more paths than are listed.")]


class FreedItem(Document, frozen=True, kw_only=True):
    """Bytes that become free later."""

    at: Annotated[str, Meta(description="From when on a gc frees them.")]
    bytes: int


class GcDocument(Document, frozen=True, kw_only=True):
    """What a collection frees, or would free."""

    schema: Literal["artstore/gc/v1"] = "artstore/gc/v1"
    done: Annotated[bool, Meta(description="False: this is a plan, nothing was changed.")]
    removed_tags: Annotated[list[str], Meta(description="Tags that the retention rules let go.")]
    versions: list[GoingItem]
    young: Annotated[int, Meta(description="Versions without a name that stay: they are younger than 7 days.")]
    freed_bytes: Annotated[int, Meta(description="Freed now.")]
    freed_later: list[FreedItem]
    waiting_bytes: Annotated[int, Meta(description="Free as soon as running commits have ended.")]
    repacked_bytes: Annotated[int, Meta(description="Part of it that is won by rewriting mostly dead packs.")]
    notes: Annotated[list[str], Meta(description="What could not be done, and why.")]


class LostItem(Document, frozen=True, kw_only=True):
    """A name that can't be brought back."""

    name: str
    why: str


class UndoDocument(Document, frozen=True, kw_only=True):
    """What `gc --undo` brought back."""

    schema: Literal["artstore/gc-undo/v1"] = "artstore/gc-undo/v1"
    tags: list[str]
    aliases: list[str]
    versions: Annotated[list[str], Meta(description="Ids of versions that had been collected.")]
    revived_bytes: int
    lost: list[LostItem]


class PlaceItem(Document, frozen=True, kw_only=True):
    """A path in a version."""

    version: Id
    path: Path


class PurgeDocument(Document, frozen=True, kw_only=True):
    """Content was erased, or would be."""

    schema: Literal["artstore/purge/v1"] = "artstore/purge/v1"
    done: Annotated[bool, Meta(description="False: this is a plan, nothing was erased.")]
    path: Path
    places: Annotated[list[PlaceItem], Meta(description="Where the path was found.")]
    chunks: Annotated[int, Meta(description="Chunks erased for good.")]
    bytes: Annotated[int, Meta(description="Their bytes, uncompressed.")]
    kept_chunks: Annotated[int, Meta(description="Chunks kept, since other paths use them.")]
    kept_bytes: int
    sharers: Annotated[list[PlaceItem], Meta(description="Some of these other paths.")]
    freed_bytes: Annotated[int, Meta(description="Bytes that the store got smaller by.")]


class HurtItem(Document, frozen=True, kw_only=True):
    """A path that can't be read."""

    version: Id
    path: Annotated[str, Meta(description="Empty: the whole version.")]
    refs: Annotated[list[str], Meta(description="Names that lead to the version.")]


class ProblemItem(Document, frozen=True, kw_only=True):
    """One thing that is wrong."""

    kind: str
    message: str
    pack: str | None
    object: Annotated[str | None, Meta(description="Id of the damaged object, or null.")]
    hurt: list[HurtItem]
    hurt_more: int


class RebuildItem(Document, frozen=True, kw_only=True):
    """What a new index knows."""

    packs: int
    objects: int
    versions: int
    refs: int
    unreadable: Annotated[list[str], Meta(description="Packs in which nothing was found; their files stay.")]
    hurt: Annotated[list[HurtItem], Meta(description="What can't be read of versions that have a name.")]
    notes: list[str]


class RepairItem(Document, frozen=True, kw_only=True):
    """What a repair did."""

    packs_rewritten: int
    packs_dropped: int
    quarantined: Annotated[int, Meta(description="Damaged copies taken out of use.")]
    lost: Annotated[
        list[str], Meta(description="Ids without another copy; a commit that meets them stores them again.")
    ]
    lost_more: int
    hurt: Annotated[list[HurtItem], Meta(description="What can't be read until then.")]
    refs_restored: int
    remaining: Annotated[list[ProblemItem], Meta(description="What a repair can't mend.")]
    needs_rebuild: Annotated[bool, Meta(description="True: run check --rebuild-index.")]


class CheckDocument(Document, frozen=True, kw_only=True):
    """What a check looked at, and what is wrong."""

    schema: Literal["artstore/check/v1"] = "artstore/check/v1"
    sound: bool
    data: Annotated[bool, Meta(description="True: chunks were read and verified, not the structure alone.")]
    finished: Annotated[bool, Meta(description="False: time ran out; the next check goes on from there.")]
    resumed: bool
    packs: int
    objects: int
    bytes: int
    versions: int
    refs: int
    leftovers: Annotated[int, Meta(description="Packs of killed commands; harmless, gc removes them.")]
    problems: list[ProblemItem]
    problems_more: int
    rebuild: Annotated[RebuildItem | None, Meta(description="What --rebuild-index found, else null.")]
    repair: Annotated[RepairItem | None, Meta(description="What --repair did, else null.")]
    seconds: Seconds


class ConfigItem(Document, frozen=True, kw_only=True):
    """One setting."""

    key: str
    value: Scalar
    default: Scalar
    about: str


class ConfigDocument(Document, frozen=True, kw_only=True):
    """Settings of the store."""

    schema: Literal["artstore/config/v1"] = "artstore/config/v1"
    store: str
    settings: list[ConfigItem]


class FindingItem(Document, frozen=True, kw_only=True):
    """One thing that doctor looked at."""

    name: str
    state: Literal["ok", "warning", "problem", "absent"]
    found: str
    hint: Annotated[str | None, Meta(description="What mends it, or null.")]


class DoctorDocument(Document, frozen=True, kw_only=True):
    """This machine and store."""

    schema: Literal["artstore/doctor/v1"] = "artstore/doctor/v1"
    findings: list[FindingItem]
