"""What the operating system's refusals mean to a caller: one total table from errno to the exception tree."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager

from artstore.errors import ArtstoreError, Busy, Corrupt, NoSpace, NotFound, NotPermitted, UsageError

Path = str | bytes | os.PathLike[str]

_FULL = "free some space, or run `artstore gc`"
_TABLE: dict[int, tuple[type[ArtstoreError], str]] = {
    errno.ENOSPC: (NoSpace, _FULL),
    errno.EDQUOT: (NoSpace, "ask for a larger quota, or run `artstore gc`"),
    errno.EFBIG: (NoSpace, "the limit on the size of files is too low; see `ulimit -f`"),
    errno.EACCES: (NotPermitted, "check the owner and the permissions"),
    errno.EPERM: (NotPermitted, "check the owner and the permissions"),
    errno.EROFS: (NotPermitted, "the file system is mounted read-only"),
    errno.ENOENT: (NotFound, "check the path"),
    errno.ENOTDIR: (NotFound, "a part of the path is not a folder"),
    errno.EISDIR: (UsageError, "it is a folder"),
    errno.ELOOP: (UsageError, "too many symbolic links"),
    errno.ENAMETOOLONG: (UsageError, "the name is too long"),
    errno.EIO: (
        Corrupt,
        "the disk reports an error: look at `dmesg`, copy the store to another disk, then run `artstore check --data`",
    ),
    errno.EUCLEAN: (Corrupt, "the file system is damaged: run fsck, then `artstore check --data`"),
    errno.EMFILE: (Busy, "too many files are open; see `ulimit -n`"),
    errno.ENFILE: (Busy, "too many files are open on this machine"),
    errno.ENOMEM: (Busy, "there is not enough memory"),
    errno.EBUSY: (Busy, "try again later"),
    errno.EAGAIN: (Busy, "try again later"),
    errno.ETXTBSY: (Busy, "try again later"),
    errno.ENOLCK: (Busy, "the file system gives no locks; put the store on a local disk"),
    errno.EINTR: (Busy, "try again"),
}


def translate(code: int, *, doing: str, path: Path) -> ArtstoreError:
    """The error to raise for an errno: `doing` is a verb ("write"), `path` what it was done to. Total."""
    kind, hint = _TABLE.get(code, (ArtstoreError, "look at the system's log"))
    return kind(f"can't {doing} {os.fsdecode(path)}: {os.strerror(code)}", hint=hint)


def translated(error: OSError, *, doing: str, path: Path) -> ArtstoreError:
    """`translate` for a caught exception; without an errno it is our own wording of what the library said."""
    if error.errno is None:
        return ArtstoreError(f"can't {doing} {os.fsdecode(path)}: {error}")
    return translate(error.errno, doing=doing, path=path)


@contextmanager
def translating(doing: str, path: Path) -> Generator[None, None, None]:
    """Within it every OSError becomes one of ours."""
    try:
        yield
    except OSError as error:
        raise translated(error, doing=doing, path=path) from error
