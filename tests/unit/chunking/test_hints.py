"""Format-aware starts, found in real files of each format and in broken ones."""

from __future__ import annotations

import io
import json
import random
import struct
import tarfile
import zipfile
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artstore import limits
from artstore.chunking import CHUNK_MIN, HEAD_BYTES, cut, find_starts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

BIG = 40_000  # bytes of a part that is worth a start
SMALL = 3_000  # and of one that isn't


class Reads:
    """A file in memory that records what was read of it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked: list[tuple[int, int]] = []

    def __call__(self, offset: int, count: int) -> bytes:
        assert offset >= 0
        assert 0 <= count <= limits.HINT_BYTES_MAX
        self.asked.append((offset, count))
        return self.content[offset : offset + count]


def starts_of(content: bytes) -> list[int]:
    return find_starts(Reads(content), len(content)).tolist()


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


PARTS = [noise(BIG, 1), noise(2 * BIG, 2), noise(SMALL, 3), noise(BIG, 4), noise(SMALL, 5), noise(5 * BIG, 6)]
WORTHWHILE = [part for part in PARTS if len(part) >= BIG]


def places(content: bytes, parts: Sequence[bytes] = tuple(WORTHWHILE)) -> list[int]:
    """Where the parts lie that starts are expected of."""
    return [place for place in (content.index(part) for part in parts) if place]


# --- one file of each format


def npy_of(values: NDArray[Any], version: tuple[int, int] | None = None) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, values, version=version)
    return out.getvalue()


def bytes_array(part: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(part, np.uint8)


def safetensors(parts: Sequence[bytes], *, extra: str = "x") -> bytes:
    ends = list(accumulate(map(len, parts)))
    tensors: dict[str, object] = {"__metadata__": {"note": f'"data_offsets":[7,9] {extra}'}}
    for i, (part, end) in enumerate(zip(parts, ends, strict=True)):
        tensors[f"layer.{i}"] = {"dtype": "U8", "shape": [len(part)], "data_offsets": [end - len(part), end]}
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + b"".join(parts)


def gguf(parts: Sequence[bytes], *, alignment: int | None = None, version: int = 3) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    words = [f"token{i}" * (i % 5) for i in range(20_000)]
    pairs = [
        text("general.name") + struct.pack("<I", 8) + text("a model"),
        text("a.flag") + struct.pack("<IB", 7, 1),
        text("a.float") + struct.pack("<Id", 12, 1.5),
        text("tokenizer.tokens") + struct.pack("<IIQ", 9, 8, len(words)) + b"".join(map(text, words)),
        text("tokenizer.scores") + struct.pack("<IIQ", 9, 6, 30_000) + bytes(120_000),
    ]
    if alignment:
        pairs.append(text("general.alignment") + struct.pack("<II", 4, alignment))
    unit = alignment or 32
    table, data = b"", b""
    for i, part in enumerate(parts):
        table += text(f"blk.{i}") + struct.pack("<IQQIQ", 2, len(part), 1, 24, len(data))
        data += part + bytes(-len(part) % unit)
    head = b"GGUF" + struct.pack("<IQQ", version, len(parts), len(pairs)) + b"".join(pairs) + table
    return head + bytes(-len(head) % unit) + data


def zip_of(parts: Sequence[bytes], *, method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for i, part in enumerate(parts):
            archive.writestr(f"archive/data/{i}", part)
        archive.comment = comment
    return out.getvalue()


def zip64_of(parts: Sequence[bytes], monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The sizes and offsets of all its members, and the directory's own, stand in zip64 fields."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    content = zip_of(parts)
    assert b"PK\x06\x06" in content
    return content


def pytorch_of(parts: Sequence[bytes]) -> bytes:
    """A checkpoint as torch.save lays it out: padding in the local extra field aligns each storage to 64 bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, part in [("model/data.pkl", noise(SMALL, 9)), *((f"model/data/{i}", p) for i, p in enumerate(parts))]:
            info = zipfile.ZipInfo(name)
            padding = -(out.tell() + 30 + len(name) + 4) % 64
            info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
            archive.writestr(info, part)
            info.extra = b""  # the directory has none
    return out.getvalue()


def npz_of(parts: Sequence[bytes]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **{f"array{i}": bytes_array(part) for i, part in enumerate(parts)})  # type: ignore[arg-type]  # kwds
    return out.getvalue()


