"""How fast does the native kernel find the cuts, on one core?"""

from __future__ import annotations

import os
import resource
import time
from array import array
from typing import Final

import numpy as np

from artstore_bench.launch import busy_seconds
from artstore_bench.method import others_share
from artstore_bench.results import Run

BUFFER_BYTES: Final = 256 << 20


def ask(repetition: int, buffer_bytes: int = BUFFER_BYTES) -> Run:
    """Cut a buffer of random bytes once, in this thread; the buffer is in memory and was touched."""
    from artstore.chunking import cut

    data = np.random.PCG64(7).random_raw(buffer_bytes // 8).tobytes()
    before, busy, began = os.times(), busy_seconds(), time.perf_counter()
    cut(data, 0, len(data), array("Q"), base=0, final=True)
    wall_s, others_s, after = time.perf_counter() - began, busy_seconds() - busy, os.times()
    user_s, system_s = after.user - before.user, after.system - before.system
    return Run(
        corpus="kernel",
        question="kernel",
        tool="artstore",
        repetition=repetition,
        wall_s=wall_s,
        user_s=user_s,
        system_s=system_s,
        rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        others_share=others_share(others_s - user_s - system_s, wall_s),
        input_bytes=len(data),
    )
