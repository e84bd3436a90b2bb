"""Ends mounts: gently, lazily or by force; tells who keeps one busy; clears those whose server is gone.

Never looks into a mount by itself: it may hang. `fusermount3` does it for every user alike, root or not.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from artstore import limits
from artstore.errors import ArtstoreError, Busy, Conflict, NotFound, NotPermitted
from artstore_fuse import mountinfo
from artstore_fuse.mountinfo import Health, Mount
from artstore_fuse.records import Record, Records, is_running, wait_for_end

FUSERMOUNT: Final = "fusermount3"
_CONNECTIONS: Final = "/sys/fs/fuse/connections"
_LIBC: Final = ctypes.CDLL(None)
_MNT_FORCE: Final = 1  # <sys/mount.h>
_UMOUNT_NOFOLLOW: Final = 8
_UNMOUNT_S_MAX: Final = 10.0
_RETRY_S: Final = 0.02
_ELSEWHERE: Final = "choose another folder"


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that keeps a mount busy, and how: `cwd`, `root`, `program`, `open file`, `mapped file`."""

    process: int
    name: str
    how: str


def fusermount() -> str:
    """Where fusermount3 is; NotFound with what installs it."""
    found = shutil.which(FUSERMOUNT, path=os.environ.get("PATH", "") + ":/usr/bin:/bin:/usr/local/bin")
    if found is None:
        raise NotFound(f"there is no {FUSERMOUNT}, which mounts and unmounts", hint="apt install fuse3")
    return found


def unmount(mount: Mount, *, lazy: bool = False) -> None:
    """Take a mount away; `lazy`: from sight at once, from its users when they let go of it.

    Busy with who holds it, NotPermitted if it is another user's.
    """
    if not lazy and mountinfo.look(mount.point, limits.MOUNT_LOOK_S) is Health.HUNG:
        raise _hung(mount.point)
    command = [fusermount(), "-u", *(["-z"] if lazy else []), mount.point]
    code, told = _outcome(command)
    if code is None:
        raise _hung(mount.point)
    if code == 0 or mountinfo.at(mount.point) != mount:
        return
    if "busy" in told:
        raise Busy(_busy(mount.point), hint="end what uses it, or add --lazy")
    if "not permitted" in told or "not found in" in told:
        raise NotPermitted(f"{mount.point} can't be unmounted by this user ({told})", hint="ask who mounted it")
    raise ArtstoreError(f"{mount.point} can't be unmounted: {told or f'exit {code}'}", hint="add --lazy")