def tar_of(parts: Sequence[bytes], *, form: int = tarfile.PAX_FORMAT, name: str = "folder/{}") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for i, part in enumerate(parts):
            info = tarfile.TarInfo(name.format(i))
            info.size = len(part)
            info.mtime = 5
            archive.addfile(info, io.BytesIO(part))
            link = tarfile.TarInfo(f"link{i}")
            link.type, link.linkname = tarfile.SYMTYPE, "folder"
            archive.addfile(link)
    return out.getvalue()


class Thrift:
    """Writes structures of Thrift's compact protocol."""

    @staticmethod
    def varint(value: int) -> bytes:
        out = b""
        while value > 0x7F:
            out += bytes([value & 0x7F | 0x80])
            value >>= 7
        return out + bytes([value])

    @classmethod
    def number(cls, value: int) -> bytes:
        return cls.varint((value << 1 ^ value >> 63) & (1 << 64) - 1)

    @classmethod
    def struct(cls, *fields: tuple[int, int, bytes]) -> bytes:
        out, last = b"", 0
        for field, kind, value in fields:
            near = 0 < field - last < 16
            out += (bytes([(field - last) << 4 | kind]) if near else bytes([kind]) + cls.number(field)) + value
            last = field
        return out + b"\0"

    @classmethod
    def items(cls, kind: int, *items: bytes) -> bytes:
        count = len(items)
        head = bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + cls.varint(count)
        return head + b"".join(items)

    @classmethod
    def text(cls, value: bytes) -> bytes:
        return cls.varint(len(value)) + value


def parquet(parts: Sequence[bytes], *, columns: int = 17) -> bytes:
    """Each part is a row group; its first column begins with a dictionary page when the number is even."""
    content = b"PAR1"
    groups: list[bytes] = []
    for i, part in enumerate(parts):
        begin = len(content)
        content += part
        chunks: list[bytes] = []
        for column in range(columns):
            first = begin + column * 100
            pages = [(9, 6, Thrift.number(first + 50)), (11, 6, Thrift.number(first))]
            meta = Thrift.struct(
                (1, 5, Thrift.number(6)),
                (2, 9, Thrift.items(5, Thrift.number(0), Thrift.number(3))),
                (3, 9, Thrift.items(8, Thrift.text(b"column"), Thrift.text(b"item"))),
                (5, 6, Thrift.number(-1)),
                *(pages if i % 2 == 0 else [(9, 6, Thrift.number(first))]),
                (12, 12, Thrift.struct((1, 8, Thrift.text(b"max")), (7, 1, b""), (8, 2, b""), (40, 7, bytes(8)))),
                (13, 11, Thrift.varint(1) + b"\x85" + Thrift.text(b"key") + Thrift.number(7)),
                (14, 11, Thrift.varint(0)),
            )
            chunks.append(Thrift.struct((2, 6, Thrift.number(0)), (3, 12, meta), (4, 3, b"\x01")))
        groups.append(
            Thrift.struct((1, 9, Thrift.items(12, *chunks)), (2, 6, Thrift.number(len(part))), (5, 6, Thrift.number(4)))
        )
    schema = [Thrift.struct((1, 5, Thrift.number(1)), (4, 8, Thrift.text(b"name"))) for _ in range(columns)]
    footer = Thrift.struct(
        (1, 5, Thrift.number(2)),
        (2, 9, Thrift.items(12, *schema)),
        (3, 6, Thrift.number(1 << 40)),
        (4, 9, Thrift.items(12, *groups)),
        (6, 8, Thrift.text(b"a writer")),
    )
    return content + footer + struct.pack("<I", len(footer)) + b"PAR1"


MAKERS: dict[str, Callable[[Sequence[bytes]], bytes]] = {
    "safetensors": safetensors,
    "gguf": gguf,
    "zip": zip_of,
    "pytorch": pytorch_of,
    "npz": npz_of,
    "tar": tar_of,
    "parquet": parquet,
}
every_format = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@every_format
def test_each_part_of_some_size_is_a_start(make: Callable[[Sequence[bytes]], bytes]) -> None:
    """A tensor, member or row group that moved within its file would be stored again in part."""
    content = make(PARTS)
    assert starts_of(content) == places(content)


