from typing import Final

from typing_extensions import Buffer

CHUNK_MIN: Final[int]
CHUNK_TARGET: Final[int]
CHUNK_MAX: Final[int]

def cut(data: Buffer, offset: int, end: int, starts: Buffer, *, base: int, final: bool) -> bytes: ...
