"""The allocator is told once, and only where it can be told."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from artstore.adapters import allocator


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these knobs")
def test_glibc_keeps_what_was_freed() -> None:
    """Without it each chunk pays for fresh pages; measured by page faults, in a process of its own."""
    code = """
import resource, sys
from artstore.adapters.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
held = [bytes(1 << 20) for _ in range(8)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(200):
    held = [bytearray(1 << 20) for _ in range(8)]
    del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {
        how: int(subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True, check=True).stdout)
        for how in ("keep", "leave")
    }
    assert faults["keep"] <= faults["leave"]
    assert faults["keep"] < 20_000  # 200 rounds of 8 MiB would be 400,000 pages


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On musl the command must simply run."""
    monkeypatch.setattr("ctypes.CDLL", str)
    assert allocator.keep_freed_memory() is False
    monkeypatch.setattr("sys.platform", "darwin")
    assert allocator.keep_freed_memory() is False
