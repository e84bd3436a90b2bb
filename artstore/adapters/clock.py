"""The machine's clock."""

from __future__ import annotations

import time


class SystemClock:
    """Wall-clock time, UTC; it may be wrong and may step back, so no order is read from it alone."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return time.time_ns()
