"""Look for what is wrong with this machine and store: `doctor`. Reports, never changes anything."""

from __future__ import annotations

import importlib
import os
import platform
import resource
import shutil
import sys
import time
from typing import TYPE_CHECKING, Literal

import click

from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.commands.daemon import PACKAGES
from artstore.cli.invocation import Invocation
from artstore.errors import ArtstoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.cli.documents import FindingItem

EXIT_PROBLEM = 6
State = Literal["ok", "warning", "problem", "absent"]
_PACKAGES = ("blake3", "click", "lmdb", "msgspec", "pathspec", "platformdirs", "rich", "zstandard")
_EXTRAS = (("mount", ("pyfuse3", "trio")), ("s3", ("boto3",)), ("daemon", PACKAGES), ("bench", ("matplotlib", "numpy")))
_FREE_SHARE_MIN = 0.05
_FILES_MIN = 256  # descriptors: packs kept open, the files being read, and some to spare
_WATCHES_MIN = 8192
_CLOCK_S_MAX = 300.0  # that services bear, which refuse what was signed at another time
_COLORS = {"ok": None, "warning": "yellow", "problem": "red", "absent": None}


@click.command(
    "doctor", cls=Command, examples=[("artstore doctor", ""), ("artstore --store /data/art doctor --json", "")]
)
@click.pass_obj
def doctor_command(invocation: Invocation) -> int:
    """Look for what is wrong with this machine and store.

    Exit 6 if something is. Python, packages, the compiled kernel, FUSE, limits of the system, disk, store, its remotes
    with the credentials of this environment and their clocks, the daemon. What is absent is only needed for the part it
    names.
    """
    from artstore.cli.documents import DoctorDocument

    findings = [*_program(), *_extras(), *_system(), *_store(invocation), *_remotes(invocation), *_daemon(invocation)]
    output = invocation.output
    rows = [
        (finding.state, finding.name, text.printable(finding.found) + (f"; {finding.hint}" if finding.hint else ""))
        for finding in findings
    ]
    lines = [output.style(line, fg=_COLORS[row[0]]) for line, row in zip(text.table(rows), rows, strict=True)]
    bad = [finding.name for finding in findings if finding.state == "problem"]
    output.document(DoctorDocument(findings=findings), lines=lambda: lines, ids=lambda: bad)
    return EXIT_PROBLEM if bad else 0


def _finding(name: str, state: State, found: str, hint: str | None = None) -> FindingItem:
    from artstore.cli.documents import FindingItem

    return FindingItem(name=name, state=state, found=found, hint=hint)


def _program() -> Iterator[FindingItem]:
    from artstore import __version__

    libc = platform.libc_ver()[0] or "unknown libc"
    yield _finding("python", "ok", f"{platform.python_version()} for {platform.machine()}, {libc}")
    yield _finding("artstore", "ok", str(__version__))
    for package in _PACKAGES:
        installed = _version(package)
        if installed is None:
            yield _finding(package, "problem", "not installed", "pip install --force-reinstall artstore")
        else:
            yield _finding(package, "ok", installed)
    try:
        importlib.import_module("artstore.chunking._gear")
        yield _finding("kernel", "ok", "compiled")
    except ImportError as error:
        yield _finding("kernel", "problem", str(error), "install a wheel, or a C compiler and build again")


def _extras() -> Iterator[FindingItem]:
    for name, packages in _EXTRAS:
        missing = [package for package in packages if _version(package) is None]
        if missing:
            first = "apt install fuse3 libfuse3-dev pkg-config, then " if name == "mount" else ""
            hint = f"{first}{sys.executable} -m pip install 'artstore[{name}]'"
            yield _finding(name, "absent", f"no {', '.join(missing)}", hint)
        else:
            yield _finding(name, "ok", ", ".join(f"{package} {_version(package)}" for package in packages))
    if not os.path.exists("/dev/fuse"):
        yield _finding("fuse", "absent", "no /dev/fuse", "needed to mount: modprobe fuse, or --device /dev/fuse")
    elif shutil.which("fusermount3") is None:
        yield _finding("fuse", "absent", "no fusermount3", "needed to mount: apt install fuse3")
    else:
        yield _finding("fuse", "ok", "/dev/fuse and fusermount3")
    git = shutil.which("git")
    yield _finding("git", "ok" if git else "absent", git or "not found", None if git else "commits then tell no source")


