"""A store as files and folders, without a mount: what each number means, and what the kernel is told of changes."""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest

from artstore import Store, limits
from artstore.errors import Corrupt
from artstore.model import PackKind
from artstore.testing.damage import flip, pack_files
from artstore_fuse.chunks import Chunks
from artstore_fuse.view import ROOT_INODE, Attributes, Change, View

WAIT_S = 30
UID, GID, UMASK = 1234, 5678, 0o027
UNKNOWN = 99_999
WEIGHTS = random.Random(1).randbytes(3 << 20)
ODD = b"caf\xe9"


@dataclass
class Shown:
    """A store with `m/v1`, and the view of a mount of it."""

    store: Store
    source: Path
    chunks: Chunks
    view: View

    def commit(self, tag: str) -> bytes:
        """The folder, with something new in it, as this tag; the version's id."""
        (self.source / "new").write_text(tag)
        self.store.commit(self.source, tag=tag)
        return self.store.resolve(tag).version

    def at(self, path: str | bytes) -> Attributes:
        """What a path leads to, looked up part by part, as a kernel does that doesn't follow links."""
        found = self.view.getattr(ROOT_INODE)
        for part in os.fsencode(path).split(b"/"):
            found = self.view.lookup(found.inode, part)
        return found

    def names(self, path: str) -> list[bytes]:
        """What stands in a folder."""
        handle = self.view.opendir(self.at(path).inode if path else ROOT_INODE)
        names = [name for name, _, _ in self.view.readdir(handle, 0)]
        self.view.releasedir(handle)
        return names

    def content(self, path: str | bytes) -> bytes:
        """All bytes of a file."""
        handle = self.view.open(self.at(path).inode)
        data = read(self.view, handle, 0, 2 * len(WEIGHTS))
        self.view.release(handle)
        return data

    def forget_version(self, tag: str) -> None:
        """Remove a tag, and collect what only it led to."""
        self.store.remove(tag)
        self.store.gc(self.store.gc_plan(now=True), now=True)


def read(view: View, handle: int, offset: int, size: int) -> bytes:
    """Bytes of an open file, when they are there."""
    answer = view.read(handle, offset, size)
    return bytes(answer.result(WAIT_S) if isinstance(answer, Future) else answer)


