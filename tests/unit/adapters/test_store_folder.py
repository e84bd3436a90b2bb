"""The folder of a store: made once, described by config.toml, refused when it is something else."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from artstore import wiring
from artstore.adapters import store_folder
from artstore.errors import ArtstoreError, Conflict, Corrupt, NewerFormat, NotFound


def make(path: Path) -> store_folder.StoreConfig:
    store_folder.prepare(str(path), group=None)
    return store_folder.complete(str(path), chunker=1, group=None)


def test_a_new_store_is_private_and_says_what_it_is(tmp_path: Path) -> None:
    """Models are often secret; another user can't read the index safely without its lock either."""
    made = make(tmp_path / "deep" / "store")
    path = tmp_path / "deep" / "store"
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert store_folder.load_config(str(path)) == made
    values = tomllib.loads((path / "config.toml").read_text())
    assert values == {"format": 1, "id": made.id, "chunker": 1, "compression": {"level": 3}}


def test_what_is_no_empty_folder_is_refused_untouched(tmp_path: Path) -> None:
    """`artstore init ~` must not turn a home into a store."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Conflict, match=r"notes\.txt"):
        store_folder.prepare(str(tmp_path), group=None)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(Conflict, match="is a file"):
        store_folder.prepare(str(tmp_path / "notes.txt"), group=None)
    make(tmp_path / "store")
    with pytest.raises(Conflict, match="already"):
        store_folder.prepare(str(tmp_path / "store"), group=None)


def test_an_unfinished_store_is_finished_by_the_next_attempt(tmp_path: Path) -> None:
    """A kill between the folders and config.toml leaves no store, and nothing in the way of one [I10]."""
    store_folder.prepare(str(tmp_path / "store"), group=None)
    assert not store_folder.is_store(str(tmp_path / "store"))
    with pytest.raises(NotFound, match="no store"):
        wiring.connect(str(tmp_path / "store"))
    wiring.init(str(tmp_path / "store"))
    wiring.connect(str(tmp_path / "store")).close()


def test_of_two_first_commits_at_once_one_makes_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two jobs that start together on a new machine must end up in one store."""
    monkeypatch.setenv("ARTSTORE_HOME", str(tmp_path / "store"))
    with ThreadPoolExecutor(8) as pool:
        paths = [each.result() for each in [pool.submit(wiring.find, None, create=True) for _ in range(8)]]
    assert set(paths) == {str(tmp_path / "store")}
    wiring.connect(paths[0]).close()
    assert sorted(path.name for path in tmp_path.joinpath("store").glob("config.toml*")) == [
        "config.toml",
        "config.toml.lock",
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("format = 3\nid = 'x'\nchunker = 1\n", NewerFormat),
        ("format = 2\nid = 'x'\nchunker = 1\n", Corrupt),
        ("format = 1\nid = 'x'\nchunker = 1\n[encryption]\nkeys = 'ab'\n", Corrupt),
        ("format = 2\nid = 'x'\nchunker = 1\n[encryption]\nkeys = 5\n", Corrupt),
        ("format = 1\nid = 'x'\n", Corrupt),
        ("format = '1'\nid = 'x'\nchunker = 1\n", Corrupt),
        ("format = 1\nid = 'x'\nchunker = 1\ncompression = 3\n", Corrupt),
        ("format = 1\nid = 'x'\nchunker = 1\n[compression]\nlevel = 99\n", Corrupt),
        ("format = 1\nid = 'x'\nchunker = 1\n[shared]\ngroup = 5\n", Corrupt),
        ("format = ", Corrupt),
        ("\x00", Corrupt),
        ("", Corrupt),
    ],
)
def test_a_damaged_or_newer_config_is_told_from_a_missing_one(
    tmp_path: Path, text: str, kind: type[ArtstoreError]
) -> None:
    """`No store here` for a store with a scratch would make somebody create another one."""
    make(tmp_path / "store")
    (tmp_path / "store" / "config.toml").write_text(text)
    with pytest.raises(kind):
        store_folder.load_config(str(tmp_path / "store"))
    (tmp_path / "store" / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(Corrupt):
        store_folder.load_config(str(tmp_path / "store"))


def test_another_chunker_is_refused(tmp_path: Path) -> None:
    """Files cut by another rule would be stored twice, silently."""
    wiring.init(str(tmp_path / "store"))
    config = store_folder.load_config(str(tmp_path / "store"))
    store_folder.save_config(str(tmp_path / "store"), replace(config, chunker=7))
    with pytest.raises(NewerFormat, match="rule 7"):
        wiring.connect(str(tmp_path / "store"))


def test_what_a_later_release_writes_into_config_survives(tmp_path: Path) -> None:
    """Changing a setting with an old release must not forget what a newer one has written."""
    make(tmp_path / "store")
    path = tmp_path / "store" / "config.toml"
    later = '\nlist = [1, "a"]\n[mirrors.home]\nurl = "s3://b/\\"p\\""\n["odd key"]\non = true\n'
    path.write_text(path.read_text().replace("\n[compression]", later + "[compression]", 1))
    before = tomllib.loads(path.read_text())
    config = store_folder.load_config(str(tmp_path / "store"))
    store_folder.save_config(str(tmp_path / "store"), replace(config, level=9))
    after = tomllib.loads(path.read_text())
    assert after == {**before, "compression": {"level": 9}}


@pytest.mark.parametrize(
    "later",
    [
        '[[mirrors]]\nname = "a"\n[[mirrors]]\nname = "b"\nparts = [{x = 1}, {"y z" = [1.5, true]}]\n',
        'text = "\U0001f600 \\u007f \\t \\" é"\n',
        "since = 2026-11-23T10:00:00Z\nday = 2026-11-23\nat = 10:00:00\n",
        "limit = inf\nlarge = 1e300\n",
        "[compression]\nwindow = 27\n",
    ],
)
def test_whatever_toml_a_later_release_writes_survives(tmp_path: Path, later: str) -> None:
    """Changing a setting with an old release would leave a store that no release can open."""
    make(tmp_path / "store")
    path = tmp_path / "store" / "config.toml"
    text = path.read_text().replace("[compression]\nlevel = 3\n", "")
    path.write_text(text + later)
    before = tomllib.loads(path.read_text())
    config = store_folder.load_config(str(tmp_path / "store"))
    store_folder.save_config(str(tmp_path / "store"), replace(config, level=9))
    after = tomllib.loads(path.read_text())
    assert after == {**before, "compression": {**before.get("compression", {}), "level": 9}}


def test_a_network_file_system_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index on NFS is damaged sooner or later; the answer names a way out."""

    def nfs(path: str, lines: Iterable[str] | None = None) -> str:
        return "nfs4"

    monkeypatch.setattr("artstore.adapters.disk.mounts.file_system_of", nfs)
    with pytest.raises(ArtstoreError, match="network file system") as caught:
        wiring.init(str(tmp_path / "store"))
    assert caught.value.exit_code == 2
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("create", [True, False])
def test_a_named_store_is_never_made(tmp_path: Path, create: bool) -> None:
    """A typo in a path must be heard of."""
    place = wiring.find(str(tmp_path / "none"), create=create)
    with pytest.raises(NotFound, match="artstore init"):
        wiring.connect(place)
    assert not (tmp_path / "none").exists()