def _system() -> Iterator[FindingItem]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = soft != resource.RLIM_INFINITY and soft < _FILES_MIN
    yield _finding(
        "open files", "problem" if few else "ok", f"{soft} of {hard}", f"ulimit -n {_FILES_MIN * 4}" if few else None
    )
    address, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address != resource.RLIM_INFINITY:
        yield _finding("address space", "problem", text.size(address), "the index maps 1.1 TB: ulimit -v unlimited")
    watches = _number("/proc/sys/fs/inotify/max_user_watches")
    if watches is None:
        yield _finding("inotify", "absent", "not offered", "the daemon then scans")
    elif watches < _WATCHES_MIN:
        yield _finding(
            "inotify", "warning", f"{watches} watches", "for the daemon: sysctl fs.inotify.max_user_watches=524288"
        )
    else:
        yield _finding("inotify", "ok", f"{watches:,} watches")


def _store(invocation: Invocation) -> Iterator[FindingItem]:
    from artstore import wiring

    place = wiring.place_of(invocation.store)
    kind = wiring.file_system_of(place)
    if wiring.is_network(kind):
        yield _finding("file system", "problem", f"{kind}, a network file system", "use a folder on a local disk")
    else:
        yield _finding("file system", "ok", kind or "unknown")
    yield _disk(place)
    if not wiring.is_store(place):
        named = invocation.store is not None
        hint = f"artstore init {place}" if named else "artstore commit DIR makes it"
        yield _finding("store", "problem" if named else "absent", f"none at {place}", hint)
        return
    try:
        status = invocation.open_store().status()
    except (ArtstoreError, OSError) as error:
        mend = error.hint if isinstance(error, ArtstoreError) else None
        message = error.message if isinstance(error, ArtstoreError) else str(error)
        yield _finding("store", "problem", message, mend or "artstore check")
        return
    told = f"{place}: {text.count(status.tags, 'tag')}, {text.count(status.packs, 'pack')}"
    told += ", encrypted" if status.encrypted else ""
    if status.readonly:
        yield _finding("store", "warning", f"{told}, read only", "ask its owner for `artstore config shared GROUP`")
    else:
        yield _finding("store", "ok", told)


def _remotes(invocation: Invocation) -> Iterator[FindingItem]:
    """Each is asked once."""
    from artstore import wiring
    from artstore.wiring import reaching

    place = wiring.place_of(invocation.store)
    if not wiring.is_store(place):
        return
    try:
        remotes = reaching.all_of(place)
    except (ArtstoreError, OSError):  # it was told of the store already
        return
    for name, there in remotes.items():
        try:
            skew = reaching.clock_of_remote(there) - time.time()
        except (ArtstoreError, OSError) as error:
            message, hint = (error.message, error.hint) if isinstance(error, ArtstoreError) else (str(error), None)
            yield _finding(f"remote {name}", "warning", message, hint or "artstore remote check tells more")
            continue
        if abs(skew) > _CLOCK_S_MAX:
            told = f"its clock and this machine's are {abs(skew):.0f} s apart"
            yield _finding(f"remote {name}", "warning", told, "set the clock: timedatectl set-ntp true")
        else:
            yield _finding(f"remote {name}", "ok", f"{there.url} answers")


def _daemon(invocation: Invocation) -> Iterator[FindingItem]:
    """What a running one has to say, in whose environment other credentials may stand."""
    from artstore import wiring
    from artstore.cli.commands.daemon import daemon_state, warnings

    place = wiring.place_of(invocation.store)
    state = daemon_state(place) if wiring.is_store(place) else None
    if state is None:
        yield _finding("daemon runs", "absent", "no", "artstore daemon start, if folders are to be watched")
        return
    for error in state.errors:
        yield _finding("daemon", "warning", error, "artstore status; artstore daemon logs")
    if not state.errors:
        told = f"process {state.process}, watches {len(state.watches)}, follows {len(state.follows)}"
        yield _finding("daemon runs", "ok", told)
    for warning in warnings():
        yield _finding("daemon", "warning", warning)


def _disk(place: str) -> FindingItem:
    while not os.path.exists(place):
        place = os.path.dirname(place)
    space = os.statvfs(place)
    free, total = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
    little = total > 0 and free < total * _FREE_SHARE_MIN
    found = f"{text.size(free)} of {text.size(total)} free"
    return _finding("disk", "warning" if little else "ok", found, "artstore gc tells what can go" if little else None)


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
