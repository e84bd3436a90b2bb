"""Which file systems of artstore are mounted, as the kernel lists them, and whether they answer.

The list is read without touching any of them: a look at a mount may hang with its server. `Probe` alone looks, in a
process of its own that can be left behind. Must know nothing of stores and of FUSE's protocol.
"""

from __future__ import annotations

import enum
import errno
import os
import re
import select
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NoReturn

MOUNTINFO: Final = "/proc/self/mountinfo"
SUBTYPE: Final = "artstore"
TYPE: Final = f"fuse.{SUBTYPE}"
_SOURCE: Final = "artstore:"
_ESCAPED: Final = re.compile(rb"\\([0-7]{3})")
_UNREADABLE: Final = 255  # of a probe that could tell no errno
_LEFT_OPEN: Final = 3  # input, output, errors
_LINKS_MAX: Final = 40  # as the kernel
GONE: Final = frozenset({errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENODEV})


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo. `root`: the folder of the file system that is shown, `/` unless it is a bind mount."""

    point: str
    type: str
    source: str
    device: str
    root: str = "/"

    @property
    def store_id(self) -> str | None:
        """The store that is mounted, if it is one of ours."""
        return self.source.removeprefix(_SOURCE) if self.is_ours and self.source.startswith(_SOURCE) else None

    @property
    def is_ours(self) -> bool:
        return self.type == TYPE

    @property
    def connection(self) -> str:
        """The number of its connection below /sys/fs/fuse/connections: the minor number of its device."""
        return self.device.partition(":")[2]


class Health(enum.Enum):
    """What a look at a mount told."""

    ALIVE = "alive"
    DEAD = "dead"  # its server is gone
    HUNG = "hung"  # no answer in time
    HIDDEN = "hidden"  # another user's, who didn't allow others


def source_of(store_id: str) -> str:
    """What the kernel is told to be the device."""
    return _SOURCE + store_id


def parse(lines: Iterable[bytes]) -> list[Mount]:
    """The mounts of a mountinfo, in its order; lines that aren't as documented in proc(5) are skipped."""
    found: list[Mount] = []
    for line in lines:
        fields, _, rest = line.rstrip(b"\n").partition(b" - ")
        words, behind = fields.split(b" "), rest.split(b" ")
        if len(words) >= 6 and len(behind) >= 2:
            found.append(
                Mount(
                    point=_decoded(words[4]),
                    type=_decoded(behind[0]),
                    source=_decoded(behind[1]),
                    device=_decoded(words[2]),
                    root=_decoded(words[3]),
                )
            )
    return found


def read() -> list[Mount]:
    """Everything that is mounted where this process can see it; nothing where the system has no /proc."""
    try:
        with open(MOUNTINFO, "rb") as file:
            return parse(file.read().splitlines())
    except FileNotFoundError:
        return []


def ours() -> list[Mount]:
    """The mounts of artstore, by path; of those on top of each other the uppermost, which covers the others."""
    uppermost = {mount.point: mount for mount in read()}
    return sorted((mount for mount in uppermost.values() if mount.is_ours), key=lambda mount: mount.point)


def at(point: str) -> Mount | None:
    """What is mounted at exactly this path, the uppermost."""
    return next((mount for mount in reversed(read()) if mount.point == point), None)


def of_store(store_id: str) -> list[Mount]:
    """The mounts of one store."""
    return [mount for mount in ours() if mount.store_id == store_id]


def resolve(path: str) -> str:
    """A mount point's path as the kernel lists it. What is mounted there is not touched: it may hang."""
    mounts = {mount.point: mount for mount in read()}
    left = os.path.join(os.getcwd(), os.path.expanduser(path)).split("/")[::-1]
    done, links = "/", 0
    while left:
        name = left.pop()
        if name in ("", ".", ".."):
            done = os.path.dirname(done) if name == ".." else done
            continue
        done = os.path.join(done, name)
        if done in mounts:
            if mounts[done].is_ours:
                return os.path.normpath(os.path.join(done, *left[::-1]))
            continue
        try:
            target = os.readlink(done)
        except OSError:  # no link, or nothing yet
            continue
        links += 1
        if links > _LINKS_MAX:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        done = "/" if target.startswith("/") else os.path.dirname(done)
        left += target.split("/")[::-1]
    return done


def look(point: str, timeout_s: float) -> Health:
    """Ask the mount at a path whether it is there, and wait so long for the answer."""
    probe = Probe(point)
    try:
        select.select([probe], [], [], timeout_s)
        return probe.health()
    finally:
        probe.end()


class Probe:
    """One statvfs, in a process of its own: a request that its server has taken can't be interrupted.

    Readable, as `select` sees it, once there is an answer.
    """

    def __init__(self, point: str) -> None:
        self._answer, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _probe(point, write)
        os.close(write)
        os.set_blocking(self._answer, False)

    def fileno(self) -> int:
        return self._answer

    def health(self) -> Health:
        """What was answered; HUNG as long as nothing was."""
        try:
            told = os.read(self._answer, 1)
        except BlockingIOError:
            return Health.HUNG
        if told == b"\0":
            return Health.ALIVE
        if told and told[0] in (errno.EACCES, errno.EPERM):
            return Health.HIDDEN
        return Health.DEAD if told and told[0] in GONE else Health.HUNG

    def end(self) -> None:
        """Let go of it. One that is still stuck is left to the kernel, and to `init`."""
        os.close(self._answer)
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, os.WNOHANG)
        except (ProcessLookupError, ChildProcessError):  # somebody who waits for all children was quicker
            return


def _probe(point: str, write: int) -> NoReturn:
    told = _UNREADABLE
    try:
        # It may be stuck for ever, and would hold a lock or a pipe of its parent's as long.
        os.closerange(_LEFT_OPEN, write)
        os.closerange(write + 1, os.sysconf("SC_OPEN_MAX"))
        os.statvfs(point)
        told = 0
    except OSError as error:
        told = min(error.errno or _UNREADABLE, _UNREADABLE)
    finally:
        os.write(write, bytes([told]))
        os._exit(0)


def _decoded(word: bytes) -> str:
    """Blanks, tabs, line ends and backslashes stand as three octal digits."""
    return os.fsdecode(_ESCAPED.sub(lambda match: bytes([int(match[1], 8) & 255]), word))
