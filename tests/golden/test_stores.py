"""Stores that earlier releases wrote: whatever changes, they are read bit for bit, and equal content keeps its ids."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from artstore.testing.local_store import create, opened

HERE = Path(__file__).parent
NUMBERS = sorted(path.stem for path in (HERE / "stores").glob("*.json"))


def maker() -> ModuleType:
    """The script that made them."""
    spec = importlib.util.spec_from_file_location("make_store", HERE / "make_store.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def told(number: str) -> dict[str, Any]:
    """What the store held when it was made."""
    return dict(json.loads((HERE / "stores" / f"{number}.json").read_text()))


def copied(number: str, tmp_path: Path) -> Path:
    """A copy that may be written to."""
    place = tmp_path / "store"
    shutil.copytree(HERE / "stores" / number, place)
    for part in ("sessions", "tmp"):
        (place / part).mkdir()
    return place


def test_there_are_golden_stores() -> None:
    """Without one the tests below would test nothing."""
    assert NUMBERS


@pytest.mark.parametrize("number", NUMBERS)
def test_a_golden_store_is_read_bit_for_bit(number: str, tmp_path: Path) -> None:
    """An upgrade would lose the versions of years."""
    expected = told(number)
    with opened(copied(number, tmp_path)) as store:
        assert {name: version.hex() for name, version in store.tags().items()} == {
            name: value["version"] for name, value in expected.items() if name.startswith("golden/")
        }
        for name, version in store.tags().items():
            tree = store.objects.version(version).tree
            assert tree.hex() == expected[name]["tree"]
            metadata = store.objects.version(version).metadata
            assert metadata.params == {"lr": 0.1, "layers": 12, "name": "größe", "tied": True, "seed": None}
            assert metadata.metrics == {"loss": 0.25, "steps": 1000}
            assert maker().listing(store, tree) == expected[name]["files"]
        with store.context.index.read() as reader:
            alias = reader.alias("golden/production")
            moves = [move.rollback for _, move in reader.moves("golden/production")]
        assert alias is not None
        assert alias.version.hex() == expected["golden/v1"]["version"]
        assert moves == [True, False, False]


@pytest.mark.parametrize("number", NUMBERS)
def test_equal_content_keeps_its_ids(number: str, tmp_path: Path) -> None:
    """The next commit of a dataset of years would store all of it again [I7]."""
    expected = told(number)
    place = tmp_path / "new"
    create(place)
    with opened(place) as store:
        for version in (1, 2):
            maker().fill(tmp_path / "folder", version)
            digest = maker().commit_version(store, tmp_path / "folder", version)
            assert store.objects.version(digest).tree.hex() == expected[f"golden/v{version}"]["tree"]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_golden_store_takes_new_versions(number: str, tmp_path: Path) -> None:
    """An old store would be read, yet no longer deduplicated against."""
    maker().fill(tmp_path / "folder", 2)
    (tmp_path / "folder/new").write_bytes(b"new")
    with opened(copied(number, tmp_path)) as store:
        result = store.commit(tmp_path / "folder", artifact="golden")
    assert (result.tag, result.new_bytes) == ("golden/v3", 3)