def _outcome(command: list[str]) -> tuple[int | None, str]:
    """The exit code of a command and what it said; no code if it takes too long. Then it isn't waited for."""
    with open(os.devnull, "rb") as null:
        process = subprocess.Popen(  # noqa: S603 - a list; the path is one of the kernel's mount points
            command, stdin=null, stdout=null, stderr=subprocess.PIPE, env={**os.environ, "LC_ALL": "C"}
        )
    try:
        _, told = process.communicate(timeout=_UNMOUNT_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        return None, ""
    return process.returncode, told.decode("utf-8", "replace").strip()


def force(mount: Mount, record: Record | None) -> None:
    """Abort a mount that may hang: whoever waits for it gets an error. Then it is taken away.

    Of a mount that shows elsewhere too, and wasn't made here, only this view is taken away.
    """
    if _is_bind(mount, record):
        unmount(mount, lazy=True)
        return
    abort(mount)
    end_server(record)  # which also cuts the connection where that isn't offered, and ends one that is stopped
    unmount_if_there(mount)


def _is_bind(mount: Mount, record: Record | None) -> bool:
    """Does what is mounted here belong to a mount at another place?"""
    if mount.root != "/":
        return True
    return record is None and any(
        other.device == mount.device and other.point != mount.point for other in mountinfo.read()
    )


def abort(mount: Mount) -> None:
    """Cut the connection between the kernel and the server, if the system offers it to this user."""
    try:
        with open(f"{_CONNECTIONS}/{mount.connection}/abort", "w", encoding="ascii") as file:
            file.write("1")
    except OSError:  # another user's, or fusectl isn't mounted; root has a second way, which begins with the same
        _LIBC.umount2(os.fsencode(mount.point), _MNT_FORCE | _UMOUNT_NOFOLLOW)


def end_server(record: Record | None) -> None:
    """Kill the server of a record, which ends its connection as well. It holds nothing that could be lost."""
    if record is not None and is_running(record):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(record.server, signal.SIGKILL)


def end_supervisor(records: Records, record: Record) -> None:
    """Between two servers nothing is mounted, but would be again: have that not happen. Busy if it doesn't listen."""
    records.remove(record.point, supervisor=record.supervisor)
    with contextlib.suppress(ProcessLookupError):
        os.kill(record.supervisor, signal.SIGTERM)
    if not wait_for_end(record.supervisor, 2 * limits.MOUNT_END_S_MAX):
        raise Busy(f"process {record.supervisor} doesn't let go of {record.point}", hint="try again")


def leave(point: str) -> None:
    """This process's own folder may be in what it is to unmount."""
    if _leads_into("/proc/self/cwd", point):
        os.chdir("/")


def unmount_if_there(mount: Mount) -> None:
    """Lazily unmount what its helper may be unmounting too."""
    if mountinfo.at(mount.point) == mount:
        unmount(mount, lazy=True)


def clear(point: str, store_id: str) -> bool:
    """Make a place free to be mounted at; True if this store is mounted there already, and answers.

    Mounts whose server is gone are taken away. Conflict if something else is mounted there, Busy if it hangs.
    """
    for _ in range(limits.MOUNT_STACKED_MAX):
        mount = mountinfo.at(point)
        if mount is None:
            return False
        if not mount.is_ours:
            raise Conflict(f"{mount.type} is mounted at {point} already", hint=_ELSEWHERE)
        if mount.root != "/":
            raise Conflict(f"{point} is a bind mount of {mount.root} in a mount of artstore", hint=_ELSEWHERE)
        health = mountinfo.look(point, limits.MOUNT_LOOK_S)
        if health is Health.ALIVE and mount.store_id == store_id:
            return True
        if health is Health.ALIVE:
            raise Conflict(f"another store is mounted at {point}", hint="choose another folder, or `artstore umount`")
        if health is Health.HIDDEN:
            raise Conflict(
                f"another user's mount is at {point}",
                hint="choose another folder, or have it mounted with --allow-other",
            )
        if health is Health.HUNG and mountinfo.at(point) == mount:
            raise _hung(point)
        # The helper of a killed server takes its mount away by itself. It could meet ours if we were quicker.
        if not _vanishes(mount):
            unmount_if_there(mount)
    raise Conflict(f"too many mounts lie on top of each other at {point}", hint=f"artstore umount {point}")


def holders(point: str) -> Iterator[Holder]:
    """The processes that use something below a mount point, as far as this user may see."""
    for process in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if process == os.getpid():
            continue
        how = _held(f"/proc/{process}", point)
        if how is not None:
            yield Holder(process, _name_of(process), how)


def _hung(point: str) -> Busy:
    return Busy(f"the mount at {point} doesn't answer", hint=f"artstore umount --force {point}")


def _busy(point: str) -> str:
    inner = [mount.point for mount in mountinfo.read() if mount.point.startswith(point + "/")]
    if inner:
        return f"{point} is busy: {inner[0]} is mounted in it"
    found = list(holders(point))
    told = [f"{each.process} {each.name} ({each.how})" for each in found[: limits.MOUNT_HOLDERS_TOLD_MAX]]
    more = f" and {len(found) - len(told)} more" if len(found) > len(told) else ""
    by = f"held by {', '.join(told)}{more}" if told else "held by a process that this user can't see, or the kernel"
    return f"{point} is busy: {by}"


def _held(process: str, point: str) -> str | None:
    """How a process uses a mount, None if it doesn't. The links tell paths; nothing of the mount is touched."""
    for link, how in (("cwd", "cwd"), ("root", "root"), ("exe", "program")):
        if _leads_into(f"{process}/{link}", point):
            return how
    with contextlib.suppress(OSError):
        for name in os.listdir(f"{process}/fd"):
            if _leads_into(f"{process}/fd/{name}", point):
                return "open file"
    with contextlib.suppress(OSError), open(f"{process}/maps", "rb") as file:
        inside = b" " + os.fsencode(point).rstrip(b"/") + b"/"
        if any(inside in line for line in file):
            return "mapped file"
    return None


def _leads_into(link: str, point: str) -> bool:
    try:
        path = os.readlink(link)
    except OSError:
        return False
    return path == point or path.startswith(point.rstrip("/") + "/")


def _name_of(process: int) -> str:
    try:
        with open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"


def _vanishes(mount: Mount) -> bool:
    end = time.monotonic() + limits.MOUNT_VANISH_S
    while mountinfo.at(mount.point) == mount:
        if time.monotonic() > end:
            return False
        time.sleep(_RETRY_S)
    return True
