"""Carries the kernel's requests to the view and its answers back, through pyfuse3 on a trio loop.

Each handler decodes, asks the view, encodes. Decides how long the kernel may keep an answer, and when the loop ends.
The only module that knows FUSE; must know nothing of stores.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Final

import pyfuse3
import trio

from artstore import limits
from artstore.errors import ArtstoreError, NotFound, NotPermitted
from artstore_fuse import mountinfo
from artstore_fuse.errnos import errno_of
from artstore_fuse.notices import Notices
from artstore_fuse.requests import Requests
from artstore_fuse.xattrs import BYTES_STORED

if TYPE_CHECKING:
    from artstore_fuse.view import Attributes, View

_log: Final = logging.getLogger(__name__)
_FOREVER_S: Final = 366 * 86_400.0
_CHANGING_S: Final = 1.0
_BLOCK_BYTES: Final = 512
_STOPS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_GONE: Final = frozenset({errno.ENODEV, errno.ECONNABORTED, errno.ENOTCONN})
Data = bytes | memoryview

# What fusermount3 says, and what it means. The order counts.
_REFUSALS: Final[tuple[tuple[str, type[ArtstoreError], str], ...]] = (
    (
        "user_allow_other",
        NotPermitted,
        "root adds the line `user_allow_other` to /etc/fuse.conf, or leave --allow-other",
    ),
    ("device not found", NotFound, "modprobe fuse; in a container: --device /dev/fuse --cap-add SYS_ADMIN"),
    ("/dev/fuse", NotPermitted, "modprobe fuse; in a container: --device /dev/fuse --cap-add SYS_ADMIN"),
    ("no write access", NotPermitted, "choose a folder of your own"),
    ("ermission denied", NotPermitted, "choose a folder of your own"),
    ("not permitted", NotPermitted, "in a container: --device /dev/fuse --cap-add SYS_ADMIN"),
    ("too many", NotPermitted, "root raises mount_max in /etc/fuse.conf"),
)


def refusal(number: int) -> Exception:
    """What pyfuse3 takes for an errno."""
    return pyfuse3.FUSEError(number)


def mount(view: View, requests: Requests, mountpoint: str, options: set[str]) -> Handlers:
    """Mount; nothing is answered before `serve`. NotPermitted or NotFound in the words of who refuses."""
    pages = Notices("pages", count_max=limits.MOUNT_NOTICES_MAX, bytes_max=limits.MOUNT_PUSHED_BYTES_MAX)
    handlers = Handlers(view, requests, pages)
    # What refuses writes the reason to stderr; its helper keeps that open as long as the mount lives.
    told = os.memfd_create("fusermount")
    stderr = os.dup(2)
    os.dup2(told, 2)
    try:
        pyfuse3.init(handlers, mountpoint, options)
    except RuntimeError as error:
        raise _refused(mountpoint, os.pread(told, limits.MOUNT_REPORT_BYTES_MAX, 0)) from error
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(told)
    handlers.place = mountinfo.at(mountpoint)
    return handlers


def serve(handlers: Handlers, *, poll_s: float, ready: Callable[[], None]) -> None:
    """Answer until the mount is unmounted or a signal says that this is the end; then it is unmounted.

    `ready` is called once requests are answered. SIGTERM, SIGINT and SIGHUP end it.
    """
    names = Notices("names", count_max=limits.MOUNT_NOTICES_MAX)
    # trio hands a signal too many back to whom it was before: Ctrl-C comes from the terminal and from the supervisor.
    told: list[int] = []
    for number in _STOPS:
        signal.signal(number, lambda number, _: told.append(number))
    try:
        trio.run(_serve, handlers, names, poll_s, ready, told)
    except* OSError as group:
        if any(error.errno not in _GONE for error in _leaves(group)):
            raise
    finally:
        for number in _STOPS:
            signal.signal(number, signal.SIG_IGN)
        if names.close(limits.MOUNT_END_S_MAX) and handlers.pages.close(limits.MOUNT_END_S_MAX):
            # After `umount --lazy` with readers left, what is mounted there by now is another's.
            place = handlers.place
            pyfuse3.close(unmount=place is not None and mountinfo.at(place.point) == place)
        else:  # somebody in the kernel still waits for us: the helper unmounts when this process ends
            _log.warning("the kernel has not taken a notice in time")


class Handlers(pyfuse3.Operations):
    """What the kernel asks. All of it runs on the loop, which is the only thread that uses the view."""

    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False

    def __init__(self, view: View, requests: Requests, pages: Notices) -> None:
        super().__init__()
        self.pages = pages
        self.begun = trio.Event()
        self.place: mountinfo.Mount | None = None  # as the kernel lists it
        self._counting = trio.CapacityLimiter(1)
        self._answered: tuple[int, int, int] | None = None  # the last read
        self.view = view
        self._answering = requests.begin
        self._waiting = requests.in_flight
        self._inodes: dict[int, int] = {}  # of open files and folders, by handle
        self._entry = pyfuse3.EntryAttributes()  # for listings, where each is copied at once

    def init(self) -> None:
        # The kernel has our answer, and its settings are final, when the loop runs its next task.
        self.begun.set()

    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext | None = None
    ) -> pyfuse3.EntryAttributes:
        with self._answering("lookup", parent_inode):
            try:
                found = self.view.lookup(parent_inode, name)
            except (ArtstoreError, OSError) as error:
                # What an immutable folder lacks it will always lack: programs that search a path ask once.
                if errno_of(error) == errno.ENOENT and self.view.lacks_for_ever(parent_inode):
                    return _absent()
                raise
            return _encode(pyfuse3.EntryAttributes(), found)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        for inode, count in inode_list:
            self.view.forget(inode, count)

    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext | None = None) -> pyfuse3.EntryAttributes:
        with self._answering("getattr", inode):
            return _encode(pyfuse3.EntryAttributes(), self.view.getattr(inode))

    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        with self._answering("readlink", inode):
            return self.view.readlink(inode)

    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        with self._answering("opendir", inode):
            handle = self.view.opendir(inode)
            self._inodes[handle] = inode
            return handle

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        view, entry, reply = self.view, self._entry, pyfuse3.readdir_reply
        with self._answering("readdir", self._inodes[fh]):
            taken = 0
            try:
                for name, attributes, following in view.readdir(fh, start_id):
                    if not reply(token, name, _encode(entry, attributes), following):
                        return
                    view.remember(attributes.inode)
                    taken += 1
            except (ArtstoreError, OSError):
                # An error instead of these entries would leave them remembered for ever. It comes again: the kernel
                # asks for what is behind them.
                if not taken:
                    raise

    async def releasedir(self, fh: int) -> None:
        with self._answering("releasedir", self._inodes.pop(fh)):
            self.view.releasedir(fh)

    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        with self._answering("open", inode):
            if flags & os.O_ACCMODE != os.O_RDONLY:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            handle = self.view.open(inode)
            self._inodes[handle] = inode
            lasting = self.view.is_lasting(handle)
            return pyfuse3.FileInfo(fh=handle, keep_cache=lasting, direct_io=not lasting)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        # Not before the answer: a notice about pages that the kernel waits for never ends.
        if self._answered is not None:
            self._push_rest(*self._answered)
        with self._answering("read", self._inodes.get(fh, 0), off) as request:
            data = self.view.read(fh, off, size)
            if isinstance(data, Future):
                with self._waiting("read"):
                    data = await _arrival(data)
            request.size = len(data)
            self._answered = (fh, off, size)
            return data  # type: ignore[return-value]  # pyfuse3 takes any buffer

    def _push_rest(self, fh: int, off: int, size: int) -> None:
        """What was decoded besides what a random reader wanted: into the kernel's cache with it."""
        self._answered = None
        inode = self._inodes.get(fh)
        if inode is None:
            return
        for offset, data in self.view.rest_of_random_miss(fh, off, size):
            # Any buffer will do, whatever its declaration says.
            self.pages.put(partial(pyfuse3.notify_store, inode, offset, data), len(data))  # type: ignore[arg-type]

    async def release(self, fh: int) -> None:
        with self._answering("release", self._inodes.pop(fh, 0)):
            self.view.release(fh)

    async def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        with self._answering("getxattr", inode):
            if name == BYTES_STORED:  # looks up each chunk of the file
                return await trio.to_thread.run_sync(self.view.getxattr, inode, name, limiter=self._counting)
            return self.view.getxattr(inode, name)

    async def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> Sequence[bytes]:
        with self._answering("listxattr", inode):
            return self.view.listxattr(inode)

    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        with self._answering("statfs", 0):
            told, data = self.view.statfs(), pyfuse3.StatvfsData()
            data.f_bsize = data.f_frsize = told.block_size
            data.f_blocks, data.f_bfree, data.f_bavail = told.blocks, told.free, told.free
            data.f_files, data.f_namemax = told.files, told.name_max
            return data


