"""The Python API, as a training script or a server uses it."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import artstore


@pytest.fixture
def store(home: Path, model: Path) -> artstore.Store:
    """A store with two versions; closed when its last user forgets it."""
    with artstore.Store.init(home / "store") as made:
        made.commit(model, params={"lr": 3e-4}, message="first")
        (model / "config.json").write_text('{"layers": 3}\n')
        made.commit(model, metrics={"loss": 0.25}, inputs={"base": "llama/v1"})
    return artstore.Store.open(home / "store")


def test_importing_is_light_and_every_public_name_is_there() -> None:
    """`import artstore` in a library must cost its users nothing; a missing name would be found by them."""
    code = "import sys, artstore; print([m for m in ('msgspec', 'lmdb', 'artstore.store') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    for name in artstore.__all__:
        assert getattr(artstore, name) is not None
    assert set(artstore.__all__) == set(dir(artstore))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        artstore.nonsense  # noqa: B018 - that it raises is the point


def test_a_script_commits_reads_and_checks_out(store: artstore.Store, model: Path, home: Path) -> None:
    """The README's example, and what follows from it."""
    with store:
        version = store.version("llama/v2")
        assert version.metadata.metrics == {"loss": 0.25}
        assert version.metadata.inputs == {"base": store.resolve("llama/v1").version.hex()}
        weights = (model / "model.safetensors").read_bytes()
        with store.open("llama/v1", "model.safetensors") as file:
            assert file.read(8) == weights[:8]
            file.seek(-10, io.SEEK_END)
            assert file.read() == weights[-10:]
            assert file.read_at(100_000, 70_000) == weights[100_000:170_000]
        with store.open("llama:config.json") as file:
            assert file.read() == b'{"layers": 3}\n'
        assert [path for path, _ in store.walk("llama", "tokenizer")] == [b"tokenizer/vocab.txt"]
        assert [compared.change.path for compared in store.diff("llama/v1", "llama/v2")] == [b"config.json"]
        assert store.checkout("llama/v1", home / "out").files == 5
        assert [entry.tags for entry in store.log("llama")] == [("llama/v2",), ("llama/v1",)]
        assert store.set_alias("llama/production", "v1", expected=artstore.ABSENT).source is None
        with pytest.raises(artstore.Conflict):
            store.set_alias("llama/production", "v2", expected=artstore.ABSENT)
        with pytest.raises(artstore.NotFound) as caught:
            store.version("lama/v1")
        assert caught.value.exit_code == 3
        assert "llama/v1" in str(caught.value)


def test_a_stream_is_committed_under_its_name(store: artstore.Store) -> None:
    """A server commits what it receives without a file of its own."""
    with store:
        result = store.commit(io.BytesIO(b"x" * 100_000), artifact="uploads", name="part.bin")
        assert result.tag == "uploads/v1"
        assert store.entry("uploads", "part.bin").size == 100_000
        for name in ("a/b", "..", ""):
            with pytest.raises(artstore.UsageError):
                store.commit(io.BytesIO(b""), artifact="uploads", name=name)


def test_a_forked_child_reads_and_writes(store: artstore.Store, home: Path) -> None:
    """Data loaders fork; each worker must be able to use the store that the parent opened."""
    store.version("llama")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with store.open("llama/v1", "config.json") as file:
                good = file.read() == b'{"layers": 2}\n'
            store.tag("llama/from-child", "v1")
            status = 0 if good else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.resolve("llama/from-child").version == store.resolve("llama/v1").version
    store.commit(home / "work" / "llama", params={"n": 1})
    store.close()


def test_a_pickled_store_opens_itself_again(store: artstore.Store) -> None:
    """A store in a dataset object travels to spawned workers."""
    with store, pickle.loads(pickle.dumps(store)) as copy:
        assert copy.resolve("llama").version == store.resolve("llama").version
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(artstore.Store.version, (store, "llama/v1")).message == "first"


def test_threads_share_a_store(store: artstore.Store, model: Path) -> None:
    """A server reads from many threads; each must get its own bytes."""
    expected = (model / "model.safetensors").read_bytes()
    with store, store.open("llama", "model.safetensors") as file, ThreadPoolExecutor(8) as pool:
        offsets = [(number * 37_123) % len(expected) for number in range(100)]
        parts = list(pool.map(file.read_at, offsets, [50_000] * len(offsets)))
    assert parts == [expected[offset : offset + 50_000] for offset in offsets]


def test_closing_twice_and_two_stores_on_one_path(store: artstore.Store) -> None:
    """LMDB allows one environment per process: a second Store must neither break nor close the first."""
    second = artstore.Store.open(store.path)
    assert second.resolve("llama").version == store.resolve("llama").version
    second.close()
    second.close()
    assert store.version("llama").files == 5
    store.close()


def test_settings_are_checked_and_kept(store: artstore.Store) -> None:
    """A wrong level would fail each later commit."""
    with store:
        assert store.configure("compression.level", 6).value == 6
        for wrong in (0, 23, True, "9"):
            with pytest.raises(artstore.UsageError):
                store.configure("compression.level", wrong)
        with pytest.raises(artstore.UsageError, match="for ever"):
            store.configure("chunker", 2)
    with artstore.Store.open(store.path) as again:
        assert again.setting("compression.level").value == 6
        assert again.context.level == 6