@every_format
def test_a_part_keeps_its_chunks_wherever_it_lies(make: Callable[[Sequence[bytes]], bytes]) -> None:
    """Two files that hold the same tensor in different places would not share its chunks."""
    part = b"\1" + bytes(10 * BIG)  # content alone gives no cut in zeros: only the start makes the chunks equal
    found: list[list[bytes]] = []
    for before in ([b"\2" + bytes(BIG)], [b"\3" + bytes(BIG + 999), noise(SMALL, 9)]):
        content = make([*before, part, noise(BIG, 10)])
        ends = cut(content, 0, len(content), find_starts(Reads(content), len(content)), base=0, final=True)
        begin = content.index(part)
        pieces = pairwise([0, *memoryview(ends).cast("Q").tolist()])
        found.append([content[a:b] for a, b in pieces if begin <= a < b <= begin + len(part)])
    assert found[0]
    assert found[0] == found[1]


@every_format
def test_the_head_given_changes_nothing_but_the_reads(make: Callable[[Sequence[bytes]], bytes]) -> None:
    """The same file would get another id when another part of the program had read its first bytes already."""
    content = make(PARTS)
    expected = starts_of(content)
    for count in (1, HEAD_BYTES - 1, HEAD_BYTES, 70_000, len(content)):
        assert find_starts(Reads(content), len(content), head=content[:count]).tolist() == expected
    reads = Reads(content)
    find_starts(reads, len(content), head=content)
    assert reads.asked == []


@every_format
def test_only_headers_are_read(make: Callable[[Sequence[bytes]], bytes]) -> None:
    """Committing a file of terabytes would read it twice."""
    content = make([noise(4_000_000, 1), noise(4_000_000, 2)])
    reads = Reads(content)
    assert len(find_starts(reads, len(content))) >= 1
    assert sum(count for _, count in reads.asked) < 1_000_000


@pytest.mark.parametrize("size", [2 * CHUNK_MIN, 3 * CHUNK_MIN])
def test_an_unknown_file_costs_no_read_beyond_its_head(size: int) -> None:
    """A folder of small files would be committed at half the speed."""
    content = noise(size, 1)
    reads = Reads(content)
    assert not find_starts(reads, size, head=content[:HEAD_BYTES])
    assert reads.asked == []
    assert not find_starts(reads, size)
    assert reads.asked == [(0, HEAD_BYTES)]


def test_a_json_file_is_not_taken_for_safetensors() -> None:
    """A text whose ninth byte is a brace would be read from its beginning as a header."""
    content = b'{"a":[1,{"data_offsets":[20000,30000],' + b" " * 100_000
    content = content[:8] + b"{" + content[9:]
    assert starts_of(content) == []


def test_a_file_too_small_for_two_chunks_is_not_read() -> None:
    """Each file of a few KiB would cost a read that can't be of use."""
    content = tar_of([noise(SMALL, 1), noise(SMALL, 2)])[: 2 * CHUNK_MIN - 1]
    reads = Reads(content)
    assert not find_starts(reads, len(content))
    assert reads.asked == []


@pytest.mark.parametrize("alignment", [None, 8, 64, 4096])
@pytest.mark.parametrize("version", [2, 3])
def test_gguf_alignments_and_versions(alignment: int | None, version: int) -> None:
    """The starts of a quantised model would lie beside its tensors."""
    content = gguf(PARTS, alignment=alignment, version=version)
    assert starts_of(content) == places(content)


def test_gguf_of_an_unknown_version_has_no_starts() -> None:
    """A later GGUF would be cut at places that mean nothing."""
    assert starts_of(gguf(PARTS, version=4)) == []


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["{}", "f/" * 90 + "{}", "ünïcode/" * 11 + "{}"], ids=["short", "long", "unicode"])
def test_tar_forms(form: int, name: str) -> None:
    """Members behind a long name would not be found."""
    content = tar_of(PARTS, form=form, name=name)
    assert starts_of(content) == places(content)


def test_tar_sizes_in_pax_records_and_in_binary() -> None:
    """Members of more than 8 GiB would end the search in an archive."""
    pax = tarfile.TarInfo("big")
    pax.size = 0
    pax.pax_headers = {"comment": "9 size=7\n", "size": str(len(PARTS[0]))}
    head = pax.tobuf(tarfile.PAX_FORMAT)
    head += PARTS[0] + bytes(-len(PARTS[0]) % 512)
    plain = bytearray(tarfile.TarInfo("next").tobuf(tarfile.GNU_FORMAT))
    plain[124:136] = b"\x80" + len(PARTS[1]).to_bytes(11, "big")
    plain[148:156] = b" " * 8
    plain[148:156] = b"%06o\0 " % sum(plain)
    content = head + bytes(plain) + PARTS[1] + bytes(-len(PARTS[1]) % 512) + tar_of(PARTS[3:])
    assert starts_of(content) == places(content, [PARTS[0], PARTS[1], PARTS[3], PARTS[5]])


