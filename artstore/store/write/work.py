"""Hash, look up, encode: what is done to each batch, on as many threads as there are cores.

Look-ups happen in the order of batches, so that of two equal chunks the first is stored, whatever thread is faster:
the same input gives the same packs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore import limits
from artstore.format.codec import RAW, ZSTD, Encoder
from artstore.store.write.batch import Data

if TYPE_CHECKING:
    from artstore.format.ids import Ids
    from artstore.ports import Buffer, Index
    from artstore.store.write.batch import Batch, FileMeta
    from artstore.store.write.packer import OpenPack

SUFFIXES_MAX = 1024
FAILED_PROBES = 4  # so many small files of one suffix must fail to compress before others are taken to be like them


class Deduplicator:
    """Tells which chunks of a batch have to be stored. Call it in the order of batches.

    `pending` holds the chunks that are on their way to the index: id → their pack, None until they are placed.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self.pending: dict[bytes, OpenPack | None] = {}

    def resolve(self, batch: Batch) -> None:
        """Fill `known` and `fresh`."""
        pending, ids = self.pending, batch.ids
        batch.known = [None] * len(ids)
        # An id leaves `pending` only after its index entry was committed: asked in this order, none is missed.
        asked = [i for i, digest in enumerate(ids) if digest not in pending]
        if not asked:
            return
        with self._index.read() as reader:
            found = reader.find_many([ids[i] for i in asked])
        for i, location in zip(asked, found, strict=True):
            if location is not None:
                batch.known[i] = location
            elif ids[i] not in pending:
                pending[ids[i]] = None
                batch.fresh.append(i)


class Compressor:
    """Encodes the fresh chunks of batches; one per thread, with what all threads learned of suffixes."""

    def __init__(self, level: int, suffixes: dict[bytes, int]) -> None:
        self._encoder = Encoder(level)
        self._suffixes = suffixes
        self._small = 0

    def encode(self, batch: Batch) -> None:
        """Fill `encoded`."""
        if not batch.fresh:
            return
        fresh = set(batch.fresh)
        for event in batch.events:
            if isinstance(event, Data):
                self._encode_file(event, batch, fresh)
        assert len(batch.encoded) == len(batch.fresh)

    def _encode_file(self, event: Data, batch: Batch, fresh: set[int]) -> None:
        is_small = event.ends and event.last - event.first == 1
        for i in range(event.first, event.last):
            if i in fresh:
                data = batch.view[batch.begins[i] : batch.ends[i]]
                encoded = self._small_file(event.file, data) if is_small else self._chunk(event.file, data, i)
                batch.encoded.append(encoded)

    def _chunk(self, file: FileMeta, data: memoryview, number: int) -> tuple[int, Buffer]:
        if file.compressible is False and number % limits.PROBE_EVERY:
            return RAW, data
        stored = self._encoder.zstd(data)
        if file.compressible is None or number % limits.PROBE_EVERY == 0:
            file.compressible = len(stored) <= len(data) * (1 - limits.PROBE_SAVED_MIN)
        return (ZSTD, stored) if len(stored) < len(data) else (RAW, data)

    def _small_file(self, file: FileMeta, data: memoryview) -> tuple[int, Buffer]:
        suffix = file.suffix
        failed = self._suffixes.get(suffix, 0)
        self._small += 1
        if failed >= FAILED_PROBES and self._small % limits.PROBE_EVERY:
            return RAW, data
        stored = self._encoder.zstd(data)
        saved = len(stored) <= len(data) * (1 - limits.PROBE_SAVED_MIN)
        if saved or suffix in self._suffixes or len(self._suffixes) < SUFFIXES_MAX:
            self._suffixes[suffix] = 0 if saved else failed + 1
        return (ZSTD, stored) if len(stored) < len(data) else (RAW, data)


def hash_chunks(batch: Batch, ids: Ids) -> None:
    """Fill `ids`."""
    view = batch.view
    chunk = ids.chunk
    batch.ids = [chunk(view[begin:end]) for begin, end in zip(batch.begins, batch.ends, strict=True)]
