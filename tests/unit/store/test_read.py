"""Reading a version: paths, walks, open files."""

from __future__ import annotations

import io
import random
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import BadName, Corrupt, NotFound, UsageError
from artstore.model import Content, Form, Kind, ObjectKind
from artstore.store.objects import Objects
from artstore.store.read import entry_at, open_file, walk
from artstore.testing.planted import Exec, Link, Planted, Planter, Raw

FILES: dict[bytes, Planted] = {
    b"README": b"hello",
    b"empty": {},
    b"models": {b"a.b": b"1", b"a": {b"weights.bin": b"22", b"weights.idx": b"333"}, b"run": Exec(b"#!")},
    b"to": Link(b"README"),
    b"\xff": b"",
}


def test_a_path_leads_to_its_entry(planter: Planter, objects: Objects) -> None:
    """`artstore cat REV:PATH` would show something else."""
    version = planter.version(FILES)
    planter.flush()
    document = objects.version(version)
    tree = document.tree
    assert entry_at(objects, tree, b"models/a/weights.bin").size == 2
    assert entry_at(objects, document, b"./models//run/").kind == Kind.EXEC
    assert entry_at(objects, tree, b"\xff").content.form == Form.EMPTY
    top = entry_at(objects, tree, b"")
    assert (top.kind, top.files, top.size) == (Kind.DIR, document.files, document.size)


def test_a_wrong_path_says_which_part_and_what_is_like_it(planter: Planter, objects: Objects) -> None:
    """A user who mistyped one part would search all of it."""
    tree = planter.tree(FILES)
    planter.flush()
    with pytest.raises(NotFound, match=r"there is no 'wieghts.bin' in 'models/a'; did you mean 'weights.bin'"):
        entry_at(objects, tree, b"models/a/wieghts.bin")
    with pytest.raises(NotFound, match=r"no 'modules' at the top.*'models'"):
        entry_at(objects, tree, b"modules/a")
    with pytest.raises(NotFound, match="'README' is a file"):
        entry_at(objects, tree, b"README/x")
    with pytest.raises(NotFound, match="'to' is a symbolic link"):
        entry_at(objects, tree, b"to/x")
    with pytest.raises(BadName):
        entry_at(objects, tree, b"models/../README")


def test_a_walk_meets_everything_once_in_order(planter: Planter, objects: Objects) -> None:
    """`ls -R` or an export would miss files."""
    tree = planter.tree(FILES)
    planter.flush()
    assert [path for path, _ in walk(objects, tree)] == [
        b"README",
        b"empty",
        b"models",
        b"models/a",
        b"models/a/weights.bin",
        b"models/a/weights.idx",
        b"models/a.b",
        b"models/run",
        b"to",
        b"\xff",
    ]
    assert [path for path, _ in walk(objects, tree, b"models/a")] == [b"models/a/weights.bin", b"models/a/weights.idx"]
    assert [(path, entry.size) for path, entry in walk(objects, tree, b"README")] == [(b"README", 5)]


def test_a_walk_reads_no_more_than_it_is_asked_for(planter: Planter) -> None:
    """`ls` of a directory of millions would take its time before the first name, and all memory."""
    tree = planter.tree({b"%05d" % number: b"" for number in range(20_000)})
    planter.flush()
    loaded: list[bytes] = []

    class Counting(Objects):
        """Notes what is loaded."""

        def load(self, kind: ObjectKind, id: bytes) -> bytes:
            loaded.append(id)
            return super().load(kind, id)

    found = walk(Counting(planter.context), tree)
    assert next(found)[0] == b"00000"
    assert len(loaded) <= 4
    assert sum(1 for _ in found) == 19_999


def test_a_tree_without_end_is_refused(planter: Planter, objects: Objects) -> None:
    """A hostile version could hang whoever lists it."""
    content = Content(Form.TREE, planter.tree({}))
    for _ in range(limits.PATH_DEPTH_MAX + 2):
        content = Content(Form.TREE, planter.tree({b"d": Raw(Kind.DIR, 0, content)}))
    planter.flush()
    with pytest.raises(Corrupt, match="levels"):
        list(walk(objects, content.value))