def test_tar_with_gnu_sparse_members() -> None:
    """Members behind a sparse one would not be found."""
    info = tarfile.TarInfo("sparse")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, len(PARTS[0])
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[482] = 1
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    more, last = bytearray(512), bytes(512)
    more[504] = 1
    content = bytes(head) + bytes(more) + last + PARTS[0] + bytes(-len(PARTS[0]) % 512) + tar_of(PARTS[1:])
    assert starts_of(content) == places(content)


def test_a_tar_that_ends_without_its_end_is_read_to_there() -> None:
    """A download that stopped early would lose the starts that are there."""
    content = tar_of(PARTS)
    cut_off = content[: content.index(PARTS[5]) + BIG]
    assert starts_of(cut_off) == places(content)


@pytest.mark.parametrize("comment", [b"", b"a comment", b"PK\x05\x06" * 3, bytes(60_000)])
def test_zip_comments(comment: bytes) -> None:
    """An archive with a comment would have no starts."""
    content = zip_of(PARTS, comment=comment)
    assert starts_of(content) == places(content)


def test_zip64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints of more than 4 GiB would have no starts."""
    content = zip64_of(PARTS, monkeypatch)
    assert starts_of(content) == places(content)


def test_compressed_members_are_no_starts() -> None:
    """Starts of compressed data would crowd out useful ones."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", PARTS[0], zipfile.ZIP_DEFLATED)
        archive.writestr("b", PARTS[1], zipfile.ZIP_STORED)
        archive.writestr("c", PARTS[3], zipfile.ZIP_DEFLATED)
    assert starts_of(out.getvalue()) == places(out.getvalue(), [PARTS[1]])


def test_a_member_with_a_long_name_is_found_in_an_archive_of_arrays() -> None:
    """An array whose header lies behind a long name would not be recognised."""
    name = "n" * 600
    out = io.BytesIO()
    np.savez(out, **{name: bytes_array(PARTS[0]), "b": bytes_array(PARTS[1])})  # type: ignore[arg-type]  # kwds
    assert starts_of(out.getvalue()) == places(out.getvalue(), PARTS[:2])


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy_data_begins_behind_its_header(version: tuple[int, int]) -> None:
    """A table with many named columns would be stored again when only its header changed."""
    fields = [(f"column{i:04}", "u1") for i in range(1500)]
    values = np.frombuffer(noise(1500 * 60, 1), np.dtype(fields))
    content = npy_of(values, version)
    assert starts_of(content) == places(content, [values.tobytes()])


def test_parquet_with_many_columns_and_row_groups() -> None:
    """Row groups behind a long list of columns would not be found."""
    parts = [noise(BIG, seed) for seed in range(20)]
    content = parquet(parts, columns=40)
    assert starts_of(content) == places(content, parts)


def test_small_parts_before_a_large_one_do_not_hide_it() -> None:
    """The weights behind a small bias would begin in the middle of a chunk."""
    parts = [noise(BIG, 1), *(noise(100, i) for i in range(30)), noise(8_000, 2), noise(BIG, 3)]
    content = safetensors(parts)
    assert starts_of(content) == places(content, [parts[0], parts[-1]])