def refused(number: int, call: Callable[[], object]) -> bool:
    """Whether a call fails with this errno."""
    try:
        call()
    except OSError as error:
        return error.errno == number
    return False


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with each kind of thing."""
    folder = tmp_path / "source"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "many").mkdir()
    for number in range(400):
        (folder / "many" / random.Random(number).randbytes(20).hex()).touch()
    (folder / "weights.bin").write_bytes(WEIGHTS)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "empty").write_bytes(b"")
    (folder / "link").symlink_to("weights.bin")
    (folder / "deep" / "er" / os.fsdecode(ODD)).write_bytes(b"odd")
    return folder


@pytest.fixture
def make(tmp_path: Path, source: Path) -> Iterator[Callable[..., Shown]]:
    """Views of one store, by the options of a mount. The store is opened anew: nothing of the commit is in memory."""
    with Store.init(tmp_path / "store") as store:
        store.commit(source, tag="m/v1")
    made: list[Shown] = []
    with Store.open(tmp_path / "store") as store:

        def one(**options: object) -> Shown:
            chunks = Chunks(store.objects, memory_bytes=32 << 20, threads=2)
            view = View(store, chunks=chunks, uid=UID, gid=GID, umask=UMASK, **options)  # type: ignore[arg-type]
            made.append(Shown(store, source, chunks, view))
            return made[-1]

        yield one
        for shown in made:
            shown.view.close()
            assert shown.chunks.stretches.held_bytes == 0
            shown.chunks.close()


@pytest.fixture
def shown(make: Callable[..., Shown]) -> Shown:
    """All of the store."""
    return make()


# --- what is where


def test_each_version_by_its_tag_its_alias_and_its_id(shown: Shown) -> None:
    """People know tags, deployments aliases, lineage ids: all three lead to the same files."""
    shown.store.commit(shown.source, tag="vision/resnet50/v3")
    shown.store.set_alias("vision/resnet50/production", "vision/resnet50/v3")
    version = shown.store.resolve("vision/resnet50/v3").version.hex()
    shown.view.refresh()
    assert shown.names("") == [b".artstore", b"aliases", b"ids", b"versions"]
    assert shown.names("versions/vision/resnet50") == [b"v3"]
    assert shown.names("aliases/vision/resnet50") == [b"latest", b"production"]
    assert version.encode() in shown.names("ids")
    inside = [b"deep", b"empty", b"link", b"many", b"run.sh", b"weights.bin"]
    for path in ("versions/vision/resnet50/v3", f"ids/{version}"):
        assert shown.names(path) == inside
        assert shown.content(f"{path}/weights.bin") == WEIGHTS
        assert shown.content(path.encode() + b"/deep/er/" + ODD) == b"odd"
    link = shown.at("aliases/vision/resnet50/production")
    assert shown.view.readlink(link.inode) == b"../../../versions/vision/resnet50/v3"
    assert stat.S_ISLNK(link.mode)
    assert link.size == len(shown.view.readlink(link.inode))


def test_attributes(shown: Shown) -> None:
    """Programs look at sizes, rights and times before they read."""
    created = shown.store.version("m/v1").created
    weights = shown.at("versions/m/v1/weights.bin")
    assert weights == Attributes(weights.inode, stat.S_IFREG | 0o440, len(WEIGHTS), 1, created, UID, GID, True)
    assert shown.at("versions/m/v1/run.sh").mode == stat.S_IFREG | 0o550
    folder = shown.at("versions/m/v1/deep")
    assert (folder.mode, folder.size, folder.nlink, folder.mtime_ns) == (stat.S_IFDIR | 0o550, 0, 1, created)
    link = shown.at("versions/m/v1/link")
    assert (link.mode, shown.view.readlink(link.inode)) == (stat.S_IFLNK | 0o777, b"weights.bin")
    assert shown.at("versions/m").mtime_ns >= created
    # What may be kept for ever: what is in a version, but not the name of the version.
    assert [shown.at(path).lasting for path in ("versions/m/v1/deep", "versions/m/v1", "versions/m")] == [True, 0, 0]
    assert [shown.view.lacks_for_ever(shown.at(path).inode) for path in ("versions/m/v1", "versions/m")] == [True, 0]


def test_a_pattern_shows_some_names_alone(make: Callable[..., Shown]) -> None:
    """A mount for one team doesn't show what others train."""
    all_of_it = make()
    other = all_of_it.commit("other/v1")
    some = make(pattern="m/*")
    assert some.names("versions") == [b"m"]
    assert some.names("aliases") == [b"m"]
    assert refused(errno.ENOENT, lambda: some.at("versions/other"))
    assert refused(errno.ENOENT, lambda: some.at(f"ids/{other.hex()}"))
    all_of_it.view.refresh()
    assert all_of_it.names("versions") == [b"m", b"other"]


def test_files_made_when_opened(make: Callable[..., Shown]) -> None:
    """One reader of the status sees one moment, however many reads it takes."""
    answers = iter([b"size", b"first", b"second!", b"end"])
    shown = make(virtual={b"status": lambda: next(answers)})
    assert shown.names(".artstore") == [b"status"]  # a listing tells of sizes as well
    inode = shown.at(".artstore/status").inode
    handles = [shown.view.open(inode) for _ in range(1)]
    assert not shown.view.is_lasting(handles[0])
    assert read(shown.view, handles[0], 0, 3) + read(shown.view, handles[0], 3, 99) == b"second!"
    assert read(shown.view, handles[0], 7, 10) == b""
    assert shown.view.rest_of_random_miss(handles[0], 0, 4) == []
    shown.view.release(handles[0])
    assert refused(errno.ENOTDIR, lambda: shown.view.opendir(inode))
    assert refused(errno.ENOTDIR, lambda: shown.view.lookup(inode, b"x"))


# --- numbers


def test_known_until_forgotten(shown: Shown) -> None:
    """The kernel counts how often it was told of a thing, and may ask until it has forgotten it as often."""
    inode = shown.at("versions/m/v1/weights.bin").inode
    assert shown.at("versions/m/v1/weights.bin").inode == inode
    shown.view.forget(inode, 1)
    assert shown.view.getattr(inode).size == len(WEIGHTS)
    shown.view.forget(inode, 1)
    assert refused(errno.ESTALE, lambda: shown.view.getattr(inode))
    assert shown.at("versions/m/v1/weights.bin").inode == inode