def test_an_open_file_reads_like_any_other(planter: Planter, objects: Objects) -> None:
    """A library that reads a model from a file object would get other bytes than from a file."""
    data = random.Random(7).randbytes(3_000_000) + bytes(600_000) + b"tail"
    content = planter.content(data)
    planter.flush()
    assert content.form == Form.RECIPE

    @settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("read"), st.integers(-1, 400_000)),
                st.tuples(st.just("seek"), st.integers(0, len(data) + 10)),
                st.tuples(st.just("back"), st.integers(0, len(data))),
                st.tuples(st.just("readinto"), st.integers(0, 300_000)),
                st.tuples(st.just("readline"), st.integers(0, 1000)),
            ),
            max_size=12,
        )
    )
    def compare(steps: list[tuple[str, int]]) -> None:
        model = io.BytesIO(data)
        with open_file(planter.context, objects, content, len(data)) as file:
            assert file.readable()
            assert not file.writable()
            for step, number in steps:
                match step:
                    case "read":
                        assert file.read(number) == model.read(number)
                    case "seek":
                        assert file.seek(number) == model.seek(number)
                    case "back":
                        assert file.seek(-number, io.SEEK_END) == model.seek(-number, io.SEEK_END)
                    case "readinto":
                        left, right = bytearray(number), bytearray(number)
                        assert file.readinto(left) == model.readinto(right)
                        assert left == right
                    case _:
                        assert file.readline(number) == model.readline(number)
                assert file.tell() == model.tell()

    compare()


def test_ranges_are_read_from_any_thread(planter: Planter, objects: Objects) -> None:
    """A mount serves many reads of one file at once."""
    data = random.Random(8).randbytes(4_000_000)
    content = planter.content(data)
    planter.flush()
    with open_file(planter.context, objects, content, len(data)) as file, ThreadPoolExecutor(6) as pool:

        def check(seed: int) -> bool:
            source = random.Random(seed)
            offset, size = source.randrange(len(data) + 100), source.randrange(200_000)
            return file.read_at(offset, size) == data[offset : offset + size]

        assert all(pool.map(check, range(300)))
        assert file.tell() == 0
        assert file.size == len(data)


def test_small_and_empty_files_are_files_too(planter: Planter, objects: Objects) -> None:
    """A one-byte label or an empty marker could not be opened."""
    for data in (b"", b"x", b"line\nline\n"):
        content = planter.content(data)
        planter.flush()
        with open_file(planter.context, objects, content, len(data)) as file:
            assert file.read() == data
            assert file.read_at(0, 100) == data
            assert file.read_at(len(data) + 5, 1) == b""
            for offset, size in ((-1, 1), (0, -1)):
                with pytest.raises(ValueError, match="negative"):
                    file.read_at(offset, size)


def test_an_archive_opens_from_a_version(planter: Planter, objects: Objects) -> None:
    """PyTorch reads its checkpoints, which are zip files, from file objects."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("data/0", random.Random(1).randbytes(500_000))
    content = planter.content(packed.getvalue())
    planter.flush()
    file = open_file(planter.context, objects, content, len(packed.getvalue()))
    with file, zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["data/0"]


def test_a_recipe_of_another_size_is_refused(planter: Planter, objects: Objects) -> None:
    """A file that is cut short would be taken for whole."""
    data = random.Random(9).randbytes(700_000)
    content = planter.content(data)
    one = planter.content(b"only")
    planter.flush()
    for size in (len(data) - 1, len(data) + 1, 1, 10_000_000):
        with pytest.raises(Corrupt), open_file(planter.context, objects, content, size) as file:
            file.read()
    with pytest.raises(Corrupt), open_file(planter.context, objects, one, 3) as file:
        file.read()


def test_only_files_open(planter: Planter, objects: Objects) -> None:
    """Reading a folder would give nonsense instead of an error."""
    tree = planter.tree({b"l": Link(b"x")})
    planter.flush()
    for content in (Content(Form.TREE, tree), Content(Form.SYMLINK, b"x")):
        with pytest.raises(UsageError):
            open_file(planter.context, objects, content, 1)
