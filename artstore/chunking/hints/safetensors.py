"""safetensors: a JSON header that gives each tensor's place in the data behind it.

    0  8  N, length of the header      8  N  {"name": {"dtype": …, "shape": …, "data_offsets": [begin, end]}, …}
    8 + N  data

The header is searched for the offsets, not parsed: it may hold a hundred thousand tensors. A quoted text that only
looks like an offset has its quotes escaped and doesn't match. Source: github.com/huggingface/safetensors.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from artstore.chunking.hints.headers import Headers, Starts

_BEGIN: Final = re.compile(rb'"data_offsets"\s*:\s*\[\s*(\d{1,18})\s*,')


def find(headers: Headers, starts: Starts) -> None:
    """Adds where each tensor begins."""
    length = int.from_bytes(headers.read(0, 8), "little")
    for match in _BEGIN.finditer(headers.read(8, length)):
        starts.add(8 + length + int(match[1]))
