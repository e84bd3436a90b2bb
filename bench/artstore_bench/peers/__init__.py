"""The tools that are measured, each behind the same Protocol; artstore is one of them."""

from __future__ import annotations

from typing import Final

from artstore_bench.command import Toolbox
from artstore_bench.peers._port import KnowsData, Mountable, Peer
from artstore_bench.peers.artstore import Artstore, Encrypted
from artstore_bench.peers.borg import Borg
from artstore_bench.peers.casync import Casync
from artstore_bench.peers.dvc import Dvc
from artstore_bench.peers.git_lfs import GitLfs
from artstore_bench.peers.hf_xet import HfXet
from artstore_bench.peers.plain import Copy, Folder, TarZstd
from artstore_bench.peers.restic import Restic
from artstore_bench.peers.squashfuse import SquashFuse

__all__ = [
    "ALL_NAMES",
    "MOUNT_NAMES",
    "NAMES",
    "REMOTE_NAMES",
    "SUBJECT",
    "KnowsData",
    "Mountable",
    "Peer",
    "mountables",
    "peers",
]

SUBJECT: Final = "artstore"
NAMES: Final = ("encrypted", "restic", "borg", "casync", "dvc", "git-lfs", "hf-xet", "tar-zstd", "cp")
# Whose mounts are compared.
MOUNT_NAMES: Final = ("encrypted", "squashfuse_ll", "borg", "restic", "plain")
# What moves data to a remote and back; `remotes/tools.py` drives them.
REMOTE_NAMES: Final = ("boto3", "aws", "restic", "rclone")
ALL_NAMES: Final = tuple(dict.fromkeys((*NAMES, *MOUNT_NAMES, *REMOTE_NAMES)))


def peers(toolbox: Toolbox) -> dict[str, Peer]:
    """Every tool by name, artstore first; whether one is on this machine its `version` tells."""
    found: list[Peer] = [
        Artstore(toolbox),
        Encrypted(toolbox),
        Restic(toolbox),
        Borg(toolbox),
        Casync(toolbox),
        Dvc(toolbox),
        GitLfs(toolbox),
        HfXet(toolbox),
        TarZstd(toolbox),
        Copy(toolbox),
    ]
    return {peer.name: peer for peer in found}


def mountables(toolbox: Toolbox) -> dict[str, Mountable]:
    """Every tool that mounts, by name, artstore first; whether one is on this machine its `mount_version` tells."""
    found: list[Mountable] = [
        Artstore(toolbox),
        Encrypted(toolbox),
        SquashFuse(toolbox),
        Borg(toolbox),
        Restic(toolbox),
        Folder(toolbox),
    ]
    return {peer.name: peer for peer in found}
