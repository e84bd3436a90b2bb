"""Encrypted stores that earlier releases wrote, and their remotes: their passphrases open them, whatever changes."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from artstore import Store
from artstore.errors import NotPermitted
from artstore.model import RemotePlace

HERE = Path(__file__).parent
NUMBERS = sorted(path.stem for path in (HERE / "sealed").glob("*.json"))


def maker() -> ModuleType:
    """The script that made them."""
    spec = importlib.util.spec_from_file_location("make_sealed_store", HERE / "make_sealed_store.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = maker()


def told(number: str) -> dict[str, Any]:
    """What it held when it was made."""
    return dict(json.loads((HERE / "sealed" / f"{number}.json").read_text()))


@pytest.fixture(params=NUMBERS)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A copy that may be written to: `store` and `remote`."""
    number: str = request.param
    shutil.copytree(HERE / "sealed" / number, tmp_path / "golden")
    for part in ("sessions", "tmp"):
        (tmp_path / "golden" / "store" / part).mkdir()
    return number, tmp_path / "golden"


def test_there_are_golden_stores() -> None:
    """Without one the tests below would test nothing."""
    assert NUMBERS == ["1"]


def assert_whole(store: Store, number: str) -> None:
    """All of it is there, as it was."""
    expected = told(number)
    assert {tag.name: tag.version.hex() for tag in store.tags()} == {
        name: value["version"] for name, value in expected.items()
    }
    for name, value in expected.items():
        assert MAKER.listing(store, name) == value["files"]
    assert store.resolve("golden/production").version.hex() == expected["golden/v2"]["version"]
    assert store.check(data=True).is_sound


def test_it_is_read_bit_for_bit(golden: tuple[str, Path]) -> None:
    """An upgrade would lose the versions of years, and no copy of them could be read."""
    number, place = golden
    with Store.open(place / "store", passphrase=MAKER.PASSPHRASE) as store:
        assert_whole(store, number)
        assert [key.label for key in store.list_keys()] == ["somebody", "another"]
    with pytest.raises(NotPermitted):
        Store.open(place / "store", passphrase=MAKER.REMOVED)


def test_its_remote_is_read_bit_for_bit(golden: tuple[str, Path], tmp_path: Path) -> None:
    """The same of the copy that is to save what a lost disk had."""
    number, place = golden
    there = RemotePlace(url=f"file://{place}/remote")
    clone, _ = Store.clone(there, tmp_path / "clone", full=True, passphrase=MAKER.ANOTHER)
    with clone:
        assert_whole(clone, number)
        assert clone.check_at_remote(data=True).is_sound


def test_it_is_written_on(golden: tuple[str, Path], tmp_path: Path) -> None:
    """It would be read, yet all of it be stored again by the next commit, or its keys never be changed."""
    number, place = golden
    there = RemotePlace(url=f"file://{place}/remote")
    MAKER.fill(tmp_path / "folder", 2)
    (tmp_path / "folder" / "new").write_bytes(b"new")
    with Store.open(place / "store", passphrase=MAKER.PASSPHRASE) as store:
        store.add_remote("origin", there)
        made = store.commit(tmp_path / "folder", artifact="golden")
        assert (made.tag, made.new_bytes) == ("golden/v3", 3)
        store.add_key("a third one", label="third")
        store.remove_key(store.list_keys()[1].id)
        store.push()
    clone, _ = Store.clone(there, tmp_path / "clone", full=True, passphrase="a third one")
    with clone:
        assert MAKER.listing(clone, "golden/v3").items() >= told(number)["golden/v2"]["files"].items()
    with pytest.raises(NotPermitted):
        Store.clone(there, tmp_path / "other", passphrase=MAKER.ANOTHER)
