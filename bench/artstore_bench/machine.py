"""The machine in words: what a reader has to know before comparing figures."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from artstore_bench.command import Toolbox

_GIB = 1 << 30


def describe(folder: Path) -> dict[str, str]:
    """CPU, memory, the disk that `folder` lies on, kernel, system, Python, and the load at this moment."""
    return {
        "cpu": _cpu(),
        "cores": f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / _GIB:.1f} GiB",
        "disk": _disk(folder),
        "system": _system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _cpu() -> str:
    """The first of the names by which the architectures' kernels call their processors."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    names = (fields.get(key) for key in ("model name", "Model", "CPU implementer"))
    return next(filter(None, names), platform.processor() or "unknown")


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _disk(folder: Path) -> str:
    """File system, its device, and whether that turns; an overlay or network name is as good as it gets."""
    existing = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    tools = Toolbox(folder)
    line = tools.first_line(["findmnt", "--noheadings", "--raw", "--output", "FSTYPE,SOURCE", "-T", str(existing)])
    if line is None:
        return "unknown"
    device = line.rsplit("/", maxsplit=1)[-1].rstrip("0123456789")
    turning = Path("/sys/block", device, "queue", "rotational")
    kind = {"0": " (no seeks)", "1": " (rotational, or virtual)"}
    return line + (kind.get(turning.read_text().strip(), "") if turning.exists() else "")
