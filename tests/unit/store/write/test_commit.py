"""What a commit makes of folders, files and streams."""

from __future__ import annotations

import io
import json
import os
import random
import stat
import threading
from pathlib import Path

import pytest

from artstore import limits
from artstore.errors import BadInput, Conflict, NotFound
from artstore.model import (
    CHANGED_PATHS,
    CHANGED_WHILE_READ,
    Content,
    Form,
    Kind,
    Metadata,
)
from artstore.store.commit import Addition, CommitOptions, CommitResult, Naming, Said, commit, edit
from artstore.store.read import entry_at
from artstore.store.write import source
from artstore.testing.commit_bench import Bench


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def never_quiet(_before: os.stat_result, _after: os.stat_result) -> bool:
    """Every file has changed while it was read."""
    return False


def test_a_folder_comes_back_bit_for_bit(bench: Bench) -> None:
    """A user would get other bytes, names or kinds than were committed."""
    files = {
        b"empty": b"",
        b"small": b"x",
        b"one chunk": noise(limits.CHUNK_BYTES_MIN - 1),
        b"a/two buffers": noise(limits.BATCH_BYTES + 12345, 1),
        b"a/b/zeros": bytes(3 * limits.CHUNK_BYTES_MAX + 7),
        b"a-b": b"sorts between a and a/",
        b"\xff\xfe not utf-8": b"bytes",
        b"n" * 255: b"long",
    }
    for path, data in files.items():
        target = Path(os.fsdecode(os.path.join(os.fsencode(bench.folder), path)))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    (bench.folder / "hollow/folder").mkdir(parents=True)
    (bench.folder / "link").symlink_to("a/b/zeros")
    os.chmod(bench.folder / "small", 0o755)
    result = bench.commit()
    content = bench.content(result.tree)
    assert {path: data for path, data in content.items() if path in files} == files
    assert {path for path, data in content.items() if data is None} == {b"a", b"a/b", b"hollow", b"hollow/folder"}
    assert content[b"link"] == b"a/b/zeros"
    assert entry_at(bench.objects, result.tree, b"small").kind == Kind.EXEC
    assert (result.files, result.size) == (len(files) + 1, sum(map(len, files.values())) + len(b"a/b/zeros"))


def test_the_second_version_stores_what_is_new(bench: Bench) -> None:
    """An insertion near the start of a big file would cost its whole size again."""
    data = noise(6 * limits.MIB)
    bench.write("model.bin", data)
    assert bench.commit().new_bytes == len(data)
    bench.write("model.bin", data[: limits.MIB] + b"inserted" + data[limits.MIB :])
    second = bench.commit()
    assert 0 < second.new_bytes < 2 * limits.CHUNK_BYTES_MAX
    assert second.parent is not None
    assert bench.content(second.tree)[b"model.bin"] == (bench.folder / "model.bin").read_bytes()


