"""Versions of large datasets and model binaries: stored once, verified at each read.

    import artstore

    with artstore.Store.open() as store:
        result = store.commit("runs/llama", params={"lr": 3e-4})
        with store.open("llama/v1", "model.safetensors") as file:
            header = file.read(8)

Every name is loaded when it is first used, so that `import artstore` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from artstore._version import VERSION as __version__  # noqa: N811 - the name that Python programs expect

if TYPE_CHECKING:
    from artstore._api import Status, Store
    from artstore._keys import Key, KeyChange
    from artstore._mirrors import MirrorStatus
    from artstore._remotes import RemoteStatus
    from artstore._settings import Setting
    from artstore.errors import (
        Ambiguous,
        ArtstoreError,
        BadInput,
        BadName,
        Busy,
        Conflict,
        Corrupt,
        Erased,
        Interrupted,
        NewerFormat,
        NoSpace,
        NotFound,
        NotPermitted,
        RemoteError,
        Unsafe,
        UsageError,
    )
    from artstore.model import Alias, Digest, Entry, Kind, Metadata, Move, RemotePlace, Tag, Version
    from artstore.planning.diff import Change, ChangeKind
    from artstore.planning.retention import Policy, RetentionPlan
    from artstore.store.checkout import CheckoutResult
    from artstore.store.collect import GcPlan, GcResult, UndoResult
    from artstore.store.commit import CommitOptions, CommitResult
    from artstore.store.compare import Compared
    from artstore.store.content import VerifiedFile
    from artstore.store.context import Counters
    from artstore.store.facade import LogEntry
    from artstore.store.purge import PurgePlan, PurgeResult
    from artstore.store.refs import ABSENT, Moved, RefRow, Resolved, TagSet
    from artstore.store.remote.selftest import RemoteFinding
    from artstore.store.remove import Removal
    from artstore.store.usage import Usage, VersionUsage

__all__ = [
    "ABSENT",
    "Alias",
    "Ambiguous",
    "ArtstoreError",
    "BadInput",
    "BadName",
    "Busy",
    "Change",
    "ChangeKind",
    "CheckoutResult",
    "CommitOptions",
    "CommitResult",
    "Compared",
    "Conflict",
    "Corrupt",
    "Counters",
    "Digest",
    "Entry",
    "Erased",
    "GcPlan",
    "GcResult",
    "Interrupted",
    "Key",
    "KeyChange",
    "Kind",
    "LogEntry",
    "Metadata",
    "MirrorStatus",
    "Move",
    "Moved",
    "NewerFormat",
    "NoSpace",
    "NotFound",
    "NotPermitted",
    "Policy",
    "PurgePlan",
    "PurgeResult",
    "RefRow",
    "RemoteError",
    "RemoteFinding",
    "RemotePlace",
    "RemoteStatus",
    "Removal",
    "Resolved",
    "RetentionPlan",
    "Setting",
    "Status",
    "Store",
    "Tag",
    "TagSet",
    "UndoResult",
    "Unsafe",
    "Usage",
    "UsageError",
    "VerifiedFile",
    "Version",
    "VersionUsage",
    "__version__",
]

_HOMES: Final = {
    "artstore._api": "Status Store",
    "artstore._keys": "Key KeyChange",
    "artstore._settings": "Setting",
    "artstore._mirrors": "MirrorStatus",
    "artstore._remotes": "RemoteStatus",
    "artstore.errors": (
        "Ambiguous ArtstoreError BadInput BadName Busy Conflict Corrupt Erased Interrupted NewerFormat "
        "NoSpace NotFound NotPermitted RemoteError Unsafe UsageError"
    ),
    "artstore.model": "Alias Digest Entry Kind Metadata Move RemotePlace Tag Version",
    "artstore.planning.diff": "Change ChangeKind",
    "artstore.planning.retention": "Policy RetentionPlan",
    "artstore.store.checkout": "CheckoutResult",
    "artstore.store.collect": "GcPlan GcResult UndoResult",
    "artstore.store.commit": "CommitOptions CommitResult",
    "artstore.store.compare": "Compared",
    "artstore.store.content": "VerifiedFile",
    "artstore.store.context": "Counters",
    "artstore.store.facade": "LogEntry",
    "artstore.store.purge": "PurgePlan PurgeResult",
    "artstore.store.refs": "ABSENT Moved RefRow Resolved TagSet",
    "artstore.store.remote.selftest": "RemoteFinding",
    "artstore.store.remove": "Removal",
    "artstore.store.usage": "Usage VersionUsage",
}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
