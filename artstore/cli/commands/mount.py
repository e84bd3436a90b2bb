"""Every version as a folder: `mount`, `umount`, `mounts`."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from artstore import limits
from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.commands.remote import is_url, place_options
from artstore.cli.invocation import Invocation
from artstore.cli.params import DURATION, Size, Whole
from artstore.errors import NotFound, UsageError

if TYPE_CHECKING:
    from artstore import RemotePlace
    from artstore.cli.documents import MountItem
    from artstore_fuse.background import Report
    from artstore_fuse.mountinfo import Mount
    from artstore_fuse.records import Record, Records
    from artstore_fuse.status import Place

_DEFAULT = "~/artstore"
R = TypeVar("R")
_NS = 1_000_000_000
_UMASK_MAX = 0o777


class _Umask(click.ParamType[int]):
    """Three octal digits."""

    name = "umask"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        # Any: what click hands over.
        try:
            umask = int(str(value), 8)
        except ValueError:
            umask = -1
        if not 0 <= umask <= _UMASK_MAX:
            self.fail(f"{value!r} is no umask: write for instance 022 or 077", param, ctx)
        return umask


class _Folder(click.Path):
    """A folder, completed by the shell. click would look at it, which takes for ever where a mount hangs."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # Any: what click hands over.
        return os.fsdecode(value)


def _split_words(command: Callable[..., R]) -> Callable[..., R]:
    """`[URL] [DIR]`: a word is a URL or not."""

    @functools.wraps(command)
    def run(*args: object, words: tuple[str, ...], **rest: object) -> R:
        url = words[0] if words and is_url(words[0]) else None
        left = words if url is None else words[1:]
        if len(left) > 1:
            raise click.UsageError(f"Got unexpected extra argument ({left[1]})")
        return command(*args, url=url, directory=left[0] if left else _DEFAULT, **rest)

    return run


@click.command(
    "mount",
    cls=Command,
    examples=[
        ("artstore mount", "at ~/artstore, in the background"),
        ("ls ~/artstore/versions/llama/v2", "a version is a folder"),
        ("artstore mount s3://models/art /mnt/art", "what a remote has, without a store"),
        ("artstore mount /mnt/art --allow-other", "for other users too, and containers"),
        ("artstore mount /mnt/art --foreground", "under a service manager"),
    ],
)
@click.argument("words", metavar="[URL] [DIR]", nargs=-1, type=_Folder(file_okay=False))
@click.option("-f", "--foreground", is_flag=True, help="Stay until it is unmounted; log to stderr.")
@click.option("--allow-other", is_flag=True, help="Let other users in, as far as file modes do.")
@click.option(
    "--memory",
    metavar="SIZE",
    type=Size(limits.MOUNT_MEMORY_BYTES_MIN, limits.MOUNT_MEMORY_BYTES_MAX),
    default="256M",
    show_default=True,
    help="Decoded data kept in memory.",
)
@click.option(
    "--poll", metavar="TIME", type=DURATION, default="1s", show_default=True, help="Until new and moved names show."
)
@click.option(
    "--follow",
    metavar="TIME",
    type=DURATION,
    help="Until new names of the home remote show; else 10s for a URL, never for a store.",
)
@click.option("--versions", "pattern", metavar="PATTERN", default="*", help="Only tags like this: 'resnet*'.")
@click.option("--uid", type=Whole(0, limits.USER_ID_MAX), help="Owner of all files; else you.")
@click.option("--gid", type=Whole(0, limits.USER_ID_MAX), help="Group of all files; else yours.")
@click.option("--umask", metavar="OCTAL", type=_Umask(), default="000", help="Rights taken from 0444 and 0555.")
@click.option(
    "--read-ahead",
    metavar="KIB",
    type=Whole(1, limits.MOUNT_READ_AHEAD_KIB_MAX),
    help="The kernel's readahead, as root; else 1024 as root, 128 for others.",
)
@_split_words
@place_options
@click.pass_obj
def mount_command(
    invocation: Invocation,
    url: str | None,
    directory: str,
    place: RemotePlace | None,
    foreground: bool,
    allow_other: bool,
    memory: int,
    poll: int,
    follow: int | None,
    pattern: str,
    uid: int | None,
    gid: int | None,
    umask: int,
    read_ahead: int | None,
) -> int:
    """Show every version as a read-only folder.

    At DIR, else at ~/artstore: versions/TAG, aliases/ALIAS, ids/ID. What is read is verified. It runs in the
    background until `artstore umount`; mounting again what is mounted does nothing.

    With URL it shows what a remote has: what is read is kept in a cache below $XDG_CACHE_HOME, or in --store.
    """
    del url  # `place` has it
    _require_parts()
    from artstore.wiring import reaching
    from artstore.wiring.keys import unlocked
    from artstore_fuse import mounting

    if not 0 < poll <= limits.MOUNT_POLL_S_MAX * _NS:
        raise UsageError("--poll is from 1s to 1h")
    if follow is not None and not _NS <= follow <= limits.MOUNT_POLL_S_MAX * _NS:
        raise UsageError("--follow is from 1s to 1h")
    if place is not None and follow is None:
        follow = limits.MOUNT_FOLLOW_S * _NS
    options = mounting.Options(
        memory_bytes=memory,
        poll_s=poll / _NS,
        pattern=pattern,
        uid=uid,
        gid=gid,
        umask=umask,
        allow_other=allow_other,
        read_ahead_kib=read_ahead,
        follow_s=None if follow is None else follow / _NS,
    )
    mounting.require_fuse()
    store = invocation.store if place is None else _cache_of(invocation, place)
    there, records = mounting.place_of(store, _at_home(directory)), _records()
    if follow is not None:
        reaching.find_remote(there.store)  # there must be one
    keys = unlocked(there.store, invocation.asks_passphrase)
    if foreground:
        return mounting.run(
            there, options, records, lambda outcome: _print_mounted(invocation, there, outcome, None), keys=keys
        )
    outcome = mounting.start(there, options, records, keys=keys)
    _print_mounted(invocation, there, outcome, records.log_path(there.mountpoint))
    return 0


