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
        Alias,
        Ambiguous,
        ArtstoreError,
        BadInput,
        BadName,
        Busy,
        Change,
        CheckoutResult,
        CommitOptions,
        CommitResult,
        Conflict,
        Corrupt,
        Counters,
        Digest,
        Entry,
        Erased,
        Interrupted,
        Metadata,
        Move,
        NewerFormat,
        NoSpace,
        NotFound,
        NotPermitted,
        RemoteError,
        Store,
        Tag,
        Unsafe,
        UsageError,
        VerifiedFile,
        Version,
    )

__all__ = [
    "Alias",
    "Ambiguous",
    "ArtstoreError",
    "BadInput",
    "BadName",
    "Busy",
    "Change",
    "CheckoutResult",
    "CommitOptions",
    "CommitResult",
    "Conflict",
    "Corrupt",
    "Counters",
    "Digest",
    "Entry",
    "Erased",
    "Interrupted",
    "Metadata",
    "Move",
    "NewerFormat",
    "NoSpace",
    "NotFound",
    "NotPermitted",
    "RemoteError",
    "Store",
    "Tag",
    "Unsafe",
    "UsageError",
    "VerifiedFile",
    "Version",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - it costs 20 ms; see the module's docstring

        return version("artstore")
    if name in __all__:
        from artstore import _api  # noqa: PLC0415 - the whole engine is behind it

        value: object = getattr(_api, name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
