"""Objects by id: what is handed out is what was stored, or an error."""

from __future__ import annotations

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import Corrupt, Erased
from artstore.format.ids import PLAIN
from artstore.model import Digest, Location, ObjectKind, PackId, PackState
from artstore.planning.runs import plan_runs
from artstore.ports import PackFiles
from artstore.store.objects import Objects
from artstore.testing.damage import flip
from artstore.testing.planted import Planter


def chunks_of(planter: Planter, count: int, size: int = 5000) -> dict[Digest, bytes]:
    """So many random chunks, stored."""
    source = random.Random(count)
    chunks = [source.randbytes(size) for _ in range(count)]
    stored = {planter.put(ObjectKind.CHUNK, chunk): chunk for chunk in chunks}
    planter.flush()
    return stored


def pack_paths(planter: Planter) -> list[Path]:
    """The store's packs."""
    return sorted(Path(planter.context.path, "packs").rglob("*.pack"))


def delete_packs(planter: Planter) -> None:
    """Take the packs away behind the store's back."""
    for pack, _ in list(planter.context.packs.list()):
        planter.context.packs.delete(pack)


def test_objects_come_back_as_they_were_stored(planter: Planter, objects: Objects) -> None:
    """Every read would be wrong."""
    stored = chunks_of(planter, 50)
    assert all(objects.chunk(id) == data for id, data in stored.items())
    wanted = [*stored, *list(stored)[:7]]
    assert Objects(planter.context).chunks(wanted) == [stored[id] for id in wanted]
    version = planter.version({b"a": b"x"})
    planter.flush()
    assert objects.version(version).files == 1


@pytest.mark.plain("damages frames where they lie in the file")
def test_each_flipped_bit_is_noticed_or_harmless(planter: Planter) -> None:
    """A bad sector would become silent garbage in a model's weights."""
    stored = {planter.put(ObjectKind.CHUNK, data): data for data in (b"a" * 300, bytes(range(200)))}
    planter.flush()
    (path,) = pack_paths(planter)
    whole = path.read_bytes()
    noticed: list[tuple[bool, str | None]] = []
    for position in range(len(whole)):
        path.chmod(0o644)
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        for many in (False, True):
            objects = Objects(planter.context)
            for id, data in stored.items():
                try:
                    assert (objects.chunks([id])[0] if many else objects.chunk(id)) == data
                except Corrupt as error:
                    noticed.append((error.digest == id, error.pack))
    assert len(noticed) > 200
    assert set(noticed) == {(True, path.stem)}


@pytest.mark.parametrize("text", [b"", b"compresses well "], ids=["raw", "compressed"])
def test_chunks_fill_a_buffer(planter: Planter, objects: Objects, text: bytes) -> None:
    """A stretch of a file would have a chunk in another's place, or twice the same."""
    source = random.Random(5)
    stored: dict[bytes, bytes] = {}
    for number in range(20):
        data = text * 40 + source.randbytes(100 + number)
        stored[planter.put(ObjectKind.CHUNK, data)] = data
        if number % 7 == 0:
            planter.flush()
    planter.flush()
    ids = [*stored, *source.sample(list(stored), 10), *reversed(stored)]
    target = bytearray(sum(len(stored[id]) for id in ids))
    objects.fetcher.fill([(id, len(stored[id])) for id in ids], memoryview(target))
    assert bytes(target) == b"".join(stored[id] for id in ids)
    objects.fetcher.fill([], memoryview(bytearray()))


@pytest.mark.parametrize("text", [b"", b"compresses well "], ids=["raw", "compressed"])
def test_a_damaged_chunk_never_fills_a_buffer(planter: Planter, text: bytes) -> None:
    """A flipped bit would reach a program through the fast way; a whole copy elsewhere would not be looked for."""
    first, second = (text * 40 + random.Random(seed).randbytes(300) for seed in (1, 2))
    ids = [planter.put(ObjectKind.CHUNK, data) for data in (first, second)]
    planter.flush()
    (path,) = pack_paths(planter)
    flip(path, 100)  # within the stored bytes of the first chunk
    wanted = [(id, len(first)) for id in ids]
    with pytest.raises(Corrupt) as caught:
        Objects(planter.context).fetcher.fill(wanted, memoryview(bytearray(2 * len(first))))
    assert caught.value.digest in ids
    for data in (first, second):
        planter.put(ObjectKind.CHUNK, data)
    planter.flush()
    target = bytearray(2 * len(first))
    Objects(planter.context).fetcher.fill(wanted, memoryview(target))
    assert bytes(target) == first + second


