"""A commit's memory does not grow with what is committed [I9]: what waits in it goes to disk, or is forgotten."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from artstore import limits
from artstore.store.write import files
from artstore.store.write.pipeline import Pipeline
from artstore.testing.commit_bench import Bench

FOLDERS = 200


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a small folder meets."""
    monkeypatch.setattr(limits, "METAPACK_BYTES_TARGET", 2000)
    monkeypatch.setattr(limits, "BATCH_FILES_MAX", 16)
    monkeypatch.setattr(limits, "NOTES_BYTES_MAX", 20_000)
    monkeypatch.setattr(limits, "DRY_RUN_IDS_MAX", 50)


def greatest(monkeypatch: pytest.MonkeyPatch, measure: Callable[[Pipeline], int]) -> list[int]:
    """One number, the greatest that is measured after any batch of the commits to come."""
    found = [0]
    real = Pipeline._take_in  # pyright: ignore[reportPrivateUsage] - what is held between two batches shows nowhere else

    def take_in(self: Pipeline, batch: object) -> None:
        real(self, batch)  # type: ignore[arg-type]  # a Batch: nothing else comes here
        found[0] = max(found[0], measure(self))

    monkeypatch.setattr(Pipeline, "_take_in", take_in)
    return found


def many_folders(bench: Bench) -> None:
    for number in range(FOLDERS):
        bench.write(f"{number:04}/f", b"%d" % number)


def notes(pipeline: Pipeline) -> int:
    return len(pipeline._pages._needs) + len(pipeline._pages.rows)  # pyright: ignore[reportPrivateUsage] - see above


def test_links_alone_fill_packs_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A farm of symlinks, of which no byte is read, would be held until its end, and be too much for one pack."""
    for number in range(FOLDERS):
        folder = bench.folder / str(number)
        folder.mkdir()
        for name in range(10):
            (folder / str(name)).symlink_to(random.Random(1000 * number + name).randbytes(20).hex())
    queued = greatest(monkeypatch, lambda pipeline: len(pipeline._meta.pack.table) if pipeline._meta.pack else 0)  # pyright: ignore[reportPrivateUsage] - see above
    made = bench.commit(links="keep")
    assert 0 < queued[0] < 20
    assert len(bench.content(made.tree)) == 11 * FOLDERS


def test_pages_that_are_durable_are_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit of millions of folders or large files would hold the id of each of their pages."""
    many_folders(bench)
    made = bench.commit()
    assert len(bench.content(made.tree)) == 2 * FOLDERS
    forgotten: list[int] = []
    real = Pipeline.publish

    def publish(self: Pipeline, *args: object) -> None:
        real(self, *args)  # type: ignore[arg-type]  # passed on as they came
        forgotten.append(len(self._pages._recent))  # pyright: ignore[reportPrivateUsage] - see above

    monkeypatch.setattr(Pipeline, "publish", publish)
    for number in range(FOLDERS):
        bench.write(f"{number:04}/f", b"again %d" % number)
    bench.commit()
    assert forgotten[0] < 40


def test_rows_of_known_pages_do_not_wait_for_a_full_pack(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Millions of files that were copied elsewhere, or touched, would be held as rows until the commit's end."""
    many_folders(bench)
    first = bench.commit()
    for path in bench.folder.rglob("f"):
        path.write_bytes(path.read_bytes())
    held = greatest(monkeypatch, notes)
    assert bench.commit().unchanged
    assert 0 < held[0] < FOLDERS
    with bench.context.index.read() as reader:
        assert reader.page_packs(first.tree)
    monkeypatch.setattr(files, "read_small", None)  # what was noted on the way saves reading
    assert bench.commit().unchanged


def test_a_dry_run_forgets(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run over terabytes would hold the id of each new chunk, and all rows."""
    many_folders(bench)
    pending = greatest(monkeypatch, lambda pipeline: len(pipeline._deduplicator.pending))  # pyright: ignore[reportPrivateUsage] - see above
    waiting = greatest(monkeypatch, notes)
    made = bench.commit(dry_run=True)
    assert pending[0] <= 50 + limits.BATCHES_MAX * limits.BATCH_FILES_MAX
    assert waiting[0] == 0
    assert made.files == FOLDERS
