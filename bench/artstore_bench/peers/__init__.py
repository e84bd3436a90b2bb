"""The tools that are measured, each behind the same Protocol; artstore is one of them."""

from __future__ import annotations

from typing import Final

from artstore_bench.command import Toolbox
from artstore_bench.peers._port import KnowsData, Peer
from artstore_bench.peers.artstore import Artstore
from artstore_bench.peers.borg import Borg
from artstore_bench.peers.casync import Casync
from artstore_bench.peers.dvc import Dvc
from artstore_bench.peers.git_lfs import GitLfs
from artstore_bench.peers.hf_xet import HfXet
from artstore_bench.peers.plain import Copy, TarZstd
from artstore_bench.peers.restic import Restic

__all__ = ["NAMES", "SUBJECT", "KnowsData", "Peer", "peers"]

SUBJECT: Final = "artstore"
NAMES: Final = ("restic", "borg", "casync", "dvc", "git-lfs", "hf-xet", "tar-zstd", "cp")


def peers(toolbox: Toolbox) -> dict[str, Peer]:
    """Every tool by name, artstore first; whether one is on this machine its `version` tells."""
    found: list[Peer] = [
        Artstore(toolbox),
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