async def _serve(handlers: Handlers, names: Notices, poll_s: float, ready: Callable[[], None], told: list[int]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_follow_names, handlers.view, names, poll_s)
        await nursery.start(_end_on_signal, nursery.cancel_scope, told)
        nursery.start_soon(_announce, handlers.begun, ready)
        await pyfuse3.main(max_tasks=limits.MOUNT_TASKS_MAX)
        nursery.cancel_scope.cancel()


async def _announce(begun: trio.Event, ready: Callable[[], None]) -> None:
    await begun.wait()
    ready()


async def _end_on_signal(
    loop: trio.CancelScope, told: list[int], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """End the loop at a signal: what is being answered may finish in time, the rest is left to the mount's end.

    `told`: signals that came before this.
    """
    try:
        with trio.open_signal_receiver(*_STOPS) as signals:
            task_status.started()
            if told:
                loop.cancel()
            async for _ in signals:
                break
            pyfuse3.terminate()
            await trio.sleep(limits.MOUNT_END_S_MAX)
            _log.warning("requests under way did not end in time")
            loop.cancel()
    finally:
        # The same one may come once more: trio closes what it would write that to, and then says that it can't.
        for number in _STOPS:
            signal.signal(number, signal.SIG_IGN)


async def _follow_names(view: View, names: Notices, poll_s: float) -> None:
    """Let the kernel forget names that came, went or moved."""
    failed = False
    while True:
        await trio.sleep(poll_s)
        try:
            changes = view.refresh()
            failed = False
        except (ArtstoreError, OSError) as error:
            if not failed:
                _log.warning("names can't be looked at: %s", error)
            failed = True
            continue
        for change in changes:
            names.put(partial(pyfuse3.invalidate_entry, change.parent_inode, change.name))
            if change.inode:
                names.put(partial(pyfuse3.invalidate_inode, change.inode, attr_only=True))


async def _arrival(future: Future[Data]) -> Data:
    """What a worker thread will have made."""
    arrived, token = trio.Event(), trio.lowlevel.current_trio_token()

    def tell(_: Future[Data]) -> None:
        with contextlib.suppress(trio.RunFinishedError):
            token.run_sync_soon(arrived.set)

    if not future.done():
        future.add_done_callback(tell)
        await arrived.wait()
    return future.result()


def _encode(entry: pyfuse3.EntryAttributes, attributes: Attributes) -> pyfuse3.EntryAttributes:
    size, time = attributes.size, attributes.mtime_ns
    entry.st_ino = attributes.inode
    entry.st_mode = attributes.mode
    entry.st_nlink = attributes.nlink
    entry.st_uid = attributes.uid
    entry.st_gid = attributes.gid
    entry.st_size = size
    entry.st_blocks = (size + _BLOCK_BYTES - 1) // _BLOCK_BYTES
    entry.st_mtime_ns = entry.st_ctime_ns = entry.st_atime_ns = time
    entry.entry_timeout = entry.attr_timeout = _FOREVER_S if attributes.lasting else _CHANGING_S
    return entry


def _absent() -> pyfuse3.EntryAttributes:
    """An answer that the kernel keeps: there is nothing of this name, and never will be."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = 0
    entry.entry_timeout = _FOREVER_S
    return entry


def _refused(mountpoint: str, told: bytes) -> ArtstoreError:
    words = told.decode("utf-8", "replace").strip().removeprefix("fusermount3: ")
    lines = words.splitlines()
    message = f"{mountpoint} can't be mounted" + (f": {lines[-1]}" if lines else "")
    for sign, kind, hint in _REFUSALS:
        if sign in words:
            return kind(message, hint=hint)
    return ArtstoreError(message, hint="`artstore doctor` looks for what is missing")


def _leaves(group: BaseExceptionGroup[OSError]) -> list[OSError]:
    found: list[OSError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
