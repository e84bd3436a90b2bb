"""What shards, sets and recipes cost: the real encoders, and what reads them. Each function is one process's work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from artstore import limits, wiring
from artstore.format.ids import PLAIN
from artstore.format.pack import encode_table
from artstore.format.recipe import RecipeBuilder, RecipeLeaf, decode_recipe_page
from artstore.format.remote import RemoteSet, ShardPack, decode_remote, decode_shard, encode_remote, encode_shard
from artstore.model import Digest, Listed, ObjectKind
from artstore.planning.remote_gc import Standing, plan_remote_gc
from artstore.store.far.places import table_of_shard
from artstore.store.remote.known import Known
from artstore_bench.scale import synthetic
from artstore_bench.scale.answers import Answer
from artstore_bench.scale.index import BATCH_IDS, REMOTE_ID, WARM_LOOKS
from artstore_bench.scale.meter import Meter
from artstore_bench.scale.synthetic import PACK_CHUNKS

LEARNT_PACKS_MAX: Final = 1024  # the rows are those of the index, which is asked about beyond that
_SEED: Final = 11
_GARBAGE_EVERY: Final = 16


def shards(packs: int) -> Iterator[Answer]:
    """Make the shards of so many packs, and read each again: into entries, and into what a push knows of a remote."""
    making, reading, learning = Meter(), Meter(), Meter()
    known = Known()
    size = learnt = 0
    for group in synthetic.groups(0, packs, limits.REMOTE_SHARD_PACKS_MAX):
        tables = [(pack, synthetic.table(pack)) for pack in group]
        with making.running():
            data = encode_shard(
                [
                    ShardPack(synthetic.pack_key(pack), synthetic.PACK_BYTES, encode_table(table))
                    for pack, table in tables
                ]
            )
        with reading.running():
            count = sum(len(table_of_shard(pack)) for pack in decode_shard(data))
        assert count == len(tables) * PACK_CHUNKS
        size += len(data)
        if len(known.packs) < limits.REMOTE_SHARD_IDS_MAX:
            with learning.running():
                for pack in decode_shard(data):
                    known.add(pack)
            learnt += count
    yield making.answer("encode", packs * PACK_CHUNKS, stored=size)
    yield reading.answer("decode", packs * PACK_CHUNKS, stored=size)
    yield learning.answer("known", learnt)
    wanted = synthetic.sample(min(WARM_LOOKS, learnt), below=learnt, seed=_SEED)
    asking = Meter()
    with asking.running():
        found = sum(id in known.packs for id in wanted)
    assert found == len(wanted)
    yield asking.answer("known-hit", len(wanted))


def learn(place: Path, packs: int) -> Iterator[Answer]:
    """Enter into a new store's index what shards tell, and look it up there, as reading from a remote does."""
    packs = min(packs, LEARNT_PACKS_MAX)
    wiring.init(str(place))
    connection = wiring.connect(str(place))
    index = connection.context.index
    entering, asking = Meter(), Meter()
    for group in synthetic.groups(0, packs, limits.FAR_PACKS_PER_WRITE):
        tables = [(pack, synthetic.table(pack)) for pack in group]
        with entering.running(), index.write(sync=False) as writer:
            for pack, table in tables:
                writer.add_far_pack(REMOTE_ID, synthetic.pack_key(pack), size=synthetic.PACK_BYTES, table=table)
    count = packs * PACK_CHUNKS
    yield entering.answer("learn", count, stored=place / "index.lmdb" / "data.mdb")
    wanted = synthetic.sample(min(WARM_LOOKS, count), below=count, seed=_SEED)
    for start in range(0, len(wanted), BATCH_IDS):
        with asking.running(), index.read() as reader:
            places = reader.far_find_many(wanted[start : start + BATCH_IDS])
        assert None not in places
    yield asking.answer("learnt-hit", len(wanted))
    connection.close()


def recipe(packs: int) -> Iterator[Answer]:
    """Make the recipe of one file of all these chunks, and read its pages again."""
    making, reading = Meter(), Meter()
    size = walked = 0
    waiting: list[bytes] = []

    def emit(kind: ObjectKind, id: Digest, data: bytes) -> None:
        assert kind is ObjectKind.RECIPE_PAGE
        assert id
        waiting.append(data)

    builder = RecipeBuilder(emit, PLAIN)
    for pack in range(packs):
        table = synthetic.table(pack)
        with making.running():
            builder.add_many([entry.id for entry in table], [entry.raw for entry in table])
        size += sum(map(len, waiting))
        walked += _read_pages(waiting, reading)
    with making.running():
        summary = builder.finish()
    size += sum(map(len, waiting))
    walked += _read_pages(waiting, reading)
    assert summary.chunks == walked == packs * PACK_CHUNKS
    yield making.answer("recipe", walked, stored=size)
    yield reading.answer("walk", walked, stored=size)


def remote_set(packs: int) -> Iterator[Answer]:
    """Make and read the set of one version of so many packs."""
    keys = [synthetic.pack_key(pack) for pack in range(packs)]
    shards = [f"x/{1:024x}/{number:08}" for number in range(-(-packs // limits.REMOTE_SHARD_PACKS_MAX))]
    meter = Meter()
    with meter.running():
        data = encode_remote(RemoteSet(bytes(16), keys, [], shards, []))
        read = decode_remote(RemoteSet, data)
    assert read.data == keys
    yield meter.answer("set", packs, stored=len(data))


def collect(packs: int) -> Iterator[Answer]:
    """Plan a collection at a remote of so many packs, one of sixteen of which nothing needs; their keys come one by one
    as listings bring them.
    """
    marked = {synthetic.pack_key(pack) for pack in range(packs) if pack % _GARBAGE_EVERY}
    grace = limits.REMOTE_GRACE_S
    meter = Meter()
    with meter.running():
        there = (Listed(synthetic.pack_key(pack), synthetic.PACK_BYTES, 0.0) for pack in range(packs))
        step = plan_remote_gc(Standing({}, []), there, marked, read_at=2.0 * grace, grace=grace)
    assert len(step.begun) + len(step.left) == packs - len(marked)
    yield meter.answer("collect", packs)


def _read_pages(pages: list[bytes], meter: Meter) -> int:
    """Take pages apart, and out of the list; how many chunks they name."""
    chunks = 0
    for data in pages:
        with meter.running():
            page = decode_recipe_page(data)
        chunks += len(page.chunks) if isinstance(page, RecipeLeaf) else 0
    pages.clear()
    return chunks