def test_a_listing_tells_of_what_was_taken_alone(shown: Shown) -> None:
    """The kernel's buffer may be full after any entry; what didn't fit is never forgotten, and would stay for ever."""
    handle = shown.view.opendir(shown.at("versions/m/v1").inode)
    entries = shown.view.readdir(handle, 0)
    taken: list[tuple[bytes, Attributes, int]] = []
    for _ in range(2):
        taken.append(next(entries))
        shown.view.remember(taken[-1][1].inode)
    refused_one = next(entries)
    assert [shown.view.getattr(told.inode) for _, told, _ in taken] == [told for _, told, _ in taken]
    assert refused(errno.ESTALE, lambda: shown.view.getattr(refused_one[1].inode))
    rest = list(shown.view.readdir(handle, taken[-1][2]))
    assert rest[0] == refused_one
    assert [*taken, *rest] == list(shown.view.readdir(handle, 0))
    assert list(shown.view.readdir(handle, rest[-1][2])) == []
    shown.view.releasedir(handle)


def test_what_the_kernel_cannot_know(shown: Shown) -> None:
    """A number from an earlier life of the mount, as NFS has them."""
    view = shown.view
    for call in (view.getattr, view.open, view.opendir, view.readlink, view.listxattr, view.describe):
        assert refused(errno.ESTALE, lambda call=call: call(UNKNOWN))  # type: ignore[misc]
    assert refused(errno.ESTALE, lambda: view.lookup(UNKNOWN, b"x"))
    view.forget(UNKNOWN, 1)


@pytest.mark.parametrize(
    ("path", "call", "number"),
    [
        ("versions/m/v1", "open", errno.EISDIR),
        ("versions/m", "open", errno.EISDIR),
        ("versions/m/v1/link", "open", errno.ELOOP),
        ("aliases/m/latest", "open", errno.ELOOP),
        ("versions/m/v1/weights.bin", "opendir", errno.ENOTDIR),
        ("aliases/m/latest", "opendir", errno.ENOTDIR),
        ("versions/m/v1/weights.bin", "readlink", errno.EINVAL),
        ("versions/m/v1", "readlink", errno.EINVAL),
        ("versions/m", "readlink", errno.EINVAL),
        ("versions/m/v1/weights.bin", "lookup", errno.ENOTDIR),
        ("versions/m/v1", "lookup", errno.ENOENT),
        ("versions/m", "lookup", errno.ENOENT),
        ("versions", "lookup", errno.ENOENT),
    ],
)
def test_what_a_thing_is_not(shown: Shown, path: str, call: str, number: int) -> None:
    """Programs find out what something is by trying, and look at the errno."""
    inode = shown.at(path).inode
    args = (b"missing",) if call == "lookup" else ()
    assert refused(number, lambda: getattr(shown.view, call)(inode, *args))


# --- files


def test_reads_end_with_the_file(shown: Shown) -> None:
    """A read past the end gives what there is."""
    handle = shown.view.open(shown.at("versions/m/v1/weights.bin").inode)
    size = len(WEIGHTS)
    for offset, count in ((0, 1), (1000, 70_000), (size - 5, 100), (size, 10), (size + 10, 10), (0, 0)):
        assert read(shown.view, handle, offset, count) == WEIGHTS[offset : offset + count]
    assert shown.view.is_lasting(handle)
    shown.view.release(handle)
    assert shown.content("versions/m/v1/empty") == b""


def test_one_file_for_all_its_handles(shown: Shown) -> None:
    """It stays open until its last handle is released, in whatever order they are."""
    inode = shown.at("versions/m/v1/weights.bin").inode
    first, second = shown.view.open(inode), shown.view.open(inode)
    assert first != second
    shown.view.release(first)
    assert read(shown.view, second, 10, 10) == WEIGHTS[10:20]
    shown.view.release(second)
    assert shown.view.rest_of_random_miss(second, 10, 10) == []  # asked for after the answer, when it's too late
    third = shown.view.open(inode)
    assert third not in {first, second}
    assert read(shown.view, third, 0, 10) == WEIGHTS[:10]