def _cache_of(invocation: Invocation, place: RemotePlace) -> str:
    """The store that caches a remote, with the remote's names."""
    from artstore import Store

    with invocation.transfer("fetch") as counters:
        ask = invocation.asks_passphrase
        store, error = Store.cache_of(place, invocation.store, passphrase=ask, counters=counters)
    with store:
        if error is not None:
            invocation.output.warn(f"artstore: {error.message}; what was there is mounted")
        return store.path


@click.command(
    "umount",
    cls=Command,
    examples=[
        ("artstore umount", "what is mounted at ~/artstore"),
        ("artstore umount /mnt/art --lazy", "even while programs use it"),
        ("artstore umount /mnt/art --force", "even if it hangs"),
    ],
)
@click.argument("directory", metavar="[DIR]", default=_DEFAULT, type=_Folder(file_okay=False))
@click.option("-l", "--lazy", is_flag=True, help="Out of sight now; gone when the last program lets go of it.")
@click.option("-f", "--force", is_flag=True, help="Now: whoever reads from it gets an error.")
@click.pass_obj
def umount_command(invocation: Invocation, directory: str, lazy: bool, force: bool) -> None:
    """Take a mount away.

    Exit 8 if programs use it; they are named.
    """
    from artstore.cli.documents import UmountDocument
    from artstore_fuse import mountinfo, unmounting
    from artstore_fuse.records import is_running, is_supervised

    if lazy and force:
        raise UsageError("--lazy and --force are two ways: give one of them")
    point = mountinfo.resolve(_at_home(directory))
    records = _records()
    record = records.get(point)
    if mountinfo.at(point) is None and record is not None and is_supervised(record):
        store_id: str | None = record.store_id
        unmounting.end_supervisor(records, record)
    else:
        mount = _mount_at(point)
        store_id = mount.store_id
        runs = record is not None and is_running(record)
        unmounting.leave(point)
        if force:
            _disown(records, record)
            unmounting.force(mount, record)
        else:
            unmounting.unmount(mount, lazy=lazy)
            _disown(records, record)
        if record is not None and runs and not lazy:
            _wait_for_end(record)
    invocation.output.document(
        UmountDocument(path=_path(point), id=store_id, how="force" if force else "lazy" if lazy else "clean"),
        lines=lambda: [f"{invocation.output.show(point)} is unmounted"],
        ids=lambda: [invocation.output.show(point)],
    )