def test_equal_chunks_of_one_commit_are_stored_once(bench: Bench) -> None:
    """Copies within one folder would be paid for twice."""
    for number in range(5):
        bench.write(f"copy{number}", noise(limits.BATCH_BYTES // 2))
    assert bench.commit().new_bytes == limits.BATCH_BYTES // 2


def test_the_same_folder_gives_the_same_packs(bench: Bench, tmp_path: Path) -> None:
    """Which thread is faster would decide what lies where."""
    for number in range(60):
        bench.write(f"f{number}", noise(limits.MIB, number % 40))
    bench.commit()
    with bench.context.index.read() as reader:
        first = [[digest for digest, _ in reader.pack_contents(row.number)] for row in reader.packs()]
        order = [
            sorted((at.offset, digest) for digest, at in reader.pack_contents(row.number)) for row in reader.packs()
        ]
    assert sum(map(len, first)) > 500
    ids = [digest for pack in order for _, digest in pack]
    assert len(ids) == len(set(ids))


def test_what_has_not_changed_is_not_read(bench: Bench) -> None:
    """A nightly commit of terabytes would read all of them."""
    bench.write("sub/data", noise(limits.MIB))
    bench.write("sub/more", b"x")
    first = bench.commit()
    os.chmod(bench.folder / "sub/data", 0)  # changes ctime: it has to be read again, by root too
    again = bench.commit()
    assert again.unchanged
    assert again.version == first.version
    with bench.context.index.read() as reader:
        packs = len(list(reader.packs()))
    bench.commit()
    with bench.context.index.read() as reader:
        assert len(list(reader.packs())) == packs


def test_a_file_changed_within_the_clock_s_grain_is_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change in the same moment as the commit, of the same size and time, would be missed for ever."""
    monkeypatch.setattr(type(bench.context.clock), "ahead_ns", 0)
    path = bench.write("f", b"first")
    bench.commit()
    times = path.stat().st_mtime_ns
    path.write_bytes(b"other")
    os.utime(path, ns=(times, times))
    assert bench.content(bench.commit().tree)[b"f"] == b"other"


def test_unchanged_rows_are_used_when_a_neighbour_changed(bench: Bench) -> None:
    """One new file in a folder would cost reading all of it."""
    for number in range(20):
        bench.write(f"f{number:02}", noise(1000, number))
    bench.commit()
    bench.write("f10b", b"new")
    result = bench.commit()
    assert result.new_bytes == 3
    assert len(bench.content(result.tree)) == 21
    (bench.folder / "f00").unlink()
    assert len(bench.content(bench.commit().tree)) == 20


def test_new_metadata_makes_a_version_and_none_makes_none(bench: Bench) -> None:
    """A run with other parameters would be lost, or every commit would make a version."""
    bench.write("f", b"x")
    first = bench.commit()
    told = Said("", "me", Metadata(params={"lr": 0.1}))
    second = bench.commit(said=told)
    assert (second.tag, second.unchanged, second.tree) == ("m/v2", False, first.tree)
    assert bench.commit(said=told).unchanged
    assert bench.commit().unchanged
    assert bench.commit(said=Said("why", "me", Metadata())).tag == "m/v3"


def test_a_tag_on_unchanged_content_names_the_version(bench: Bench) -> None:
    """`--tag` would make a copy of a version, or be ignored."""
    bench.write("f", b"x")
    first = bench.commit()
    named = bench.commit(tag="m/final")
    assert (named.version, named.tag, named.unchanged) == (first.version, "m/final", False)
    assert bench.commit(tag="m/final").unchanged
    bench.write("f", b"y")
    with pytest.raises(Conflict):
        bench.commit(tag="m/final")


def test_a_dry_run_writes_nothing(bench: Bench) -> None:
    """Asking what a commit would cost would cost it."""
    bench.write("f", noise(limits.MIB))
    result = bench.commit(dry_run=True)
    assert (result.version, result.new_bytes) == (None, limits.MIB)
    with bench.context.index.read() as reader:
        assert not list(reader.packs())
    bench.commit()
    assert bench.commit(dry_run=True, stat_cache=False).new_bytes == 0


def test_ignored_files_are_left_out_and_counted(bench: Bench) -> None:
    """Caches would be versioned, weights ignored by a .gitignore lost."""
    bench.write("__pycache__/x.pyc", b"1")
    bench.write("model.safetensors", b"weights")
    bench.write("logs/run.log", b"1")
    bench.write(".gitignore", b"*.safetensors\n")
    bench.write(".artignore", b"*.log\n")
    result = bench.commit(excludes=(".*ignore",))
    assert set(bench.content(result.tree)) == {b"logs", b"model.safetensors"}
    assert result.ignored == 4


@pytest.mark.parametrize(("links", "expected"), [("keep", Form.SYMLINK), ("follow", Form.CHUNK)])
def test_links_that_lead_out(bench: Bench, tmp_path: Path, links: str, expected: Form) -> None:
    """A Hugging Face snapshot, links to ../../blobs, would be committed as broken links without a word."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs/b1").write_bytes(b"weights")
    (bench.folder / "model").symlink_to("../blobs/b1")
    (bench.folder / "inside").symlink_to("model")
    with pytest.raises(BadInput, match="--links"):
        bench.commit()
    tree = bench.commit(links=links).tree
    assert entry_at(bench.objects, tree, b"model").content.form == expected
    assert entry_at(bench.objects, tree, b"inside").content == Content(Form.SYMLINK, b"model")


def test_a_followed_link_to_a_folder_above_ends(bench: Bench) -> None:
    """A loop of links would be walked for ever."""
    (bench.folder / "loop").symlink_to(bench.folder)
    with pytest.raises(BadInput, match="it lies in"):
        bench.commit(links="follow")


def test_fifos_sockets_and_devices_are_named(bench: Bench) -> None:
    """A pipe in the folder would block the commit for ever, or vanish from the version."""
    os.mkfifo(bench.folder / "pipe")
    bench.write("f", b"x")
    with pytest.raises(BadInput, match="pipe is neither"):
        bench.commit()
    result = bench.commit(skip_unreadable=True)
    assert list(bench.content(result.tree)) == [b"f"]
    assert [os.path.basename(path) for path in result.skipped] == [b"pipe"]


def test_a_file_that_keeps_changing_fails_the_commit_unless_allowed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-written checkpoint would be versioned as if it were whole."""
    path = bench.write("f", b"x" * 100_000)
    real = source.same_file

    def grown(before: os.stat_result, _: os.stat_result) -> bool:
        with path.open("ab") as file:
            file.write(b"more")
        return real(before, path.stat())

    monkeypatch.setattr(source, "same_file", grown)
    with pytest.raises(BadInput, match="changed while it was read"):
        bench.commit()
    result = bench.commit(allow_changing=True)
    data = bench.content(result.tree)[b"f"]
    assert data is not None
    assert path.read_bytes().startswith(data)
    assert (result.skipped, result.changed) == ((), (b"f",))


def test_a_version_says_which_of_its_files_changed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who gets a torn checkpoint later would know that it was taken while somebody wrote it."""
    odd = os.fsdecode(b'sub/b\xff"')
    paths = [bench.write(name, b"x" * 100) for name in ("sub/a", odd)]
    bench.write("quiet", b"x")
    real = source.same_file

    def grown(before: os.stat_result, after: os.stat_result) -> bool:
        for path in paths:
            if path.stat().st_ino == before.st_ino:
                with path.open("ab") as file:
                    file.write(b"more")
                return real(before, path.stat())
        return real(before, after)

    monkeypatch.setattr(source, "same_file", grown)
    torn = bench.commit(allow_changing=True)
    assert torn.version is not None
    said = bench.objects.version(torn.version).metadata.source
    assert said[CHANGED_WHILE_READ] == 2
    assert json.loads(str(said[CHANGED_PATHS])) == ["sub/a", 'sub/b\\xff"']
    monkeypatch.setattr(source, "same_file", real)
    for path in paths:
        path.write_bytes(bench.content(torn.tree)[os.fsencode(path.relative_to(bench.folder))] or b"")
    whole = bench.commit()
    assert whole.tree == torn.tree
    assert whole.version not in (None, torn.version)
    assert whole.version is not None
    assert not bench.objects.version(whole.version).metadata.source
    assert bench.commit(allow_changing=True).version == whole.version


def test_more_changing_files_than_a_version_names(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of busy logs would make a version that can't be written."""
    files = limits.CHANGED_PATHS_MAX + 20
    for number in range(files):
        bench.write("/".join(["d" * 240] * 3) + f"/f{number:03}", b"x")
    monkeypatch.setattr(source, "same_file", never_quiet)
    result = bench.commit(allow_changing=True)
    assert result.version is not None
    said = bench.objects.version(result.version).metadata.source
    assert said[CHANGED_WHILE_READ] == files
    text = str(said[CHANGED_PATHS])
    assert len(text) <= limits.METADATA_VALUE_BYTES_MAX
    assert 50 < len(json.loads(text)) <= limits.CHANGED_PATHS_MAX


def test_a_file_that_settles_is_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file written to once during the commit would fail it, or come out torn."""
    path = bench.write("f", noise(2 * limits.MIB))
    real = source.same_file
    calls: list[int] = []

    def changed_once(before: os.stat_result, after: os.stat_result) -> bool:
        calls.append(1)
        if len(calls) == 1:
            path.write_bytes(b"settled")
            return real(before, path.stat())
        return real(before, after)

    monkeypatch.setattr(source, "same_file", changed_once)
    assert bench.content(bench.commit().tree)[b"f"] == b"settled"


def test_unreadable_files_are_listed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version would lack files without anybody knowing."""
    bench.write("good", b"x")
    bench.write("secret", b"y")
    real = source.open_file

    def refuse(name: bytes, parent: int, *, follow: bool = False) -> int:
        if name == b"secret":
            raise PermissionError(13, "Permission denied")
        return real(name, parent, follow=follow)

    monkeypatch.setattr(source, "open_file", refuse)
    with pytest.raises(BadInput, match="secret can't be read"):
        bench.commit()
    assert list(bench.content(bench.commit(skip_unreadable=True).tree)) == [b"good"]


def test_a_hundred_levels(bench: Bench) -> None:
    """A deep tree would overflow a stack, or the longest path the system accepts."""
    here = os.open(bench.folder, os.O_RDONLY)
    for _ in range(100):
        os.mkdir(b"d" * 200, dir_fd=here)
        following = os.open(b"d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = following
    file = os.open(b"leaf", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(file, b"deep")
    os.close(file)
    os.close(here)
    content = bench.content(bench.commit().tree)
    assert content[b"/".join([b"d" * 200] * 100 + [b"leaf"])] == b"deep"


def test_holes_cost_no_reading(bench: Bench) -> None:
    """A sparse image of 100 GB would take minutes to commit."""
    path = bench.folder / "disk.img"
    with path.open("wb") as file:
        file.truncate(100 * limits.GIB)
        file.seek(50 * limits.GIB + 5)
        file.write(b"needle")
    result = bench.commit()
    assert result.size == 100 * limits.GIB
    assert result.new_bytes < 2 * limits.MIB
    entry = entry_at(bench.objects, result.tree, b"disk.img")
    from artstore.store.read import open_file

    with open_file(bench.context, bench.objects, entry.content, entry.size) as reading:
        reading.seek(50 * limits.GIB)
        assert reading.read(16) == b"\0" * 5 + b"needle" + b"\0" * 5


@pytest.mark.parametrize("seed", range(6))
def test_a_hole_is_cut_as_zeros_are(bench: Bench, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes would have another id when they come from a sparse file [I7]."""
    rng = random.Random(seed)
    path = bench.folder / "x"
    with path.open("wb") as file:
        size = rng.randrange(3 * limits.MIB, 20 * limits.MIB)
        file.truncate(size)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(size)
            file.seek(at)
            file.write(rng.randbytes(min(size - at, rng.randrange(1, 600_000))))
    sparse = bench.commit(stat_cache=False).tree

    def no_holes(_: os.stat_result) -> bool:
        return False

    monkeypatch.setattr(source, "is_sparse", no_holes)
    assert bench.commit(stat_cache=False).tree == sparse


def test_a_big_directory_is_sorted_in_pieces(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of millions of files would fill the memory, or come out in another order."""
    for number in range(500):
        bench.write(f"f{number}", b"%d" % number)
    whole = bench.commit(stat_cache=False).tree
    monkeypatch.setattr(limits, "BATCH_FILES_MAX", 7)
    monkeypatch.setattr(limits, "SCAN_NAMES_MAX", 50)
    assert bench.commit(stat_cache=False).tree == whole
    assert bench.commit().tree == whole


def test_a_stream_becomes_a_file(bench: Bench) -> None:
    """What is piped in would be lost or misnamed."""
    data = noise(3 * limits.MIB)
    result = commit(
        bench.context,
        bench.objects,
        io.BytesIO(data),
        naming=Naming(tag="s/v1"),
        said=Said("", "", Metadata()),
        file_name=b"dump.bin",
    )
    assert bench.content(result.tree) == {b"dump.bin": data}
    assert not list((Path(bench.context.path) / "tmp").iterdir())


@pytest.mark.parametrize("name", [b"../../../escaped", b"a/b", b"..", b""])
def test_a_stream_s_name_stays_in_its_place(bench: Bench, name: bytes) -> None:
    """A name with `..` would write anywhere, and then remove nothing of it."""
    naming, said = Naming(artifact="m"), Said("", "me", Metadata())
    with pytest.raises(BadInput, match="name of a file"):
        commit(bench.context, bench.objects, io.BytesIO(b"x"), naming=naming, said=said, file_name=name)
    assert not list(bench.folder.parent.rglob("escaped"))


def test_one_file_is_a_tree_of_one(bench: Bench) -> None:
    """`artstore commit model.bin` would fail, or keep its folder."""
    path = bench.write("model.bin", b"weights")
    assert bench.content(bench.commit(path).tree) == {b"model.bin": b"weights"}
    with pytest.raises(NotFound):
        bench.commit(bench.folder / "absent")


def test_an_edit_reads_only_what_is_added(bench: Bench, tmp_path: Path) -> None:
    """Adding one file to a dataset of terabytes would need all of it here."""
    for number in range(30):
        bench.write(f"sub/f{number}", noise(100, number))
    bench.write("old", b"old")
    base = bench.commit()
    assert base.version is not None
    added = tmp_path / "added"
    added.mkdir()
    (added / "n").write_bytes(b"new")
    result = edit(
        bench.context,
        bench.objects,
        base.version,
        additions=[Addition(b"sub/deep/folder", os.fsencode(added)), Addition(b"old", os.fsencode(added / "n"))],
        removals=[b"sub/f3"],
        naming=Naming(artifact="m"),
        said=Said("", "me", Metadata()),
    )
    content, before = bench.content(result.tree), bench.content(base.tree)
    assert result.new_bytes == 3
    assert content.pop(b"sub/deep") is None
    assert content.pop(b"sub/deep/folder") is None
    assert content.pop(b"sub/deep/folder/n") == b"new"
    assert content.pop(b"old") == b"new"
    assert content == {path: data for path, data in before.items() if path not in (b"sub/f3", b"old")}
    with pytest.raises(NotFound, match="absent"):
        edit(
            bench.context,
            bench.objects,
            base.version,
            additions=[],
            removals=[b"absent"],
            naming=Naming(artifact="m"),
            said=Said("", "me", Metadata()),
        )


def test_an_edited_version_descends_from_what_it_was_made_from(bench: Bench, tmp_path: Path) -> None:
    """`log` and `diff` would compare a fix of v1 with v2, which it has nothing of."""
    bench.write("f", b"one")
    first = bench.commit()
    bench.write("f", b"two")
    second = bench.commit()
    (tmp_path / "n").write_bytes(b"new")
    assert first.version is not None
    assert second.parent == first.version

    def edited() -> CommitResult:
        assert first.version is not None
        addition = Addition(b"n", os.fsencode(tmp_path / "n"))
        return edit(
            bench.context,
            bench.objects,
            first.version,
            additions=[addition],
            removals=[],
            naming=Naming(artifact="m"),
            said=Said("", "me", Metadata()),
        )

    third = edited()
    assert third.version is not None
    assert (third.tag, third.parent) == ("m/v3", first.version)
    assert bench.objects.version(third.version).parents == [first.version]
    again = edited()
    assert (again.unchanged, again.version, again.parent) == (True, third.version, first.version)


def test_the_parent_told_is_that_of_the_version_told(bench: Bench) -> None:
    """A script that reads `parent` would be led in a circle when nothing has changed."""
    bench.write("f", b"one")
    first = bench.commit()
    assert (first.parent, bench.commit().parent) == (None, None)
    bench.write("f", b"two")
    second = bench.commit()
    again = bench.commit()
    assert (again.unchanged, again.version, again.parent) == (True, second.version, first.version)
    named = bench.commit(tag="m/best")
    assert (named.tag, named.version, named.parent) == ("m/best", second.version, first.version)


def test_an_edit_names_what_changed_where_it_lies_in_the_version(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version would say that a path changed which it doesn't have."""
    bench.write("f", b"one")
    base = bench.commit()
    (tmp_path / "more").mkdir()
    for name in ("n", "more/x"):
        (tmp_path / name).write_bytes(b"new")
    monkeypatch.setattr(source, "same_file", never_quiet)
    assert base.version is not None
    result = edit(
        bench.context,
        bench.objects,
        base.version,
        additions=[Addition(b"a/n", os.fsencode(tmp_path / "n")), Addition(b"m/", os.fsencode(tmp_path / "more"))],
        removals=[],
        naming=Naming(artifact="m"),
        said=Said("", "me", Metadata()),
        options=CommitOptions(allow_changing=True),
    )
    assert result.changed == (b"a/n", b"m/x")


def test_a_commit_that_fails_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed commit would leave temporary packs, a locked session, or half a version."""
    bench.write("f", noise(limits.MIB))
    before = threading.active_count()

    def fail(_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("artstore.store.write.packer.PackWriter.close", fail)
    with pytest.raises(OSError, match="Input/output"):
        bench.commit()
    monkeypatch.undo()
    assert threading.active_count() == before
    assert not list((Path(bench.context.path) / "tmp").iterdir())
    assert not bench.context.sessions.running()
    assert bench.commit().files == 1


def test_two_commits_at_once(bench: Bench) -> None:
    """Two runs that finish together would overwrite each other's version."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        folder = bench.folder / str(number)
        folder.mkdir()
        (folder / "f").write_bytes(noise(3 * limits.MIB, number % 2))
        try:
            bench.commit(folder)
        except Exception as error:  # noqa: BLE001 - the test fails with it
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with bench.context.index.read() as reader:
        tags = list(reader.tags("m/"))
    assert len({tag.name for tag in tags}) == len(tags) >= 2


def test_modes_other_than_executable_are_not_kept(bench: Bench) -> None:
    """The same content would have another id on another machine [I7]."""
    path = bench.write("f", b"x")
    path.chmod(stat.S_IRUSR)
    first = bench.commit(stat_cache=False)
    path.chmod(0o666)
    assert bench.commit(stat_cache=False).tree == first.tree
