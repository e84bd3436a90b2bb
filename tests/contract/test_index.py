"""What every index promises (artstore.ports.Index): one suite, run by the LMDB index and by its double."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artstore import limits
from artstore.adapters.lmdb_index import LmdbIndex
from artstore.errors import BadInput, Conflict, NotFound, UsageError
from artstore.format.ids import PLAIN
from artstore.format.reflog import Erasure, LogRecord, Moved, TagRemoved, TagSet
from artstore.format.version import encode_move
from artstore.model import Alias, Digest, Location, Move, PackId, PackKind, PackState, TableEntry, Tag
from artstore.ports import Index, IndexReader, IndexWriter
from artstore.store.check.refs import compare_log
from artstore.testing import MemoryIndex


def digest(number: int) -> Digest:
    return Digest(number.to_bytes(32, "big"))


def pack_id(number: int) -> PackId:
    return PackId(number.to_bytes(16, "big"))


def table(*ids: bytes) -> list[TableEntry]:
    return [TableEntry(Digest(id), 100 * i, 10 + i, 20 + i, i % 2, 0) for i, id in enumerate(ids)]


def add(writer: IndexWriter, number: int, *ids: bytes) -> int:
    return writer.add_pack(pack_id(number), PackKind.DATA, size=1000 + number, created=number, table=table(*ids))


def move(reader: IndexReader, target: bytes, *, alias: str = "a/prod", rollback: bool = False) -> Move:
    """The move that continues an alias's history."""
    last = next(iter(reader.moves(alias)), None)
    seq, previous, source = (0, b"", b"") if last is None else (last[1].seq, bytes(last[0]), last[1].target)
    return Move(alias, seq + 1, source, target, 5, "me", "here", "why", rollback, previous)


