"""Programs as people have them, on a real mount: none of them knows that it is one."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.fuse.conftest import Mounted

MIB = 1 << 20


def appears(path: Path) -> Path:
    """A path of the mount, as soon as it is there."""
    end = time.monotonic() + 5
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert path.exists()
    return path


def commit(mounted: Mounted, folder: Path, tag: str) -> Path:
    """The folder's new version, in the mount."""
    mounted.run("commit", folder, "--tag", tag)
    return appears(mounted.path.joinpath("versions", *tag.split("/")))


def texture(seed: int, size: int) -> bytes:
    """Data that compresses somewhat: half of each block is random."""
    block = random.Random(seed).randbytes(size // 2)
    return b"".join(block[at : at + 512] + bytes(512) for at in range(0, len(block), 512))[:size]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A project: a few hundred files from nothing to 5 MB, folders in folders, links."""
    folder = tmp_path / "source"
    numbers = random.Random(7)
    for number in range(300):
        path = folder / f"part{number % 7}" / f"deep{number % 3}" / f"file{number}.dat"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(numbers.randbytes(numbers.randrange(0, 20_000)))
    (folder / "model.bin").write_bytes(texture(1, 5 * MIB + 123))
    (folder / "zeros.bin").write_bytes(bytes(3 * MIB))
    (folder / "link").symlink_to("part0/deep0/file0.dat")
    (folder / "none").mkdir()
    return folder


def test_diff_finds_nothing(mounted: Mounted, source: Path) -> None:
    """Content, names, links and empty folders are what was committed."""
    version = commit(mounted, source, "project/v1")
    done = subprocess.run(
        ["diff", "-r", "--no-dereference", source, version], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
def test_rsync_finds_nothing_to_send(mounted: Mounted, source: Path) -> None:
    """Who copies a version with checksums must get what was committed, and nothing twice."""
    version = commit(mounted, source, "project/v1")
    command = ["rsync", "-rlc", "--dry-run", "--delete", "--out-format=%n", f"{version}/", f"{source}/"]
    sent = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert not [name for name in sent if not name.endswith("/")]


def test_tar_brings_it_all_along(mounted: Mounted, source: Path, tmp_path: Path) -> None:
    """An archive made of a version holds every byte, though tar checks sizes as it reads."""
    version = commit(mounted, source, "project/v1")
    subprocess.run(["tar", "-cf", tmp_path / "all.tar", "-C", version, "."], check=True)
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "all.tar", "-C", tmp_path / "out"], check=True)
    assert subprocess.run(["diff", "-r", "--no-dereference", source, tmp_path / "out"], check=False).returncode == 0


def test_a_numpy_array_is_mapped(mounted: Mounted, tmp_path: Path) -> None:
    """An array greater than memory is used through a mapping, in any order."""
    folder = tmp_path / "arrays"
    folder.mkdir()
    array = np.random.default_rng(3).normal(size=(1024, 1024)).astype(np.float32)
    np.save(folder / "weights.npy", array)
    version = commit(mounted, folder, "arrays/v1")
    mapped = np.load(version / "weights.npy", mmap_mode="r")
    assert np.array_equal(mapped[::-7], array[::-7])
    assert np.array_equal(mapped, array)
    changed = np.load(version / "weights.npy", mmap_mode="c")
    changed[0] = 0
    assert np.array_equal(np.load(version / "weights.npy"), array)


def write_safetensors(path: Path, tensors: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]) -> None:
    """A file in the format of safetensors: the header's length, the header, the tensors."""
    header: dict[str, object] = {}
    offset = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(each.tobytes() for each in tensors.values()))


