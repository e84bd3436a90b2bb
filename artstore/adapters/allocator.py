"""Tells glibc's allocator to keep what it has, for the processes whose whole work is chunks: the command, the daemon.

Compressing asks for a buffer for each chunk and gives it back at once. Left alone, glibc maps such blocks from the
kernel and returns them (or trims its heap) each time, so every chunk pays for fresh, zeroed pages: a third of a
commit's time was spent in the kernel, and per-chunk zstd went from 800 to 1190 MiB/s without. The library never does
this by itself: the allocator is the whole process's.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

from artstore import limits

_M_TRIM_THRESHOLD: Final = -1  # <malloc.h>
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8


def keep_freed_memory(*, one_arena: bool = False) -> bool:
    """Serve blocks up to the bound from the heap, and give back only more than the bound at its top.

    `one_arena`: for all threads together. Who frees what other threads allocated, as a mount does, else has each
    arena shrink and grow again: 29,000 page faults for a GiB that was read, 5,000 with one.

    True if the allocator took all. Without glibc (musl, other systems) nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
    mallopt.restype = ctypes.c_int
    mapped = mallopt(_M_MMAP_THRESHOLD, limits.HEAP_BLOCK_BYTES_MAX)
    trimmed = mallopt(_M_TRIM_THRESHOLD, limits.HEAP_KEPT_BYTES_MAX)
    shared = mallopt(_M_ARENA_MAX, 1) if one_arena else 1
    return bool(mapped) and bool(trimmed) and bool(shared)