def test_a_chunk_of_another_size_never_fills_a_buffer(planter: Planter, objects: Objects) -> None:
    """A recipe that lies about a size would shift all bytes behind."""
    (stored,) = chunks_of(planter, 1).items()
    for size in (len(stored[1]) - 1, len(stored[1]) + 1):
        with pytest.raises(Corrupt, match="size"):
            objects.fetcher.fill([(stored[0], size)], memoryview(bytearray(size)))


def test_a_missing_object_is_damage_and_names_itself(planter: Planter, objects: Objects) -> None:
    """ "Not found" would make a script believe that it asked for the wrong thing."""
    missing = PLAIN.chunk(b"never stored")
    with pytest.raises(Corrupt, match=missing.hex()):
        objects.chunk(missing)
    (stored,) = chunks_of(planter, 1)
    delete_packs(planter)
    with pytest.raises(Corrupt, match=stored.hex()):
        objects.chunk(stored)


@pytest.mark.plain("damages frames where they lie in the file")
def test_a_whole_copy_is_used_when_another_is_damaged(planter: Planter) -> None:
    """A repair that stored the chunk again would not have helped."""
    data = b"twice" * 100
    id = PLAIN.chunk(data)
    for _ in range(2):
        planter.put(ObjectKind.CHUNK, data)
        planter.flush()
    paths = pack_paths(planter)
    assert len(paths) == 2
    for path in paths:
        whole = path.read_bytes()
        path.write_bytes(bytes(len(whole)))
        assert Objects(planter.context).chunk(id) == data
        assert Objects(planter.context).chunks([id]) == [data]
        path.write_bytes(whole)


def test_a_copy_in_a_pack_that_is_being_deleted_still_serves(planter: Planter, objects: Objects) -> None:
    """A checkout that began before a collection would fail although the bytes are there."""
    (stored,) = chunks_of(planter, 1).items()
    with planter.context.index.write() as writer:
        for pack in list(writer.packs()):
            writer.set_pack_state(pack.number, PackState.DELETING, 1)
    assert objects.chunk(stored[0]) == stored[1]


def test_what_was_purged_says_so(planter: Planter, objects: Objects) -> None:
    """A user would look for damage where data was erased on purpose."""
    (id,) = chunks_of(planter, 1)
    with planter.context.index.write() as writer:
        for pack in list(writer.packs()):
            writer.remove_pack(pack.number)
        writer.put_erased([id], time=1, who="me", reason="asked")
    with pytest.raises(Erased, match=id.hex()):
        objects.chunk(id)


def test_an_object_of_another_kind_is_not_taken_for_the_one_asked(planter: Planter, objects: Objects) -> None:
    """A user's file could pass for a page."""
    page = planter.put(ObjectKind.TREE_PAGE, b"some bytes")
    planter.flush()
    with pytest.raises(Corrupt):
        objects.chunk(page)
    with pytest.raises(Corrupt):
        objects.load(ObjectKind.VERSION, page)
    assert objects.load(ObjectKind.TREE_PAGE, page) == b"some bytes"


def test_recent_chunks_stay_in_memory_and_old_ones_leave_it(planter: Planter) -> None:
    """A reader would be slow, or take all memory."""
    stored = chunks_of(planter, 10, size=1000)
    objects = Objects(planter.context, cache_bytes=4000)
    for id in stored:
        objects.chunk(id)
    delete_packs(planter)
    *old, last = stored
    assert objects.chunk(last) == stored[last]
    assert objects.chunks(old[-3:]) == [stored[id] for id in old[-3:]]
    for id in old[:-3]:
        with pytest.raises(Corrupt):
            objects.chunk(id)