@pytest.fixture
def tensors(tmp_path: Path) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Three layers, which `tmp_path/llm/model.safetensors` holds."""
    numbers = np.random.default_rng(5)
    made = {f"layer{n}": numbers.normal(size=(512, 300 + n)).astype(np.float32) for n in range(3)}
    (tmp_path / "llm").mkdir()
    write_safetensors(tmp_path / "llm" / "model.safetensors", dict(made))
    return dict(made)


def test_tensors_are_loaded_without_a_copy(
    mounted: Mounted, tmp_path: Path, tensors: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]
) -> None:
    """Loaders map the file, read its header and make views into the mapping."""
    path = commit(mounted, tmp_path / "llm", "llm/v1") / "model.safetensors"
    data = np.memmap(path, mode="r")
    length = int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8 : 8 + length].tobytes())
    for name, tensor in reversed(tensors.items()):
        begin, end = (8 + length + at for at in header[name]["data_offsets"])
        view = np.frombuffer(data[begin:end], dtype=np.float32).reshape(header[name]["shape"])
        assert not view.flags.owndata
        assert np.array_equal(view, tensor)


def test_safetensors_loads_the_model(
    mounted: Mounted, tmp_path: Path, tensors: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]
) -> None:
    """The library itself, where it is installed."""
    library = pytest.importorskip("safetensors.numpy")
    path = commit(mounted, tmp_path / "llm", "llm/v1") / "model.safetensors"
    loaded = library.load_file(path)
    assert loaded.keys() == tensors.keys()
    assert all(np.array_equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_torch_loads_batches_in_forked_workers(mounted: Mounted, tmp_path: Path) -> None:
    """A training loop reads samples in any order in two processes that share one descriptor."""
    torch_data = pytest.importorskip("torch.utils.data")
    samples = np.arange(64 * 4096, dtype=np.int64).reshape(64, 4096)
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "samples.npy", samples)
    mapped = np.load(commit(mounted, tmp_path / "data", "data/v1") / "samples.npy", mmap_mode="r")
    rows = [torch_data.default_convert(np.array(row)) for row in mapped]
    loader = torch_data.DataLoader(rows, batch_size=8, num_workers=2, shuffle=True, multiprocessing_context="fork")
    seen = sorted(int(row[0]) for batch in loader for row in batch)
    assert seen == [int(row[0]) for row in samples]


def read_samples(file: int, numbers: list[int], size: int, answer: Connection) -> None:
    """A worker: read these samples through a descriptor that was open before the fork."""
    answer.send([(number, hashlib.sha256(os.pread(file, size, number * size)).hexdigest()) for number in numbers])


def test_forked_workers_share_a_descriptor(mounted: Mounted, tmp_path: Path) -> None:
    """What a DataLoader does with two workers: one open file, two processes, samples in random order."""
    size, count = 10_000, 400
    content = texture(9, size * count)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "samples.bin").write_bytes(content)
    path = commit(mounted, tmp_path / "data", "data/v1") / "samples.bin"
    order = random.Random(1).sample(range(count), count)
    fork = multiprocessing.get_context("fork")
    file = os.open(path, os.O_RDONLY)
    try:
        pipes = [fork.Pipe(duplex=False) for _ in range(2)]
        workers = [
            fork.Process(target=read_samples, args=(file, order[number::2], size, pipe[1]))
            for number, pipe in enumerate(pipes)
        ]
        for worker in workers:
            worker.start()
        found = dict(sample for pipe in pipes for sample in pipe[0].recv())
        for worker in workers:
            worker.join()
    finally:
        os.close(file)
    wanted = {n: hashlib.sha256(content[n * size : (n + 1) * size]).hexdigest() for n in range(count)}
    assert found == wanted


@pytest.mark.parametrize("option", ["mode=ro", "immutable=1"])
def test_sqlite_opens_read_only(mounted: Mounted, tmp_path: Path, option: str) -> None:
    """A database in a version is queried in place: pages in no order, and locks."""
    (tmp_path / "db").mkdir()
    with closing(sqlite3.connect(tmp_path / "db" / "all.sqlite")) as made, made:
        made.execute("create table samples (id integer primary key, label text)")
        made.executemany("insert into samples values (?, ?)", ((n, f"label {n * 7919 % 1000}") for n in range(50_000)))
        made.execute("create index labels on samples (label)")
    path = commit(mounted, tmp_path / "db", "db/v1") / "all.sqlite"
    with closing(sqlite3.connect(f"file:{path}?{option}", uri=True)) as opened:
        assert opened.execute("pragma integrity_check").fetchone() == ("ok",)
        assert opened.execute("select count(*) from samples where label = 'label 7'").fetchone() == (50,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            opened.execute("delete from samples")


def test_a_package_is_imported(mounted: Mounted, tmp_path: Path) -> None:
    """Code that was committed beside its model runs from there; Python can't write its caches, and needn't."""
    package = tmp_path / "code" / "pipeline"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from pipeline.steps import answer\n")
    (package / "steps.py").write_text("answer = 6 * 7\n")
    version = commit(mounted, tmp_path / "code", "code/v1")
    done = subprocess.run(
        [sys.executable, "-c", "import pipeline; print(pipeline.answer, pipeline.__file__)"],
        env={"PATH": os.defpath, "PYTHONPATH": str(version)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["42", str(version / "pipeline" / "__init__.py")]
    assert not (version / "pipeline" / "__pycache__").exists()


def test_random_readers_get_the_right_bytes(mounted: Mounted, tmp_path: Path) -> None:
    """Eight threads at random places, of all sizes: a mistake in offsets shows as another byte."""
    content = {name: texture(seed, size) for seed, (name, size) in enumerate({"a": 9 * MIB, "b": 4 * MIB + 1}.items())}
    (tmp_path / "data").mkdir()
    for name, data in content.items():
        (tmp_path / "data" / name).write_bytes(data)
    version = commit(mounted, tmp_path / "data", "data/v1")

    def read(seed: int) -> int:
        numbers = random.Random(seed)
        with (version / "a").open("rb", buffering=0) as a, (version / "b").open("rb", buffering=0) as b:
            files = {"a": a.fileno(), "b": b.fileno()}
            for _ in range(250):
                name = numbers.choice("ab")
                offset = numbers.randrange(len(content[name]))
                size = numbers.choice((1, 4096, 5000, 131_072, MIB))
                found = os.pread(files[name], size, offset)
                assert found == content[name][offset : offset + size], (name, offset, size)
        return seed

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(read, range(8))) == list(range(8))


def read_until(stop: Callable[[], bool], path: Path, wanted: set[str]) -> int:
    """Read a file through a name again and again; each time it must be one of what it may be, whole."""
    times = 0
    while not stop() or times == 0:
        assert hashlib.sha256(path.read_bytes()).hexdigest() in wanted
        times += 1
    return times


def test_an_alias_moves_under_readers(mounted: Mounted, tmp_path: Path) -> None:
    """A deployment under load: each of 32 readers has the whole old or the whole new model, never a mixture."""
    folder = tmp_path / "model"
    folder.mkdir()
    wanted: set[str] = set()
    for number in (1, 2):
        data = texture(number, 2 * MIB + number * 1000)
        wanted.add(hashlib.sha256(data).hexdigest())
        (folder / "weights").write_bytes(data)
        commit(mounted, folder, f"model/v{number}")
    mounted.run("alias", "set", "model/production", "v1")
    path = appears(mounted.path / "aliases" / "model" / "production") / "weights"
    stopped = False
    with ThreadPoolExecutor(32) as threads:
        readers = [threads.submit(read_until, lambda: stopped, path, wanted) for _ in range(32)]
        try:
            for number in (2, 1, 2, 1, 2):
                mounted.run("alias", "set", "model/production", f"v{number}")
        finally:
            stopped = True
        assert all(reader.result() >= 1 for reader in readers)


def test_commit_and_gc_beside_readers(mounted: Mounted, tmp_path: Path) -> None:
    """Nobody stops the readers of a shared machine for a collection, which moves their data to other packs."""
    folder = tmp_path / "model"
    folder.mkdir()
    kept = texture(1, 6 * MIB)
    (folder / "weights").write_bytes(kept)
    (folder / "lost").write_bytes(os.urandom(8 * MIB))
    commit(mounted, folder, "model/v1")
    (folder / "lost").unlink()
    path = commit(mounted, folder, "model/v2") / "weights"
    stopped = False
    with ThreadPoolExecutor(16) as threads:
        readers = [
            threads.submit(read_until, lambda: stopped, path, {hashlib.sha256(kept).hexdigest()}) for _ in range(16)
        ]
        try:
            mounted.run("rm", "model/v1", "--yes")
            mounted.run("gc", "--yes", "--now")
            (folder / "more").write_bytes(os.urandom(MIB))
            commit(mounted, folder, "model/v3")
        finally:
            stopped = True
        assert all(reader.result() >= 1 for reader in readers)


def test_folders_of_many_files(mounted: Mounted, tmp_path: Path) -> None:
    """A folder that spans many pages of its tree is listed whole, each name once."""
    check_many(mounted, tmp_path, folders=3, files=3000)


@pytest.mark.long
def test_a_million_files(mounted: Mounted, tmp_path: Path) -> None:
    """A dataset of a hundred folders of ten thousand files each."""
    check_many(mounted, tmp_path, folders=100, files=10_000)


def check_many(mounted: Mounted, tmp_path: Path, *, folders: int, files: int) -> None:
    """Commit so many files, list them all, look at some."""
    source = tmp_path / "many"
    for folder in range(folders):
        (source / f"{folder:03}").mkdir(parents=True)
        for number in range(files):
            (source / f"{folder:03}" / f"{number:05}.txt").write_text(f"{folder} {number}\n")
    version = commit(mounted, source, "many/v1")
    names = [f"{number:05}.txt" for number in range(files)]
    for name in sorted(os.listdir(version)):
        assert sorted(os.listdir(version / name)) == names
    assert sum(1 for _ in os.scandir(version)) == folders
    for number in range(0, files, max(1, files // 50)):
        path = version / f"{number % folders:03}" / f"{number:05}.txt"
        assert path.read_text() == f"{number % folders} {number}\n"