@pytest.fixture(params=["lmdb", "memory"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    made = MemoryIndex() if request.param == "memory" else LmdbIndex(str(tmp_path), PLAIN)
    yield made
    made.close()


def test_what_a_pack_holds_is_found(index: Index) -> None:
    """A chunk that was stored would be stored again, or not be found by a checkout."""
    with index.write() as writer:
        number = add(writer, 1, digest(1), digest(2))
        assert writer.find(digest(2)) == Location(number, 100, 11, 21, 1, 0)
    with index.read() as reader:
        assert reader.find(digest(1)) == Location(number, 0, 10, 20, 0, 0)
        assert reader.find(digest(3)) is None
        assert reader.find_many([digest(2), digest(3), digest(1), digest(2)]) == [
            Location(number, 100, 11, 21, 1, 0),
            None,
            Location(number, 0, 10, 20, 0, 0),
            Location(number, 100, 11, 21, 1, 0),
        ]
        assert reader.find_many([]) == []
        assert [id for id, _ in reader.pack_contents(number)] == [digest(1), digest(2)]


def test_the_largest_numbers_of_the_format_survive(index: Index) -> None:
    """A large chunk at the end of a large pack would be read from the wrong place."""
    largest = TableEntry(digest(1), (1 << 32) - 1, (1 << 24) - 1, (1 << 24) - 1, 255, 255)
    with index.write() as writer:
        number = writer.add_pack(pack_id(1), PackKind.META, size=1 << 33, created=1 << 62, table=[largest])
    with index.read() as reader:
        assert reader.find(digest(1)) == Location(number, (1 << 32) - 1, (1 << 24) - 1, (1 << 24) - 1, 255, 255)
        row = reader.pack(number)
        assert row is not None
        assert (row.size, row.created, row.count, row.kind) == (1 << 33, 1 << 62, 1, PackKind.META)


@settings(max_examples=30, deadline=None)
@given(known=st.sets(st.binary(min_size=32, max_size=32)), asked=st.lists(st.binary(min_size=32, max_size=32)))
def test_find_many_is_find(known: set[bytes], asked: list[bytes]) -> None:
    """The fast look-up of a commit would answer differently from the one of a read."""
    index = MemoryIndex()
    with index.write() as writer:
        add(writer, 1, *sorted(known))
    with index.read() as reader:
        wanted = [*asked, *known]
        assert reader.find_many(wanted) == [reader.find(id) for id in wanted]


def test_many_are_found_in_the_order_asked(index: Index) -> None:
    """A commit would name the place of another chunk."""
    ids = [digest(7919 * i % 1000) for i in range(1000)]
    with index.write() as writer:
        for number in range(4):
            add(writer, number, *ids[number * 200 : number * 200 + 200])
    asked = [*ids, *reversed(ids), digest(10**6)]
    with index.read() as reader:
        assert reader.find_many(asked) == [reader.find(id) for id in asked]
        assert sum(place is None for place in reader.find_many(asked)) == 401


def test_a_pack_is_added_once(index: Index) -> None:
    """A repeated group commit would count a pack twice."""
    with index.write() as writer:
        assert add(writer, 1, digest(1)) == add(writer, 1, digest(1))
        assert add(writer, 2, digest(2)) > 0
    with index.read() as reader:
        assert [row.id for row in reader.packs()] == [pack_id(1), pack_id(2)]
        row = reader.pack_by_id(pack_id(2))
        assert row is not None
        assert reader.pack(row.number) == row
        assert reader.pack_by_id(pack_id(3)) is None
        assert reader.pack(99) is None


def test_a_number_is_not_given_twice(index: Index) -> None:
    """A version's set would come to mean another pack than the one that was removed."""
    with index.write() as writer:
        first = add(writer, 1, digest(1))
        writer.remove_pack(first)
        assert add(writer, 2, digest(1)) != first
    with index.write() as writer:
        assert add(writer, 3, digest(1)) > first + 1


def test_a_deleting_pack_is_not_seen(index: Index) -> None:
    """A commit would count on bytes that collection is about to unlink."""
    with index.write() as writer:
        first, second = add(writer, 1, digest(1), digest(9)), add(writer, 2, digest(1))
        writer.set_pack_state(first, PackState.DELETING, 77)
        assert (place := writer.find(digest(1))) is not None
        assert place.pack == second
    with index.read() as reader:
        assert reader.find(digest(9)) is None
        assert reader.find_many([digest(9)] * 100) == [None] * 100
        assert [place.pack for place in reader.copies(digest(1))] == [first, second]
        row = reader.pack(first)
        assert row is not None
        assert (row.state, row.since) == (PackState.DELETING, 77)
        assert reader.ids_with_prefix(digest(9)[:31], None, 10) == [
            (digest(1), Location(second, 0, 10, 20, 0, 0)),
        ]


def test_a_live_copy_is_preferred(index: Index) -> None:
    """A commit would revive a dead pack although another one holds the chunk."""
    with index.write() as writer:
        first, second = add(writer, 1, digest(1)), add(writer, 2, digest(1))
        writer.set_pack_state(first, PackState.CONDEMNED, 1)
        place = writer.find(digest(1))
        assert place is not None
        assert place.pack == second
        writer.set_pack_state(second, PackState.CONDEMNED, 1)
        place = writer.find(digest(1))
        assert place is not None
        assert place.pack == first
        writer.set_pack_state(second, PackState.LIVE, 0)
        place = writer.find(digest(1))
        assert place is not None
        assert place.pack == second


def test_removing_a_pack_takes_its_own_entries_alone(index: Index) -> None:
    """Collection of one pack would lose the copy that another one still holds."""
    ids = [digest(i) for i in range(3 * limits.INDEX_BATCH // 2)]
    with index.write() as writer:
        first = add(writer, 1, *ids)
        second = add(writer, 2, digest(3), digest(10**6))
    with index.write() as writer:
        writer.remove_pack(first)
        assert writer.pack(first) is None
        assert writer.find(digest(5)) is None
        assert writer.copies(digest(5)) == []
        assert list(writer.pack_contents(first)) == []
        place = writer.find(digest(3))
        assert place is not None
        assert place.pack == second
    with index.read() as reader:
        assert reader.find_many(ids).count(None) == len(ids) - 1
        assert [place.pack for id in ids for place in reader.copies(id)] == [second]
        assert [row.number for row in reader.packs()] == [second]
        assert reader.pack_by_id(pack_id(1)) is None


def test_removing_what_is_not_there_is_fine(index: Index) -> None:
    """A collection that was killed half-way could not be run again."""
    with index.write() as writer:
        writer.remove_pack(42)
        writer.remove_object(digest(1), 42)
        writer.remove_set(digest(1))
        writer.put_journal("none", None)
        with pytest.raises(NotFound):
            writer.set_pack_state(42, PackState.LIVE, 0)


def test_one_copy_is_put_in_quarantine(index: Index) -> None:
    """Repair of a damaged copy would take the sound one too."""
    with index.write() as writer:
        first, second = add(writer, 1, digest(1)), add(writer, 2, digest(1))
        writer.remove_object(digest(1), first)
    with index.read() as reader:
        assert [place.pack for place in reader.copies(digest(1))] == [second]


def test_ids_are_found_by_their_beginning(index: Index) -> None:
    """`artstore show 3f2a9c1` would name another version, or miss that there are two."""
    ids = [bytes.fromhex(text).ljust(32, b"\0") for text in ("3f2a9c10", "3f2a9c1f", "3f2a9d00", "3f2b", "ff")]
    with index.write() as writer:
        add(writer, 1, *ids)
        add(writer, 2, *ids)

    def found(prefix: str, nibble: int | None, limit: int = 10) -> list[bytes]:
        with index.read() as reader:
            return [id for id, _ in reader.ids_with_prefix(bytes.fromhex(prefix), nibble, limit)]

    assert found("3f2a9c", None) == ids[:2]
    assert found("3f2a9c", 1) == ids[:2]
    assert found("3f2a9c", 2) == []
    assert found("3f2a", 9) == ids[:3]
    assert found("3f2a", 9, 2) == ids[:2]
    assert found("", None) == ids
    assert found("ff", None) == [ids[4]]
    assert found("ee", None) == []


def test_sets_of_packs(index: Index) -> None:
    """Collection would not know which packs a version needs."""
    with index.write() as writer:
        writer.put_set(digest(1), [300, 2, 2, 1])
        writer.put_set(digest(2), [])
    with index.read() as reader:
        assert list(reader.version_set(digest(1)) or ()) == [1, 2, 300]
        assert list(reader.version_set(digest(2)) or ()) == []
        assert reader.version_set(digest(3)) is None
        assert list(reader.versions()) == [digest(1), digest(2)]
    with index.write() as writer:
        writer.remove_set(digest(1))
    with index.read() as reader:
        assert list(reader.versions()) == [digest(2)]


def test_packs_of_a_page_count_only_while_all_are_there(index: Index) -> None:
    """A commit of unchanged folders would build on packs that are gone."""
    with index.write() as writer:
        first, second = add(writer, 1, digest(1)), add(writer, 2, digest(2))
        writer.put_page_packs(digest(7), [second, first])
        writer.put_page_packs(digest(8), [first])
        writer.set_pack_state(first, PackState.CONDEMNED, 1)
        assert list(writer.page_packs(digest(7)) or ()) == [first, second]
        writer.set_pack_state(second, PackState.DELETING, 1)
    with index.read() as reader:
        assert reader.page_packs(digest(7)) is None
        assert list(reader.page_packs(digest(8)) or ()) == [first]
        assert reader.page_packs(digest(9)) is None
    with index.write() as writer:
        writer.remove_pack(first)
        assert writer.page_packs(digest(8)) is None
        writer.set_pack_state(second, PackState.LIVE, 0)
        writer.put_page_packs(digest(9), [second])
        for page in (5, 8):
            writer.put_page_packs(digest(page), [first, second])
        assert writer.drop_void_page_packs(b"", 1) == digest(5)
        assert writer.drop_void_page_packs(digest(5), 9) == digest(9)
        assert writer.drop_void_page_packs(b"", 9) == digest(9)  # the only one that is left
        assert writer.drop_void_page_packs(digest(9), 9) is None
        assert list(writer.page_packs(digest(9)) or ()) == [second]
        writer.drop_page_packs()
        assert writer.page_packs(digest(9)) is None


def test_tags_are_immutable(index: Index) -> None:
    """A name would come to stand for other bytes."""
    tag = Tag("a/v1", digest(1), 5)
    with index.write() as writer:
        writer.put_tag(tag)
        writer.put_tag(tag)
        for other in (Tag("a/v1", digest(2), 5), Tag("a/v1", digest(1), 6)):
            with pytest.raises(Conflict):
                writer.put_tag(other)
    with index.read() as reader:
        assert reader.tag("a/v1") == tag
        assert reader.tag("a/v2") is None
        assert reader.tag("") is None
        assert reader.alias("a/v1") is None
        assert reader.sequence == 1


def test_refs_are_listed_by_name(index: Index) -> None:
    """`artstore list resnet50` would leave out a version."""
    names = ["a/v1", "a/v10", "a/v2", "ab/v1", "b/v1"]
    with index.write() as writer:
        for name in reversed(names):
            writer.put_tag(Tag(name, digest(1), 1))
        writer.put_move(move(writer, digest(1), alias="a/prod"))
        writer.put_move(move(writer, digest(1), alias="b/prod"))
    with index.read() as reader:
        assert [tag.name for tag in reader.tags()] == names
        assert [tag.name for tag in reader.tags("a/")] == names[:3]
        assert [tag.name for tag in reader.tags("c")] == []
        assert [alias.name for alias in reader.aliases()] == ["a/prod", "b/prod"]
        assert [alias.name for alias in reader.aliases("b/")] == ["b/prod"]


def test_a_removed_tag_is_gone(index: Index) -> None:
    """`artstore rm` would leave the name."""
    with index.write() as writer:
        writer.put_tag(Tag("a/v1", digest(1), 5))
        writer.remove_tag("a/v1", time=6, who="me")
        with pytest.raises(NotFound):
            writer.remove_tag("a/v1", time=6, who="me")
    with index.read() as reader:
        assert reader.tag("a/v1") is None
        assert reader.sequence == 2


def test_an_alias_moves_along_its_chain(index: Index) -> None:
    """Who lost a race would overwrite the other one's move; or the history would have a hole."""
    with index.write() as writer:
        first = move(writer, digest(1))
        alias = writer.put_move(first)
        assert alias == Alias("a/prod", digest(1), 1, encode_move(first, PLAIN).id)
        with pytest.raises(Conflict):
            writer.put_move(first)
        writer.put_move(move(writer, digest(2)))
        for wrong in (
            Move("a/prod", 4, digest(2), digest(3), 5, "me", "here", "", False, alias.move),
            Move("a/prod", 3, digest(2), digest(3), 5, "me", "here", "", False, alias.move),
            Move(
                "a/prod", 3, digest(1), digest(3), 5, "me", "here", "", False, encode_move(move(writer, b""), PLAIN).id
            ),
            Move("a/prod", 1, b"", digest(3), 5, "me", "here", "", False, b""),
        ):
            with pytest.raises(Conflict):
                writer.put_move(wrong)
    with index.read() as reader:
        found = reader.alias("a/prod")
        assert found is not None
        assert (found.version, found.seq) == (digest(2), 2)
        history = list(reader.moves("a/prod"))
        assert [each.target for _, each in history] == [digest(2), digest(1)]
        assert all(reader.move(id) == each and encode_move(each, PLAIN).id == id for id, each in history)
        assert reader.move(digest(5)) is None
        assert list(reader.moves("a/none")) == []


def test_a_removed_alias_keeps_its_history(index: Index) -> None:
    """An alias that is made again would forget what it stood for."""
    with index.write() as writer:
        writer.put_move(move(writer, digest(1)))
        assert writer.put_move(move(writer, b"")).version == b""
        assert writer.alias("a/prod") is None
        assert list(writer.aliases()) == []
    with index.write() as writer:
        assert writer.put_move(move(writer, digest(2))).seq == 3
    with index.read() as reader:
        assert [each.target for _, each in reader.moves("a/prod")] == [digest(2), b"", digest(1)]


def test_a_history_takes_the_place_of_another(index: Index) -> None:
    """What was decided elsewhere could never be taken over; or a rebuilt index would stand at what was given up."""
    with index.write() as writer:
        first = move(writer, digest(1))
        writer.put_move(first)
        ours = move(writer, digest(2))
        writer.put_move(ours)
    id = encode_move(first, PLAIN).id
    theirs = Move("a/prod", 2, digest(1), digest(3), 5, "you", "there", "", False, id)
    last = Move("a/prod", 3, digest(3), digest(4), 6, "you", "there", "", False, encode_move(theirs, PLAIN).id)
    with index.write() as writer:
        for wrong in ([theirs, last], [first, last], [first, theirs, msgspec.structs.replace(last, alias="a/other")]):
            with pytest.raises(Conflict):
                writer.put_history("a/prod", wrong)
    with index.read() as reader:
        assert [each.target for _, each in reader.moves("a/prod")] == [digest(2), digest(1)]
    with index.write() as writer:
        assert writer.put_history("a/prod", [first, theirs, last]).seq == 3
    with index.read() as reader:
        assert [each.target for _, each in reader.moves("a/prod")] == [digest(4), digest(3), digest(1)]
        assert compare_log(index.log, reader, PLAIN).differences == []
    with index.write() as writer:
        writer.put_tag(Tag("a/v1", digest(1), 5))
        with pytest.raises(Conflict):
            writer.put_history("a/v1", [msgspec.structs.replace(first, alias="a/v1")])


def test_a_name_is_a_tag_or_an_alias(index: Index) -> None:
    """One name would mean two versions."""
    with index.write() as writer:
        writer.put_tag(Tag("a/v1", digest(1), 5))
        writer.put_move(move(writer, digest(1)))
        with pytest.raises(Conflict):
            writer.put_move(move(writer, digest(1), alias="a/v1"))
        with pytest.raises(Conflict):
            writer.put_tag(Tag("a/prod", digest(1), 5))


def test_every_change_of_refs_is_in_the_log(index: Index) -> None:
    """A rebuilt index would lack refs, or have others [I8]."""
    with index.write() as writer:
        writer.put_tag(Tag("a/v1", digest(1), 5))
        first = move(writer, digest(1))
        writer.put_move(first)
    with index.write() as writer:
        writer.remove_tag("a/v1", time=6, who="me")
        writer.put_erased([digest(7), digest(8)], time=7, who="me", reason="asked to")
    records = [each for each in index.log.records() if isinstance(each, LogRecord)]
    assert [each.record for each in records] == [
        TagSet(Tag("a/v1", digest(1), 5)),
        Moved(first),
        TagRemoved("a/v1", 6, "me"),
        Erasure([digest(7), digest(8)], 7, "me", "asked to"),
    ]
    assert [each.seq for each in records] == [1, 2, 3, 4]
    assert records[-1].end == index.log.size()
    with index.read() as reader:
        assert reader.sequence == 4
        assert reader.erased(digest(7))
        assert not reader.erased(digest(9))


def test_refs_are_restored_from_their_records(index: Index, tmp_path: Path) -> None:
    """`check --rebuild-index` would lose refs or their history."""
    with index.write() as writer:
        for number in range(3):
            writer.put_tag(Tag(f"a/v{number}", digest(number), number))
        writer.remove_tag("a/v0", time=6, who="me")
        for target in (digest(1), digest(2), b""):
            writer.put_move(move(writer, target))
        writer.put_move(move(writer, digest(2), alias="b/prod"))
        writer.put_erased([digest(7), digest(8)], time=7, who="me", reason="asked to")
    (tmp_path / "other").mkdir()
    for records in (_logged(index), _told(index)):
        other = MemoryIndex() if isinstance(index, LmdbIndex) else LmdbIndex(str(tmp_path / "other"), PLAIN)
        with other.write() as writer:
            for record in records:
                writer.restore(record)
        with index.read() as old, other.read() as new:
            for ask in _ASKED:
                assert ask(new) == ask(old)
        other.close()


_ASKED: tuple[Callable[[IndexReader], object], ...] = (
    lambda reader: list(reader.tags()),
    lambda reader: list(reader.aliases()),
    lambda reader: list(reader.moves("a/prod")),
    lambda reader: list(reader.moves("b/prod")),
    lambda reader: [reader.erased(digest(number)) for number in range(10)],
)


def _logged(index: Index) -> list[TagSet | TagRemoved | Moved | Erasure]:
    return [each.record for each in index.log.records() if isinstance(each, LogRecord)]


def _told(index: Index) -> list[TagSet | TagRemoved | Moved | Erasure]:
    with index.read() as reader:
        return list(reader.ref_records())


def test_a_log_that_was_written_anew_goes_on(index: Index) -> None:
    """After a repair of refs.log no ref could be written, or the next record would cut it."""
    with index.write() as writer:
        writer.put_tag(Tag("a/v1", digest(1), 5))
        writer.put_tag(Tag("a/v2", digest(1), 5))
        writer.remove_tag("a/v1", time=6, who="me")
    with index.write() as writer:
        writer.set_log_end(*index.log.rewrite(list(writer.ref_records())))
    with index.write() as writer:
        assert writer.sequence == 1
        writer.put_tag(Tag("a/v3", digest(1), 5))
    assert _logged(index) == [TagSet(Tag("a/v2", digest(1), 5)), TagSet(Tag("a/v3", digest(1), 5))]


def test_what_may_not_be_logged_is_refused(index: Index) -> None:
    """A record that can't be read back would make the store's refs impossible to restore."""
    with index.write() as writer, pytest.raises(BadInput):
        writer.put_tag(Tag("a/v1", b"short", 5))
    with index.read() as reader:
        assert list(reader.tags()) == []


def test_the_stat_cache_is_replaced_by_directory(index: Index) -> None:
    """A commit would trust what was known of a file that is gone."""
    one, other = b"1" * 16, b"2" * 16
    with index.write(sync=False) as writer:
        writer.put_stat_blocks(one, [b"a", b"", b"c" * 5000])
        writer.put_stat_blocks(other, [b"x"])
        writer.put_stat_blocks(one, [b"d", b"e"])
    with index.read() as reader:
        assert list(reader.stat_blocks(one)) == [b"d", b"e"]
        assert list(reader.stat_blocks(other)) == [b"x"]
        assert list(reader.stat_blocks(b"3" * 16)) == []
        assert reader.stat_directories(b"", 9) == [(one, b"d"), (other, b"x")]
        assert reader.stat_directories(b"", 1) == [(one, b"d")]
        assert reader.stat_directories(one, 9) == [(other, b"x")]
        assert reader.stat_directories(other, 9) == []
    with index.write() as writer:
        writer.put_stat_blocks(one, [])
        assert list(writer.stat_blocks(one)) == []
        writer.drop_stat_blocks()
        assert list(writer.stat_blocks(other)) == []


def test_the_journal(index: Index) -> None:
    """A resumed check or push would begin at the wrong place."""
    with index.write() as writer:
        for key in ("push/b", "push/a", "check"):
            writer.put_journal(key, key.encode())
        writer.put_journal("check", b"")
        with pytest.raises(UsageError):
            writer.put_journal("", b"")
    with index.read() as reader:
        assert list(reader.journal_keys("push/")) == ["push/a", "push/b"]
        assert list(reader.journal_keys()) == ["check", "push/a", "push/b"]
        assert reader.journal("push/a") == b"push/a"
        assert reader.journal("check") == b""
        assert reader.journal("none") is None
    with index.write() as writer:
        writer.put_journal("check", None)
        assert writer.journal("check") is None


def test_a_failed_write_leaves_nothing(index: Index) -> None:
    """A commit that failed would leave a name without its content."""

    class Stop(Exception):
        """Ends the transaction."""

    def fail(writer: IndexWriter) -> None:
        add(writer, 1, digest(1))
        writer.put_tag(Tag("a/v1", digest(1), 5))
        writer.put_journal("x", b"y")
        raise Stop

    with pytest.raises(Stop), index.write() as writer:
        fail(writer)
    with index.read() as reader:
        assert reader.find(digest(1)) is None
        assert reader.tag("a/v1") is None
        assert reader.journal("x") is None
        assert reader.sequence == 0
    assert _logged(index) == []
    with index.write() as writer:
        writer.put_tag(Tag("a/v2", digest(1), 5))
    assert _logged(index) == [TagSet(Tag("a/v2", digest(1), 5))]


def test_a_snapshot_does_not_change(index: Index) -> None:
    """A checkout would see half of a commit that runs beside it."""
    with index.read() as before:
        with index.write() as writer:
            add(writer, 1, digest(1))
            writer.put_tag(Tag("a/v1", digest(1), 5))
        assert before.find(digest(1)) is None
        assert before.tag("a/v1") is None
    with index.read() as after:
        assert after.tag("a/v1") is not None


def test_threads_write_in_turn(index: Index) -> None:
    """Two commits of one process would wait for each other for ever, or lose a pack."""

    def work(thread: int) -> None:
        for step in range(20):
            with index.write() as writer:
                number = 100 * thread + step
                add(writer, number, digest(number))
                writer.put_tag(Tag(f"t/v{number}", digest(number), number))
            with index.read() as reader:
                assert reader.find(digest(number)) is not None

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with index.read() as reader:
        assert len(list(reader.packs())) == 80
        assert len({row.number for row in reader.packs()}) == 80
        assert len(list(reader.tags("t/"))) == reader.sequence == 80
