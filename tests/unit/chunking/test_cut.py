"""The native kernel against its specification, and the promises that callers build on."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
import subprocess
import sys
from array import array
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import blake3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artstore import chunking, limits
from artstore.chunking import CHUNK_MAX, CHUNK_MIN, CHUNK_TARGET, _gear, _gear_reference
from artstore.chunking._gear_table import GEAR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Buffer

GOLDEN = Path(__file__).parents[2] / "golden" / "chunking" / "cuts.json"


class Cut(Protocol):
    """What the kernel and its twin have in common."""

    def __call__(self, data: Buffer, offset: int, end: int, starts: Buffer, *, base: int, final: bool) -> bytes: ...


BOTH: list[Cut] = [_gear.cut, _gear_reference.cut]
both = pytest.mark.parametrize("cut", BOTH, ids=["kernel", "reference"])


def positions(starts: Iterable[int] = ()) -> array[int]:
    return array("Q", sorted(starts))


def cuts(data: Buffer, starts: Iterable[int] = (), *, cut: Cut = chunking.cut) -> list[int]:
    size = memoryview(data).nbytes
    return memoryview(cut(data, 0, size, positions(starts), base=0, final=True)).cast("Q").tolist()


def seeded(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def repeated(size: int, unit: bytes) -> bytes:
    return (unit * (size // len(unit) + 1))[:size]


def buffers() -> st.SearchStrategy[bytes]:
    """Random, constant, periodic and glued data around the sizes where the rule changes."""
    edges = [0, 1, CHUNK_MIN - 64, CHUNK_MIN, CHUNK_TARGET, CHUNK_MAX, CHUNK_MAX + CHUNK_MIN]
    near = st.one_of(*(st.integers(max(0, edge - 3), edge + 3) for edge in edges))
    sizes = near | st.integers(0, 600_000)
    noise = st.builds(seeded, sizes, st.integers(0, 1 << 32))
    periodic = st.builds(repeated, sizes, st.binary(min_size=1, max_size=1) | st.binary(min_size=1))
    one = noise | periodic
    return one | st.lists(one, min_size=2, max_size=3).map(b"".join)


def starts_in(size: int) -> st.SearchStrategy[list[int]]:
    """Starts of every kind: dense, far apart, twice the same, on the last byte, beyond the end."""
    return st.lists(st.integers(0, size + CHUNK_MAX), max_size=12).map(sorted)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_kernel_and_specification_agree(data: st.DataObject) -> None:
    """A store written with the native kernel would share nothing with one that follows the documented rule."""
    content = data.draw(buffers())
    starts = positions(data.draw(starts_in(len(content))))
    offset = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(offset, len(content)))
    base = data.draw(st.sampled_from([0, 1, 1 << 20, 1 << 44]))
    shifted = positions(start + base for start in starts)
    final = data.draw(st.booleans())
    expected = _gear_reference.cut(content, offset, end, shifted, base=base, final=final)
    assert _gear.cut(content, offset, end, shifted, base=base, final=final) == expected


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_splitting_a_file_into_calls_changes_no_chunk(data: st.DataObject) -> None:
    """The same file would get another id when it is read through buffers of another size."""
    content = data.draw(buffers())
    starts = positions(data.draw(starts_in(len(content))))
    whole = cuts(content, starts)
    found: list[int] = []
    last = 0  # the last cut in the file, which is where each buffer begins
    filled = 0
    while last < len(content):
        filled = min(len(content), filled + data.draw(st.integers(1, 300_000)))
        final = filled == len(content)
        ends = chunking.cut(content[last:filled], 0, filled - last, starts, base=last, final=final)
        found += [last + end for end in memoryview(ends).cast("Q")]
        last = found[-1] if found else 0
        assert filled - last < CHUNK_MAX
    assert found == whole


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_chunks_cover_the_file_within_their_bounds(data: st.DataObject) -> None:
    """Bytes would be lost, stored twice, or stored in chunks that a pack can't hold."""
    content = data.draw(buffers())
    ends = cuts(content, data.draw(starts_in(len(content))))
    lengths = [b - a for a, b in pairwise([0, *ends])]
    assert sum(lengths) == len(content)
    assert all(CHUNK_MIN <= length <= CHUNK_MAX for length in lengths[:-1])
    assert all(0 < length <= CHUNK_MAX for length in lengths[-1:])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_start_is_a_cut_unless_the_last_one_is_near(data: st.DataObject) -> None:
    """A tensor that moved within its file would be stored again."""
    content = data.draw(buffers())
    starts = data.draw(starts_in(len(content)))
    ends = cuts(content, starts)
    for start in starts:
        if 0 < start <= len(content) and start not in ends:
            before = max([0, *(end for end in ends if end < start)])
            assert start - before < CHUNK_MIN


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_parallel_segments_give_the_cuts_of_one_pass(data: st.DataObject) -> None:
    """A file cut in segments by several threads would get another id than the same file cut in one go."""
    content = seeded(4 << 20, data.draw(st.integers(0, 1 << 32)))
    starts = positions(data.draw(starts_in(len(content))))
    whole = cuts(content, starts)
    at = data.draw(st.integers(0, len(content) // 2))
    segment = memoryview(chunking.cut(content, at, len(content), starts, base=0, final=True)).cast("Q").tolist()
    meeting = next(end for end in segment if end in whole)
    assert meeting - at < 2 << 20
    assert segment[segment.index(meeting) :] == whole[whole.index(meeting) :]


def test_an_edit_changes_only_the_chunks_around_it() -> None:
    """A second version of a file would be stored whole because a byte was inserted into it."""
    content = seeded(8 << 20)
    edited = content[:3_000_000] + b"x" + content[3_000_000:]
    first = {content[a:b] for a, b in pairwise([0, *cuts(content)])}
    new = [b - a for a, b in pairwise([0, *cuts(edited)]) if edited[a:b] not in first]
    assert 0 < sum(new) < 4 * CHUNK_MAX


def test_chunks_of_random_data_are_near_the_target() -> None:
    """Packs, tables and fetch plans are laid out for chunks of about the target's size."""
    size = 32 << 20
    ends = cuts(seeded(size))
    assert CHUNK_TARGET < size / len(ends) < 1.3 * CHUNK_TARGET
    assert sum(b - a == CHUNK_MAX for a, b in pairwise([0, *ends])) < len(ends) / 100


@both
def test_data_without_a_cut_is_cut_at_the_maximum(cut: Cut) -> None:
    """A file of zeros would be one chunk of any size."""
    content = bytes(CHUNK_MAX * 2 + 5)
    assert cuts(content, cut=cut) == [CHUNK_MAX, 2 * CHUNK_MAX, 2 * CHUNK_MAX + 5]


@both
def test_a_start_closer_than_the_minimum_is_ignored(cut: Cut) -> None:
    """Many small tensors would become chunks of a few bytes each."""
    content = bytes(CHUNK_MAX)
    assert cuts(content, [CHUNK_MIN - 1], cut=cut) == [CHUNK_MAX]
    assert cuts(content, [CHUNK_MIN], cut=cut) == [CHUNK_MIN, CHUNK_MAX]
    assert cuts(content, [CHUNK_MIN, 2 * CHUNK_MIN - 1, 2 * CHUNK_MIN], cut=cut)[:2] == [CHUNK_MIN, 2 * CHUNK_MIN]


@both
@pytest.mark.parametrize("size", [0, 1, CHUNK_MIN - 1, CHUNK_MIN, CHUNK_MAX - 1])
def test_an_undecided_tail_is_left_for_the_next_call(cut: Cut, size: int) -> None:
    """A file's chunks would depend on how many bytes one read happened to return."""
    content = bytes(size)
    assert cut(content, 0, size, positions(), base=0, final=False) == b""
    assert cuts(content, cut=cut) == ([size] if size else [])


@both
def test_golden_cuts(cut: Cut) -> None:
    """A new release would cut known files elsewhere and store all of them again."""
    for case in json.loads(GOLDEN.read_text()):
        unit = seeded(case["random"], case["seed"])
        content = unit * case["times"] + bytes([case["fill"]]) * case["filled"]
        ends = cuts(content, case["starts"], cut=cut)
        assert len(ends) == case["count"], case
        assert ends[:4] == case["first"], case
        packed = struct.pack(f"<{len(ends)}Q", *ends)
        assert hashlib.sha256(packed).hexdigest() == case["sha256"], case


def test_the_gear_table_follows_from_its_text() -> None:
    """Nobody else could write a chunker that agrees, and a typing error in the table would go unseen."""
    derived = struct.unpack("<256Q", blake3.blake3(b"artstore gear table 1").digest(2048))
    assert derived == GEAR
    header = (Path(chunking.__file__).parent / "_gear_table.h").read_text()
    assert [f"0x{word:016x}" for word in derived] == [
        part.removeprefix("UINT64_C(").removesuffix("),") for part in header.split() if part.startswith("UINT64_C(")
    ]


def test_sizes_are_those_of_the_limits() -> None:
    """Buffers sized by the limits would be too small for the kernel's chunks."""
    sizes = (limits.CHUNK_BYTES_MIN, limits.CHUNK_BYTES_TARGET, limits.CHUNK_BYTES_MAX)
    assert sizes == (_gear.CHUNK_MIN, _gear.CHUNK_TARGET, _gear.CHUNK_MAX)
    assert sizes == (_gear_reference.CHUNK_MIN, _gear_reference.CHUNK_TARGET, _gear_reference.CHUNK_MAX)


@both
@pytest.mark.parametrize(("offset", "end"), [(-1, 5), (0, 11), (6, 5), (11, 11), (0, -1), (-3, -2), (0, 1 << 62)])
def test_a_range_outside_of_the_data_is_refused(cut: Cut, offset: int, end: int) -> None:
    """The kernel would read memory that isn't the caller's."""
    with pytest.raises(ValueError, match="offset"):
        cut(bytes(10), offset, end, positions(), base=0, final=True)


@both
@pytest.mark.parametrize("base", [-1, (1 << 63) - 1, (1 << 63) - 10 - CHUNK_MIN])
def test_a_base_outside_of_any_file_is_refused(cut: Cut, base: int) -> None:
    """Positions would wrap around and starts be looked for in the wrong place."""
    with pytest.raises(ValueError, match="base"):
        cut(bytes(10), 0, 10, positions(), base=base, final=True)


@both
def test_a_number_beyond_64_bits_is_refused(cut: Cut) -> None:
    """An offset would be truncated to a valid one."""
    with pytest.raises((ValueError, OverflowError)):
        cut(bytes(10), 0, 1 << 64, positions(), base=0, final=True)


@both
def test_starts_that_descend_are_refused(cut: Cut) -> None:
    """Starts would be passed over silently, and dedup be lost without a word."""
    with pytest.raises(ValueError, match="ascend"):
        cut(bytes(10), 0, 10, array("Q", [5, 4]), base=0, final=True)


@both
@pytest.mark.parametrize(
    "starts",
    [b"12345678", array("I", [1]), array("q", [1]), array("d", [1.0]), memoryview(bytes(64)).cast("Q", (2, 4))],
)
def test_starts_of_another_type_are_refused(cut: Cut, starts: Buffer) -> None:
    """Bytes or signed numbers would be taken for positions."""
    with pytest.raises(TypeError):
        cut(bytes(10), 0, 10, starts, base=0, final=True)


@both
def test_buffers_with_gaps_are_refused(cut: Cut) -> None:
    """The kernel would read the bytes between the caller's bytes."""
    with pytest.raises(BufferError):
        cut(memoryview(bytes(20))[::2], 0, 10, positions(), base=0, final=True)
    with pytest.raises(BufferError):
        cut(bytes(10), 0, 10, memoryview(positions([1, 2, 3, 4]))[::2], base=0, final=True)


@both
def test_what_is_no_buffer_is_refused(cut: Cut) -> None:
    """A text or nothing at all would be cut as if it were bytes."""
    for data, starts in (("text", positions()), (None, positions()), (b"", None), (b"", [1])):
        with pytest.raises(TypeError):
            cut(data, 0, 0, starts, base=0, final=True)  # type: ignore[arg-type]  # what is tested


def test_buffers_are_given_back_after_a_call_and_after_a_refusal() -> None:
    """A buffer could not be resized or closed any more after it was cut."""
    data, starts = bytearray(CHUNK_MAX), positions([7])
    chunking.cut(data, 0, len(data), starts, base=0, final=True)
    with pytest.raises(ValueError, match="offset"):
        chunking.cut(data, 1, 0, starts, base=0, final=True)
    with pytest.raises(TypeError):
        chunking.cut(data, 0, 0, bytearray(3), base=0, final=True)
    data.append(1)
    starts.append(8)


@both
def test_positions_need_no_alignment(cut: Cut) -> None:
    """A view into a larger record could not be passed as starts."""
    odd = memoryview(b"x" + positions([CHUNK_MIN, CHUNK_TARGET]).tobytes())[1:].cast("Q")
    assert memoryview(cut(bytes(CHUNK_MAX), 0, CHUNK_MAX, odd, base=0, final=True)).cast("Q").tolist() == [
        CHUNK_MIN,
        CHUNK_TARGET,
        CHUNK_MAX,
    ]


def test_threads_cut_at_the_same_time() -> None:
    """Two files that are cut at once would disturb each other."""
    contents = [seeded(2 << 20, seed) for seed in range(8)]
    expected = [cuts(content) for content in contents]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(cuts, contents * 4)) == expected * 4


def test_a_forked_process_cuts_alike() -> None:
    """A data loader that forks would write other chunks than its parent."""
    content = seeded(1 << 20)
    digest = hashlib.sha256(repr(cuts(content)).encode()).digest()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, hashlib.sha256(repr(cuts(content)).encode()).digest())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answer:
        assert answer.read() == digest
    assert os.waitpid(child, 0)[1] == 0


def test_a_missing_compiler_fails_the_build(tmp_path: Path) -> None:
    """An installation without a compiler would go through and be a hundred times slower without a word."""
    build = [sys.executable, "-c", "from setuptools import setup; setup()", "build_ext"]
    folders = ["--build-temp", str(tmp_path / "temp"), "--build-lib", str(tmp_path / "lib")]
    environment = {**os.environ, "CC": "false"}
    root = Path(chunking.__file__).parents[2]
    done = subprocess.run([*build, *folders], cwd=root, env=environment, capture_output=True, check=False)
    assert done.returncode != 0
    assert not list(tmp_path.rglob("*.so"))
    assert b"false" in done.stderr
