"""Stores with an id key: all works as in any other, and nothing in them tells who lacks the key what lies there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock, patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artstore import Store, limits
from artstore.adapters.packs import FilePacks
from artstore.errors import ArtstoreError, Corrupt
from artstore.format.frame import KIND_MASK
from artstore.format.ids import KEY_BYTES, PLAIN, Ids
from artstore.format.reflog import LogRecord, Moved
from artstore.format.remote import RemoteAlias
from artstore.format.version import encode_move
from artstore.model import Digest, Kind, Move, ObjectKind, RemotePlace
from artstore.store.check.frames import read_tail
from artstore.store.check.refs import log_state
from artstore.store.checkout import checkout
from artstore.store.compare import diff_folder
from artstore.store.content import iter_content
from artstore.store.context import Context
from artstore.store.facade import Connection
from artstore.store.objects import Objects
from artstore.store.read import open_file
from artstore.store.remote.documents import read_document
from artstore.store.remote.names import read_move
from artstore.testing.damage import flip
from artstore.testing.local_store import create, files_of, opened
from tests.machines import Machines, commit, named_by, noise

pytestmark = pytest.mark.plain("has keys of its own, for ids alone")

KEYED = Ids(bytes(range(KEY_BYTES)))
OTHER = Ids(bytes(KEY_BYTES))
WRONG = pytest.mark.parametrize("wrong", [PLAIN, OTHER], ids=["plain", "another key"])

LONG = 400_000  # bytes: several chunks, and so a recipe

# Seed and size of each file; seed 0 stands for zeros, of which a checkout makes holes.
files = st.dictionaries(
    st.sampled_from(["a", "b", "sub/c", "sub/below/d", "z"]),
    st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 60, 20_000, LONG])),
    min_size=1,
)


def write(folder: Path, tree: dict[str, tuple[int, int]]) -> Path:
    """Files of these sizes."""
    for name, (seed, size) in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise(size, seed) if seed else bytes(size))
    return folder


def held(context: Context, objects: Objects) -> Iterator[tuple[ObjectKind, Digest, bytes]]:
    """Every object in the packs of a store."""
    with context.index.read() as reader:
        packs = list(reader.packs())
    for pack in packs:
        for entry in read_tail(context.packs, pack.id, pack.size).entries:
            kind = ObjectKind(entry.flags & KIND_MASK)
            yield kind, Digest(entry.id), objects.fetcher.one(kind, entry.id)


def plain_ids(context: Context, objects: Objects, aliases: Iterable[str] = ()) -> set[bytes]:
    """What somebody without the key would call what lies in a store."""
    found = {bytes(PLAIN.of(kind, data)) for kind, _, data in held(context, objects)}
    with context.index.read() as reader:
        moves = [move for name in aliases for _, move in reader.moves(name)]
    return found | {bytes(encode_move(move, PLAIN).id) for move in moves}


def assert_not_told(ids: set[bytes], *folders: Path) -> None:
    """Neither what files are called nor what is in them names one of these ids."""
    assert ids
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    whole = b"\0".join(path.read_bytes() + bytes(path) for path in paths)
    assert [id.hex() for id in ids if id in whole or id.hex().encode() in whole] == []


@settings(max_examples=8, deadline=None)
@given(files)
def test_equal_files_have_nothing_in_common_with_a_plain_store(tree: dict[str, tuple[int, int]]) -> None:
    """Who has a file, and an index or the names at a remote, could tell that the file lies there."""
    with tempfile.TemporaryDirectory() as name:
        folder = write(Path(name, "files"), tree)
        paths = {ids: Path(name, f"store-{number}") for number, ids in enumerate((PLAIN, KEYED, OTHER))}
        called: dict[Ids, dict[bytes, ObjectKind]] = {}
        for ids, path in paths.items():
            create(path, ids)
            with opened(path, ids) as store:
                version = store.commit(folder).version
                assert version is not None
                assert store.content(version) == files_of(folder)
                called[ids] = {id: kind for kind, id, _ in held(store.context, store.objects)}
                root = store.objects.version(version).tree
                assert list(diff_folder(store.objects, root, bytes(folder))) == []
                out = Path(name, f"out-{path.name}")
                checkout(store.context, store.objects, root, str(out))
                assert files_of(out) == files_of(folder)
                assert checkout(store.context, store.objects, root, str(out)).written_bytes == 0
                plain = plain_ids(store.context, store.objects)
            if ids is not PLAIN:
                assert_not_told(plain, path)
        assert len(set[bytes]().union(*called.values())) == sum(map(len, called.values())), "stores share an id"
        kinds = [sorted(kind for kind in found.values() if kind != ObjectKind.RECIPE_PAGE) for found in called.values()]
        assert kinds[0] == kinds[1] == kinds[2], "equal content is equally many objects"


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    """Machines whose stores have one id key."""
    made = Machines(tmp_path, RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    with named_by(KEYED):
        yield made
    for store in made.opened:
        store.close()


def moves_of(store: Store, alias: str) -> list[tuple[Digest, Move]]:
    """An alias's history with the ids of its moves."""
    with store.context.index.read() as reader:
        return list(reader.moves(alias))


