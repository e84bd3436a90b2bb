"""A check of data sees pages that end where no writer ends one: the same content would have two ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from artstore import limits
from artstore.model import Digest, Kind, ObjectKind
from artstore.store.check import check
from artstore.store.objects import Objects
from artstore.testing.planted import Planted, Planter, Raw

ITEMS = 3000


def checked(path: Path, monkeypatch: pytest.MonkeyPatch, what: str, bounds: tuple[int, int] | None) -> dict[bytes, str]:
    """Hurt paths of a version whose folder or file `what` was written by other rules, and what was told of them."""
    planter = Planter(str(path / "store"))
    chunks = [(planter.put(ObjectKind.CHUNK, b"%06d" % number), 6) for number in range(ITEMS)]
    if bounds is not None:
        monkeypatch.setattr(limits, "PAGE_ENTRIES_MIN", bounds[0])
        monkeypatch.setattr(limits, "PAGE_ENTRIES_MAX", bounds[1])
    files: dict[bytes, Planted] = {b"fine": b"fine"}
    if what == "file":
        files[b"file"] = Raw(Kind.FILE, 6 * ITEMS, planter.content_of(chunks))
    else:
        files[b"folder"] = {b"%06d" % number: b"" for number in range(ITEMS)}
    version = planter.version(files)
    monkeypatch.undo()
    planter.flush()
    with planter.context.index.write() as writer:
        writer.put_set(version, [row.number for row in writer.packs()])
    report = check(planter.context, Objects(planter.context), data=True)
    assert {hurt.version for hurt in report.hurt} <= {Digest(version)}
    told = " ".join(problem.message for problem in report.problems)
    planter.close()
    return {hurt.path: told for hurt in report.hurt}


@pytest.mark.parametrize("what", ["file", "folder"])
def test_right_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """A sound store would be called damaged."""
    assert checked(tmp_path, monkeypatch, what, None) == {}


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize(
    ("bounds", "why"),
    [((50, 100), "ends before a page ends"), ((2000, 2048), "goes on behind where a page ends")],
)
def test_wrong_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, bounds: tuple[int, int], why: str
) -> None:
    """A writer that splits otherwise would store everything twice, and nobody know why."""
    told = checked(tmp_path, monkeypatch, what, bounds)
    assert list(told) == [what.encode()]
    assert why in told[what.encode()]
