"""What `stat` tells of something, and who owns it: values, and the one rule that makes modes."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import Final, NamedTuple

from artstore.model import Kind

_MODES: Final = {
    Kind.FILE: stat.S_IFREG | 0o444,
    Kind.EXEC: stat.S_IFREG | 0o555,
    Kind.SYMLINK: stat.S_IFLNK | 0o777,
    Kind.DIR: stat.S_IFDIR | 0o555,
}


class Attributes(NamedTuple):
    """What `stat` tells. `size` in bytes, 0 for a folder; `lasting`: the kernel may keep it, and its name, for ever.

    A tuple, since a listing makes one for every file.
    """

    inode: int
    mode: int
    size: int
    nlink: int
    mtime_ns: int
    uid: int
    gid: int
    lasting: bool


@dataclass(frozen=True, slots=True)
class Statistics:
    """What `statfs` tells; `blocks` and `free` count blocks of `block_size` bytes."""

    blocks: int
    free: int
    files: int
    name_max: int
    block_size: int


@dataclass(frozen=True, slots=True)
class Ownership:
    """To whom everything belongs, and the rights taken away from all."""

    uid: int
    gid: int
    umask: int

    def mode(self, kind: int) -> int:
        """Type and rights of a kind of entry; those of a symbolic link say nothing."""
        mode = _MODES[Kind(kind)]
        return mode if kind == Kind.SYMLINK else mode & ~self.umask