def test_a_damaged_chunk_is_never_read(shown: Shown) -> None:
    """No byte that isn't the one which was committed."""
    (pack,) = pack_files(shown.store.context, PackKind.DATA)
    flip(pack, pack.stat().st_size // 2)
    handle = shown.view.open(shown.at("versions/m/v1/weights.bin").inode)
    broken = 0
    for offset in range(0, len(WEIGHTS), 4096):
        try:
            assert read(shown.view, handle, offset, 4096) == WEIGHTS[offset : offset + 4096]
        except Corrupt as error:
            broken += error.digest is not None and error.pack is not None
    assert 0 < broken < len(WEIGHTS) // 4096 // 2


def test_a_damaged_folder_is_an_error_not_an_empty_one(shown: Shown) -> None:
    """A training that sees half of its files trains on half of its data."""
    (pack,) = pack_files(shown.store.context, PackKind.META)
    flip(pack, pack.stat().st_size // 2)  # most of it are the pages of 400 names
    folder = shown.at("versions/m/v1/many").inode
    names = [os.fsencode(name) for name in os.listdir(shown.source / "many")]

    def is_lost(name: bytes) -> bool:
        try:
            return not shown.view.lookup(folder, name).inode
        except Corrupt:
            return True

    lost = [name for name in names if is_lost(name)]
    assert lost
    handle = shown.view.opendir(folder)
    with pytest.raises(Corrupt):
        list(shown.view.readdir(handle, 0))
    shown.forget_version("m/v1")  # of a version that is gone, that is the reason
    assert refused(errno.ESTALE, lambda: shown.view.lookup(folder, lost[0]))
    assert refused(errno.ESTALE, lambda: list(shown.view.readdir(handle, 0)))


# --- attributes with names


def test_extended_attributes(shown: Shown) -> None:
    """Lineage needs no library: the id of what a program has in its hands stands beside it."""
    version = shown.store.resolve("m/v1").version.hex().encode()
    weights, empty, folder = (shown.at(f"versions/m/v1/{name}").inode for name in ("weights.bin", "empty", "deep"))
    get = shown.view.getxattr
    names = [b"user.artstore.id", b"user.artstore.version", b"user.artstore.bytes_stored"]
    assert shown.view.listxattr(weights) == names
    assert get(weights, names[0]).decode() == shown.store.entry("m/v1", "weights.bin").content.value.hex()
    assert get(weights, names[1]) == get(folder, names[1]) == version
    assert len(WEIGHTS) < int(get(weights, names[2])) < len(WEIGHTS) * 1.01  # noise, and its headers
    assert shown.view.listxattr(empty) == names[1:]
    assert get(empty, names[2]) == b"0"
    assert shown.view.listxattr(folder) == names[:2]
    place = shown.at("versions/m").inode
    assert shown.view.listxattr(place) == []
    for inode, name in ((empty, names[0]), (folder, names[2]), (weights, b"user.else"), (place, names[1])):
        assert refused(errno.ENODATA, lambda inode=inode, name=name: get(inode, name))  # type: ignore[misc]
    assert refused(errno.EOPNOTSUPP, lambda: get(weights, b"system.posix_acl_access"))


def test_chunks_that_repeat_are_stored_once(shown: Shown) -> None:
    """The bytes stored of a file are what it takes in the packs, not what it would take alone."""
    (shown.source / "twice").write_bytes(bytes(8 << 20))
    shown.store.commit(shown.source, tag="m/v2")
    shown.view.refresh()
    assert int(shown.view.getxattr(shown.at("versions/m/v2/twice").inode, b"user.artstore.bytes_stored")) < 10_000


def test_statfs_tells_the_size_of_the_packs(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is free, so that programs don't try to write; `df` is cheap, however often it is asked."""
    clock = [0.0]
    monkeypatch.setattr("artstore_fuse.view.time.monotonic", lambda: clock[0])
    told = shown.view.statfs()
    size = sum(path.stat().st_size for path in pack_files(shown.store.context))
    assert (told.free, told.name_max) == (0, 255)
    assert 0 <= told.blocks * told.block_size - size < told.block_size
    shown.commit("m/v2")
    assert shown.view.statfs() == told
    clock[0] = limits.MOUNT_STATFS_S + 1
    assert shown.view.statfs().blocks >= told.blocks
    assert shown.view.statfs() is not told


def test_descriptions_for_people(shown: Shown) -> None:
    """The log says which version and path, as one would type it."""
    describe = shown.view.describe
    assert describe(shown.at("versions/m/v1/weights.bin").inode) == "m/v1:weights.bin"
    assert describe(shown.at(b"versions/m/v1/deep/er/" + ODD).inode) == "m/v1:deep/er/caf\\xe9"
    assert describe(shown.at("versions/m").inode) == "/versions/m"
    assert describe(ROOT_INODE) == "/"


# --- time


def test_a_new_tag_is_told_to_who_has_looked(shown: Shown) -> None:
    """The kernel remembers that there was no such name, and where `latest` led, until it is told."""
    assert shown.view.refresh() == []
    shown.commit("unseen/v1")
    parents = {path: shown.at(path).inode for path in ("versions", "aliases", "ids")}
    assert sorted(shown.view.refresh(), key=str) == sorted(
        [
            Change(parents["versions"], b"unseen", 0),
            Change(parents["aliases"], b"unseen", 0),
            Change(parents["ids"], shown.store.resolve("unseen/v1").version.hex().encode(), 0),
        ],
        key=str,
    )
    versions, aliases = shown.at("versions/m").inode, shown.at("aliases/m").inode
    latest = shown.at("aliases/m/latest").inode
    shown.commit("m/v2")
    changes = shown.view.refresh()
    assert {change for change in changes if change.parent_inode in {versions, aliases}} == {
        Change(versions, b"v2", 0),
        Change(aliases, b"latest", latest),
    }
    assert shown.content("versions/m/v2/new") == b"m/v2"
    assert shown.view.readlink(latest) == b"../../versions/m/v2"
    assert shown.view.refresh() == []


def test_what_the_kernel_has_not_seen_is_not_told(shown: Shown) -> None:
    """A thousand tags are no thousand notices."""
    shown.commit("m/v2")
    shown.store.set_alias("m/production", "m/v1")
    assert shown.view.refresh() == []


def test_an_alias_that_moves_and_goes(shown: Shown) -> None:
    """A deployment moves within a second; its link has the same number all the time."""
    shown.commit("m/v2")
    shown.store.set_alias("m/production", "m/v2")
    shown.view.refresh()
    folder, link = shown.at("aliases/m").inode, shown.at("aliases/m/production")
    shown.store.set_alias("m/production", "m/v1")
    assert shown.view.refresh() == [Change(folder, b"production", link.inode)]
    assert shown.view.readlink(link.inode) == b"../../versions/m/v1"
    assert shown.view.getattr(link.inode).mtime_ns > link.mtime_ns
    shown.store.remove("m/production")
    assert Change(folder, b"production", link.inode) in shown.view.refresh()
    for call in (shown.view.getattr, shown.view.readlink):
        assert refused(errno.ENOENT, lambda call=call: call(link.inode))  # type: ignore[misc]


def test_a_version_that_goes_while_it_is_open(shown: Shown) -> None:
    """What is open goes on as long as its chunks are there, but nothing new is opened."""
    shown.commit("m/v2")
    shown.view.refresh()
    folder, shared, own = (shown.at(f"versions/m/v2{path}").inode for path in ("", "/weights.bin", "/new"))
    handles = shown.view.open(shared), shown.view.open(own)
    assert read(shown.view, handles[1], 0, 10) == b"m/v2"
    shown.forget_version("m/v2")
    assert any(change.name == b"v2" for change in shown.view.refresh())
    assert read(shown.view, handles[0], 0, 2 * len(WEIGHTS)) == WEIGHTS  # `m/v1` has it, too
    assert read(shown.view, handles[1], 0, 10) == b"m/v2"  # no version has it, but it was in memory
    assert shown.view.getattr(own).size == 4
    for inode in (shared, own):
        assert refused(errno.ESTALE, lambda inode=inode: shown.view.open(inode))  # type: ignore[misc]
    assert refused(errno.ESTALE, lambda: shown.view.opendir(folder))
    assert refused(errno.ENOENT, lambda: shown.at("versions/m/v2"))
    assert shown.content("versions/m/v1/weights.bin") == WEIGHTS


def test_the_distinct_chunks_of_a_great_file(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, they are counted in little memory: part by part, each chunk once."""
    weights = shown.at("versions/m/v1/weights.bin").inode
    whole = shown.view.getxattr(weights, b"user.artstore.bytes_stored")
    monkeypatch.setattr(limits, "MOUNT_STORED_BYTES", len(WEIGHTS) // 7)
    assert shown.view.getxattr(weights, b"user.artstore.bytes_stored") == whole


def test_a_version_that_is_damaged_hides_no_other(make: Callable[..., Shown], caplog: pytest.LogCaptureFixture) -> None:
    """One bad sector must not take the folder of all ids away; who asks for that version is told."""
    shown = make()
    lost = shown.commit("m/v2")
    context = shown.store.context
    with context.index.read() as reader:
        (place,) = reader.find_many([lost])
    assert place is not None
    path = max(pack_files(context, PackKind.META), key=lambda path: path.stat().st_mtime_ns)
    flip(path, place.offset + limits.FRAME_HEADER_BYTES)
    shown.view.refresh()
    kept = shown.store.resolve("m/v1").version.hex().encode()
    assert shown.names("versions/m") == [b"v1"]
    assert shown.names("ids") == [kept]
    assert "/versions/m/v2 is left out" in caplog.text
    for path_in_mount in ("versions/m/v2", f"ids/{lost.hex()}"):
        with pytest.raises(Corrupt):
            shown.at(path_in_mount)
    shown.forget_version("m/v2")  # the names were not looked at since
    assert refused(errno.ENOENT, lambda: shown.at("versions/m/v2"))