def test_machines_of_one_key_share_a_remote(machines: Machines, tmp_path: Path) -> None:
    """A clone would find nothing, store all of it again, or take what is whole for damaged."""
    one = machines.new("one")
    folder = write(tmp_path / "m", {"a": (1, 60), "big": (1, LONG), "sub/zeros": (0, 300_000), "sub/c": (2, 60)})
    first = commit(one, folder, "m/v1")
    (folder / "a").write_bytes(b"changed")
    second = commit(one, folder, "m/v2")
    one.set_alias("m/production", "m/v1")
    one.set_alias("m/production", "m/v2")
    one.rollback("m/production")
    assert not one.push().conflicts
    two = machines.clone("two")
    assert moves_of(two, "m/production") == moves_of(one, "m/production")
    assert [move.target for move in two.alias_log("m/production")] == [first, second, first]
    again = two.commit(folder, artifact="m")
    assert again.unchanged, "equal files are another version on another machine"
    two.set_alias("m/production", "m/v2")
    assert not one.pull().conflicts
    assert moves_of(one, "m/production") == moves_of(two, "m/production")

    lazy, _ = Store.clone(machines.place, tmp_path / "lazy")
    machines.opened.append(lazy)
    assert lazy.open_file("m/v1", "big").read() == (folder / "big").read_bytes()
    assert lazy.prefetch("m/v2").chunks
    lazy.checkout("m/v2", tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(folder)

    edited = one.edit("m/v2", add=[("new/folder/big", folder / "big")], remove=["a"]).version
    assert edited is not None
    (folder / "new/folder").mkdir(parents=True)
    (folder / "new/folder/big").write_bytes((folder / "big").read_bytes())
    (folder / "a").unlink()
    commit(two, folder, "m/v9")
    assert one.version(edited).tree == two.version("m/v9").tree, "an edit made other pages than a rebuild"
    assert sorted(each.change.path for each in one.diff("m/v2", edited)) == [b"a", b"new/folder/big"]

    one.push()
    assert one.remove_at_remote("m/production", remote="origin").removed == ["m/production"]
    there = read_document(machines.remote, RemoteAlias, "aliases/m/production")
    assert there is not None
    assert read_move(machines.remote, there[0].move, KEYED).target == b""
    one.remove("m/v1")
    one.gc(one.gc_plan(now=True), now=True)
    one.purge(one.purge_plan("sub/c"))
    for store in machines.opened:
        assert store.check(data=True).problems == ()
    plain = set[bytes]().union(*(plain_ids(each.context, each.objects, ["m/production"]) for each in machines.opened))
    assert_not_told(plain, tmp_path / "one", tmp_path / "two", tmp_path / "lazy", tmp_path / "remote")


def test_files_on_disk_are_known_by_their_content(machines: Machines, tmp_path: Path) -> None:
    """A file that was moved would count as another one; and what lies there already would be fetched again."""
    one = machines.new("one")
    folder = write(tmp_path / "m", {"a": (1, 60), "big": (1, LONG), "grown": (2, LONG)})
    write(folder, {"long": (3, 4_000_000), "zeros": (0, 1_000_000)})
    commit(one, folder, "m/v1")
    whole = files_of(folder)
    (folder / "a").rename(folder / "a-moved")
    (folder / "big").rename(folder / "big-moved")
    (folder / "grown").write_bytes(whole[b"grown"] + b"and more")
    found = {each.change.path: each for each in one.diff_folder("m/v1", folder)}
    assert {path: each.change.source_path for path, each in found.items()} == {
        b"a-moved": b"a",
        b"big-moved": b"big",
        b"grown": None,
    }
    shared = found[b"grown"].shared
    assert shared is not None
    assert LONG / 4 < shared < LONG

    out, fetcher = tmp_path / "out", one.objects.fetcher
    with patch.object(fetcher, "many", wraps=fetcher.many) as fetched:
        one.checkout("m/v1", out)
    assert files_of(out) == whole
    assert KEYED.chunk(bytes(limits.CHUNK_BYTES_MAX)) not in chunks_of(fetched), "zeros need not be read"
    with (out / "long").open("r+b") as file:
        file.write(b"other")
    with patch.object(fetcher, "many", wraps=fetcher.many) as fetched:
        one.checkout("m/v1", out, force=True)
    assert files_of(out) == whole
    assert len(chunks_of(fetched)) == 1, "what lay there was read from the store"
    assert one.open_file("m/v1", "long").read() == whole[b"long"]
    with patch.object(FilePacks, "read", side_effect=AssertionError("it was looked for a second time")):
        entry, target = one.entry("m/v1", "long"), memoryview(bytearray(len(whole[b"long"])))
        chunks = iter_content(one.objects.load, entry.content, entry.size)
        fetcher.fill([(id, raw) for _, id, raw in chunks], target)
    assert target == whole[b"long"]


def chunks_of(fetched: Mock) -> set[bytes]:
    """The chunks that were asked for."""
    return {id for call in fetched.call_args_list if call.args[0] is ObjectKind.CHUNK for id in call.args[1]}


def test_an_index_is_made_anew(machines: Machines, tmp_path: Path) -> None:
    """After damage to its index an encrypted store would be lost, or its histories broken."""
    one = machines.new("one")
    folder = write(tmp_path / "m", {"a": (1, 60), "big": (1, LONG)})
    for tag in ("m/v1", "m/v2"):
        (folder / "a").write_text(tag)
        commit(one, folder, tag)
        one.set_alias("m/production", tag)
    moves, tags = moves_of(one, "m/production"), one.tags()
    one.close()
    machines.opened.remove(one)
    report = Store.rebuild_index(tmp_path / "one")
    assert (report.versions, report.refs, report.hurt, report.notes) == (2, 3, (), ())
    with Store.open(tmp_path / "one") as anew:
        assert moves_of(anew, "m/production") == moves
        assert anew.tags() == tags
        assert anew.check(data=True).is_sound
        assert anew.commit(folder, artifact="m").unchanged


def test_a_history_is_mended(machines: Machines, tmp_path: Path) -> None:
    """An alias of which the log has lost a move could neither be listed nor collected."""
    one = machines.new("one")
    folder = write(tmp_path / "m", {"a": (1, 60)})
    for tag in ("m/v1", "m/v2", "m/v3"):
        (folder / "a").write_text(tag)
        commit(one, folder, tag)
        one.set_alias("m/production", tag)
    last = one.resolve("m/production").version
    log = one.context.index.log
    assert log_state(log, KEYED).state.broken == set()
    second = [item for item in log.records() if isinstance(item, LogRecord) and isinstance(item.record, Moved)][1]
    one.close()
    machines.opened.remove(one)
    flip(tmp_path / "one/refs.log", second.offset + 20)
    (tmp_path / "one/index.lmdb/data.mdb").unlink()
    assert Store.rebuild_index(tmp_path / "one").notes
    with Store.open(tmp_path / "one") as anew:
        assert anew.resolve("m/production").version == last
        assert len(anew.alias_log("m/production")) == 2
        assert anew.check(data=True).is_sound


@pytest.mark.parametrize(("right", "wrong"), [(KEYED, PLAIN), (KEYED, OTHER), (PLAIN, KEYED)])
def test_a_wrong_key_opens_nothing(tmp_path: Path, right: Ids, wrong: Ids) -> None:
    """All content would be taken for damaged: a repair would throw it away, a commit mix two kinds of ids."""
    folder = write(tmp_path / "m", {"a": (1, 60), "big": (1, LONG)})
    with named_by(right), Store.init(tmp_path / "one") as store:
        version = commit(store, folder, "m/v1")
    before = files_of(tmp_path / "one/packs")
    with named_by(wrong), pytest.raises(Corrupt, match="another id key"):
        Store.open(tmp_path / "one")
    with named_by(right), Store.open(tmp_path / "one") as store:
        with named_by(wrong), pytest.raises(Corrupt, match="another id key"):  # it is open in this process
            Store.open(tmp_path / "one")
        assert store.resolve("m/v1").version == version
        assert store.check(data=True).is_sound
    assert files_of(tmp_path / "one/packs") == before
    with named_by(wrong):
        assert Store.rebuild_index(tmp_path / "one").versions == 0
    with named_by(right):
        with pytest.raises(Corrupt, match="--rebuild-index") as caught:
            Store.open(tmp_path / "one")
        assert "another id key" in caught.value.message
        assert Store.rebuild_index(tmp_path / "one").versions == 1
        with Store.open(tmp_path / "one") as store:
            assert store.check(data=True).is_sound


@WRONG
def test_a_wrong_key_reads_nothing(machines: Machines, tmp_path: Path, wrong: Ids) -> None:
    """Should one get that far, bytes that nothing vouches for would be handed out."""
    one = machines.new("one")
    folder = write(tmp_path / "m", {"a": (1, 60), "big": (1, LONG), "zeros": (0, LONG)})
    version = commit(one, folder, "m/v1")
    one.set_alias("m/production", "m/v1")
    entries, tree = dict(one.walk("m/v1")), one.version("m/v1").tree
    there = list(held(one.context, one.objects))
    with Store(one.path, Connection(replace(one.context, ids=wrong), lambda: None)) as store:
        for kind, id, _ in there:
            with pytest.raises(Corrupt):
                store.objects.load(kind, id)
            with pytest.raises(Corrupt):
                store.objects.fetcher.fill([(id, 60)], memoryview(bytearray(60)))
        for entry in entries.values():
            assert entry.kind == Kind.FILE
            with pytest.raises(Corrupt):
                open_file(store.context, store.objects, entry.content, entry.size).read()
        with pytest.raises(Corrupt):
            checkout(store.context, store.objects, tree, str(tmp_path / "out"))
        with pytest.raises(Corrupt):
            store.push()
        report = store.check(data=True)
        assert {problem.digest for problem in report.problems} >= {id for _, id, _ in there}
        assert any("history of m/production" in problem.message for problem in report.problems)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    assert one.resolve("m/v1").version == version
    assert one.check(data=True).is_sound


@WRONG
def test_a_wrong_key_takes_nothing_from_a_remote(machines: Machines, tmp_path: Path, wrong: Ids) -> None:
    """A store would fill with what it can't tell from damage; or hand it out."""
    one = machines.new("one")
    commit(one, write(tmp_path / "m", {"a": (1, 60), "big": (1, LONG)}), "m/v1")
    one.push()
    with named_by(wrong):
        for full in (False, True):
            with pytest.raises(Corrupt):
                Store.clone(machines.place, tmp_path / f"clone-{full}", full=full)
            with Store.open(tmp_path / f"clone-{full}") as store:
                assert store.tags() == []
                assert list(held(store.context, store.objects)) == []
                with pytest.raises(ArtstoreError):
                    store.open_file("m/v1", "a")