@every_format
def test_limits_end_the_search_and_keep_what_was_found(
    make: Callable[[Sequence[bytes]], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with endless headers would take all memory or never be committed."""
    from artstore.chunking.hints import headers

    content = make(PARTS)
    everything = starts_of(content)
    monkeypatch.setattr(headers, "HINT_STARTS_MAX", 2)
    assert 1 <= len(starts_of(content)) <= 2
    monkeypatch.undo()
    for steps in (0, 3, 40):
        monkeypatch.setattr(headers, "HINT_STEPS_MAX", steps)
        assert set(starts_of(content)) <= {*everything, *places(content, PARTS)}
    monkeypatch.undo()
    for count in (0, 511, 2048, 80_000):
        monkeypatch.setattr(headers, "HINT_BYTES_MAX", count)
        reads = Reads(content)
        find_starts(reads, len(content))
        assert sum(n for _, n in reads.asked) <= count


@every_format
def test_a_file_that_shrinks_while_it_is_read_raises_nothing(make: Callable[[Sequence[bytes]], bytes]) -> None:
    """A commit would break off with a traceback instead of reading the file again."""
    content = make(PARTS)
    for kept in (0, 300, 5_000, len(content) // 2, len(content) - 1):
        find_starts(Reads(content[:kept]), len(content))


@every_format
def test_an_error_of_the_disk_passes_through(make: Callable[[Sequence[bytes]], bytes]) -> None:
    """An unreadable disk would look like a file of an unknown format."""
    content = make(PARTS)

    def broken(offset: int, count: int) -> bytes:
        msg = "input/output error"
        raise OSError(msg)

    with pytest.raises(OSError, match="input/output"):
        find_starts(broken, len(content), head=content[:HEAD_BYTES])


# --- broken files

EVIL = [0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF]
SAMPLES = {name: make([noise(BIG, 1), noise(SMALL, 2), noise(BIG, 3)]) for name, make in MAKERS.items()}
SAMPLES["npy"] = npy_of(bytes_array(noise(BIG, 1)))


def header_ranges(content: bytes) -> list[int]:
    """Positions that a parser looks at: flips elsewhere would test nothing."""
    reads = Reads(content)
    find_starts(reads, len(content))
    ranges = {at for offset, count in reads.asked for at in range(offset, min(offset + count, offset + 3000))}
    return sorted(ranges | set(range(len(content) - 600, len(content))))


LOOKED_AT = {name: header_ranges(content) for name, content in SAMPLES.items()}


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_broken_files_raise_nothing_and_stay_in_bounds(name: str, data: st.DataObject) -> None:
    """A damaged or hostile file would stop the commit of everything else, or take all memory and time."""
    content = bytearray(SAMPLES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.sampled_from(LOOKED_AT[name]))
        value = data.draw(
            st.one_of(st.binary(min_size=1, max_size=9), st.sampled_from(EVIL).map(lambda b: bytes([b] * 8)))
        )
        content[at : at + len(value)] = value
    broken = bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2, len(content) - 3]))])
    reads = Reads(broken)
    found = find_starts(reads, len(broken)).tolist()
    assert found == sorted(set(found))
    assert all(0 < start < len(broken) for start in found)
    assert sum(count for _, count in reads.asked) <= limits.HINT_BYTES_MAX
    assert found == find_starts(Reads(broken), len(broken), head=broken).tolist()
    ends = memoryview(cut(broken, 0, len(broken), find_starts(reads, len(broken)), base=0, final=True)).cast("Q")
    assert ends[-1] == len(broken)


@pytest.mark.parametrize(
    "magic", [b"PK\x03\x04", b"\x93NUMPY", b"GGUF\3\0\0\0", b"PAR1", b"\x20\x4e\0\0\0\0\0\0{", b"\0" * 257 + b"ustar"]
)
@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=400), st.integers(2 * CHUNK_MIN, 60_000))
def test_a_magic_number_before_nonsense_raises_nothing(magic: bytes, first: bytes, last: bytes, size: int) -> None:
    """Any file could be made to stop a commit by its first few bytes."""
    content = magic + first + bytes(max(0, size - len(first) - len(last))) + last
    for start in starts_of(content):
        assert 0 < start < len(content)


def test_counts_that_lie_end_at_once() -> None:
    """A few bytes could keep a commit busy for years."""
    zeros = bytes(100_000)
    text = struct.pack("<Q", 1) + b"k"
    assert starts_of(b"GGUF" + struct.pack("<IQQ", 3, 2**64 - 1, 0) + zeros) == []
    assert starts_of(b"GGUF" + struct.pack("<IQQ", 3, 1, 2**64 - 1) + zeros) == []
    for kind in range(14):
        array = text + struct.pack("<IIQ", 9, kind, 2**64 - 1)
        assert starts_of(b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + array + zeros) == []
    for kind in range(16):
        footer = bytes([0x49, 0xF0 | kind]) + b"\xff" * 8 + b"\x7f" + zeros[:50]
        assert starts_of(b"PAR1" + zeros + footer + struct.pack("<I", len(footer)) + b"PAR1") == []
        footer = bytes([0x1B]) + b"\xff" * 8 + b"\x7f" + bytes([kind << 4 | kind]) + zeros[:50]
        assert starts_of(b"PAR1" + zeros + footer + struct.pack("<I", len(footer)) + b"PAR1") == []
    deep = b"\x1c" * 50_000 + zeros[:9]
    assert starts_of(b"PAR1" + zeros + deep + struct.pack("<I", len(deep)) + b"PAR1") == []
    assert starts_of(b"\xff" * 7 + b"\x7f{" + zeros) == []
