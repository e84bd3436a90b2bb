"""What the operating system refuses while files outside of the store are read or written, in our words."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from artstore.errors import ArtstoreError, Busy, NoSpace, NotFound, NotPermitted, Unsafe

if TYPE_CHECKING:
    from collections.abc import Mapping

# errno → (error, what happened, what to do next)
_TABLE: Final[Mapping[int, tuple[type[ArtstoreError], str, str | None]]] = {
    errno.ENOSPC: (NoSpace, "no space is left", "free some space and run the command again: it goes on where it ended"),
    errno.EDQUOT: (NoSpace, "the quota is used up", "free some space and run the command again"),
    errno.EFBIG: (NoSpace, "the file is larger than its file system allows", None),
    errno.EACCES: (NotPermitted, "access is denied", None),
    errno.EPERM: (NotPermitted, "the operation is not permitted", None),
    errno.EROFS: (NotPermitted, "the file system is read-only", None),
    errno.ENAMETOOLONG: (NotPermitted, "the name is too long for this file system", None),
    errno.EILSEQ: (NotPermitted, "this file system can't hold such a name", None),
    errno.EINVAL: (NotPermitted, "this file system refuses", None),
    errno.ENOENT: (NotFound, "it does not exist", None),
    errno.ENOTDIR: (Unsafe, "something that is not a folder stands where a folder should be", None),
    errno.ELOOP: (Unsafe, "a symbolic link stands where a file or folder should be", None),
    errno.EISDIR: (Unsafe, "a folder stands where a file should be", "move it away"),
    errno.EEXIST: (Unsafe, "something appeared there meanwhile", "run the command again"),
    errno.ENOTEMPTY: (Unsafe, "a folder that is not empty stands where a file should be", "move it away"),
    errno.EBUSY: (Busy, "it is in use", None),
    errno.EMFILE: (Busy, "too many files are open", "raise `ulimit -n`"),
    errno.ENFILE: (Busy, "too many files are open on this machine", None),
    errno.EIO: (NotPermitted, "the disk failed to answer (I/O error)", "look into the system's log"),
}


def translate(error: OSError, doing: str, path: bytes) -> ArtstoreError:
    """The error of ours for one of the system's: `doing` is a verb, as in "can't write"."""
    kind, happened, hint = _TABLE.get(error.errno or 0, (NotPermitted, error.strerror or str(error), None))
    return kind(f"can't {doing} {path.decode(errors='backslashreplace')!r}: {happened}", hint=hint)