@click.command("mounts", cls=Command, examples=[("artstore mounts", "where, of which store, and whether it answers")])
@click.pass_obj
def mounts_command(invocation: Invocation) -> None:
    """What is mounted, and whether it answers."""
    from artstore.cli.documents import MountsDocument
    from artstore_fuse import mountinfo

    records = _records()
    items = [_item(mount, records.get(mount.point)) for mount in mountinfo.ours()]
    if not items:
        invocation.output.note("nothing is mounted")
    shown = [
        (item.path, item.store or item.id or "?", item.state, str(item.pid or "-"), _since(item.started))
        for item in items
    ]
    invocation.output.document(
        MountsDocument(mounts=items),
        lines=lambda: [text.printable(line) for line in text.table(shown)],
        ids=lambda: [item.path for item in items],
    )


def _since(started: str | None) -> str:
    return "-" if started is None else started[:19] + "Z"


def _item(mount: Mount, record: Record | None) -> MountItem:
    from artstore.cli.documents import MountItem
    from artstore_fuse import mountinfo
    from artstore_fuse.records import is_running

    if record is not None and (record.store_id != mount.store_id or not is_running(record)):
        record = None
    return MountItem(
        path=_path(mount.point),
        id=mount.store_id,
        store=None if record is None else _path(record.store),
        state=mountinfo.look(mount.point, limits.MOUNT_LOOK_S).value,
        pid=None if record is None else record.server,
        started=None if record is None else text.rfc3339(record.started_ns),
        log=None if record is None else record.log,
    )


def _mount_at(point: str) -> Mount:
    from artstore_fuse import mountinfo

    mount = mountinfo.at(point)
    if mount is None:
        others = [mount.point for mount in mountinfo.ours()]
        hint = f"mounted at {', '.join(others)}" if others else "nothing of artstore is mounted"
        raise NotFound(f"nothing is mounted at {point}", hint=hint)
    if not mount.is_ours:
        raise UsageError(f"{mount.type} is mounted at {point}, which is not artstore's", hint="use umount(8)")
    return mount


def _disown(records: Records, record: Record | None) -> None:
    """Tell its supervisor that this mount is not to be started again."""
    if record is not None:
        records.remove(record.point, supervisor=record.supervisor)


def _wait_for_end(record: Record) -> None:
    """Come back when its processes are gone, too: they have the store open, and their helper unmounts after them."""
    from artstore_fuse.records import wait_for_end

    for process in (record.server, record.supervisor):
        wait_for_end(process, limits.MOUNT_END_S_MAX)


def _print_mounted(invocation: Invocation, place: Place, outcome: Report, log: str | None) -> None:
    from artstore.cli.documents import MountDocument

    output = invocation.output
    shown, store = output.show(place.mountpoint), output.show(place.store)
    output.document(
        MountDocument(
            path=_path(place.mountpoint),
            store=_path(place.store),
            id=place.store_id,
            pid=outcome.server or None,
            already=outcome.already,
            log=log,
        ),
        lines=lambda: [f"{store} is mounted at {shown}" + (" already" if outcome.already else "")],
        ids=lambda: [shown],
    )
    _flush()


def _flush() -> None:
    """With --foreground the command goes on, and whoever started it waits for this line."""
    import sys

    sys.stdout.flush()


def _records() -> Records:
    from platformdirs import user_state_dir

    from artstore_fuse.records import Records

    return Records(user_state_dir("artstore"))


def _require_parts() -> None:
    """What binds libfuse3, and that itself, may be missing here or fail to load."""
    try:
        importlib.import_module("artstore_fuse.mounting")
    except ImportError as error:
        if (error.name or "").startswith("artstore"):
            raise
        what = f"{error.name} is not installed" if isinstance(error, ModuleNotFoundError) else str(error)
        raise NotFound(
            f"what the mount needs is missing: {what}",
            hint="apt install fuse3 libfuse3-dev pkg-config gcc python3-dev, then pip install 'artstore[mount]'; "
            "without a mount: `artstore checkout`",
        ) from error


def _at_home(directory: str) -> str:
    if directory == _DEFAULT and os.path.expanduser(directory) == directory:
        raise UsageError("this user has no home folder", hint="name a folder for the mount")
    return directory


def _path(path: str) -> str:
    return text.name(os.fsencode(path))
