"""Versions of large datasets and model binaries: stored once, verified at each read.

    import artstore

    with artstore.Store.open() as store:
        result = store.commit("runs/llama", params={"lr": 3e-4})
        with store.open("llama/v1", "model.safetensors") as file:
            header = file.read(8)

Every name is loaded when it is first used, so that `import artstore` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artstore._api import (
        ABSENT,
        Alias,
        Ambiguous,
        ArtstoreError,
        BadInput,
        BadName,
        Busy,
        Change,
        ChangeKind,
        CheckoutResult,
        CommitOptions,
        CommitResult,
        Compared,
        Conflict,
        Corrupt,
        Counters,
        Digest,
        Entry,
        Erased,
        Interrupted,
        Kind,
        LogEntry,
        Metadata,
        Move,
        Moved,
        NewerFormat,
        NoSpace,
        NotFound,
        NotPermitted,
        RefRow,
        RemoteError,
        Resolved,
        Setting,
        Status,
        Store,
        Tag,
        TagSet,
        Unsafe,
        Usage,
        UsageError,
        VerifiedFile,
        Version,
        VersionUsage,
    )

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
    "Interrupted",
    "Kind",
    "LogEntry",
    "Metadata",
    "Move",
    "Moved",
    "NewerFormat",
    "NoSpace",
    "NotFound",
    "NotPermitted",
    "RefRow",
    "RemoteError",
    "Resolved",
    "Setting",
    "Status",
    "Store",
    "Tag",
    "TagSet",
    "Unsafe",
    "Usage",
    "UsageError",
    "VerifiedFile",
    "Version",
    "VersionUsage",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("artstore")
    if name in __all__:
        from artstore import _api

        value: object = getattr(_api, name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
