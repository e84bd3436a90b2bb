"""Which file system a path lies on, and whether LMDB may live there.

LMDB shares memory between processes through a mapped file and locks by the kernel: neither holds on a network file
system, where two machines would quietly damage the index.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from artstore.adapters.disk.errnos import translating
from artstore.errors import UsageError

MOUNTINFO = "/proc/self/mountinfo"
# fmt: off
NETWORK = frozenset({
    "9p", "afp", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.ceph", "fuse.cvmfs", "fuse.davfs2",
    "fuse.gcsfuse", "fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.mount-s3", "fuse.mountpoint-s3",
    "fuse.rclone", "fuse.s3fs", "fuse.s3ql", "fuse.seaweedfs", "fuse.sshfs", "fuse.vmhgfs-fuse", "glusterfs", "gpfs",
    "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "smb", "smb2", "smb3", "smbfs", "vboxsf", "vmhgfs", "wekafs",
})
# fmt: on
_ESCAPED = re.compile(r"\\([0-7]{3})")


def file_system_of(path: str, lines: Iterable[str] | None = None) -> str:
    """The type of the file system that `path`, or its nearest existing parent, lies on; "" if the system won't tell.

    `lines` stands in for /proc/self/mountinfo.
    """
    folder = os.path.realpath(path)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if lines is None:
        try:
            with open(MOUNTINFO, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return ""
    with translating("look at", folder):
        device = os.stat(folder).st_dev
    return innermost(folder, f"{os.major(device)}:{os.minor(device)}", lines)


def refuse_network(path: str, lines: Iterable[str] | None = None) -> None:
    """UsageError if an index at `path` would lie on a network file system."""
    kind = file_system_of(path, lines)
    if kind in NETWORK:
        raise UsageError(
            f"{path} lies on a network file system ({kind}), where the index can't be kept safe",
            hint="use a local folder: `--store DIR` or ARTSTORE_HOME",
        )


def innermost(folder: str, device: str, lines: Iterable[str]) -> str:
    """The innermost mount above a folder; among those of one place the last one, which covers the others."""
    best, kind = "", ""
    exact = False
    for line in lines:
        fields, _, rest = line.partition(" - ")
        words = fields.split(" ")
        if len(words) < 5 or not rest:
            continue
        point = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), words[4])
        if folder != point and not folder.startswith(point.rstrip("/") + "/"):
            continue
        same_device = words[2] == device
        if (same_device, len(point)) >= (exact, len(best)):
            best, kind, exact = point, rest.split(" ")[0], same_device
    return kind