def test_many_threads_read_at_once(planter: Planter) -> None:
    """A data loader with workers would get the bytes of another sample."""
    stored = chunks_of(planter, 64)
    objects = Objects(planter.context, cache_bytes=20_000)
    ids = list(stored)

    def read(seed: int) -> bool:
        picked = random.Random(seed).choices(ids, k=8)
        return objects.chunks(picked) == [stored[id] for id in picked] and objects.chunk(picked[0]) == stored[picked[0]]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(400)))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_reads_whatever_its_parents_threads_do(planter: Planter) -> None:
    """Every data loader with worker processes would hang on a lock that a thread of its parent held."""
    stored = chunks_of(planter, 32)
    objects = Objects(planter.context, cache_bytes=10_000)
    done = threading.Event()

    def read() -> bool:
        while not done.is_set():
            if any(objects.chunk(id) != data for id, data in stored.items()):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(read) for _ in range(4)]
        try:
            for _ in range(5):
                child = os.fork()
                if child == 0:
                    # Nothing of the parent's may run in the child: no handler, no fixture.
                    os._exit(0 if all(objects.chunk(id) == data for id, data in stored.items()) else 1)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        finally:
            done.set()
        assert all(each.result() for each in reads)


class Repacking:
    """Packs which are repacked, and the old one deleted, just before their first read."""

    def __init__(self, planter: Planter, data: bytes) -> None:
        self.inner: PackFiles = planter.context.packs
        self.planter = planter
        self.data = data
        self.done = False

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def read_range(self, pack: PackId, offset: int, size: int, room: memoryview, *, once: bool) -> memoryview:
        """The read of a batch."""
        if not self.done:
            self.done = True
            self.planter.put(ObjectKind.CHUNK, self.data)
            self.planter.flush()
            with self.planter.context.index.write() as writer:
                old = writer.pack_by_id(pack)
                assert old is not None
                writer.remove_pack(old.number)
            self.inner.delete(pack)
        return self.inner.read_range(pack, offset, size, room, once=once)


def test_a_repack_between_look_up_and_read_does_not_hurt(planter: Planter) -> None:
    """A checkout during a collection would report damage where there is none."""
    (stored,) = chunks_of(planter, 1).items()
    packs = Repacking(planter, stored[1])
    context = replace(planter.context, packs=packs)  # type: ignore[arg-type]  # the rest is passed on
    assert Objects(context).chunk(stored[0]) == stored[1]
    assert packs.done


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 80 * limits.MIB), st.integers(1, limits.CHUNK_BYTES_MAX)),
        max_size=60,
    )
)
def test_reads_are_joined_within_bounds(places: list[tuple[int, int, int]]) -> None:
    """One read too long takes all memory, one too short is an object lost."""
    found = [(b"%d" % i, Location(pack, offset, size, size, 0, 0)) for i, (pack, offset, size) in enumerate(places)]
    runs = list(plan_runs(found))
    assert sorted(each for run in runs for each in run.objects) == sorted(found, key=lambda each: each[0])
    for run in runs:
        assert run.size <= limits.READ_RANGE_BYTES_MAX
        for _, place in run.objects:
            assert place.pack == run.pack
            assert run.offset <= place.offset
            assert place.offset + limits.FRAME_HEADER_BYTES + place.stored <= run.offset + run.size


@pytest.mark.plain("damages frames where they lie in the file")
def test_damage_further_on_hurts_nobody_who_has_not_come_there(planter: Planter) -> None:
    """A reader would lose good bytes because others, which he never asked for, are damaged."""
    first, second = (random.Random(seed).randbytes(5000) for seed in (1, 2))
    ids = [planter.put(ObjectKind.CHUNK, data) for data in (first, second)]
    planter.flush()
    (path,) = pack_paths(planter)
    flip(path, path.read_bytes().index(second[1000:1100]))
    objects = Objects(planter.context)
    assert objects.chunks(ids[:1], ids[1:]) == [first]
    with pytest.raises(Corrupt) as caught:
        objects.chunks(ids[1:])
    assert caught.value.digest == ids[1]
    with pytest.raises(Corrupt):
        Objects(planter.context).chunks(ids[1:], ids[:1])
