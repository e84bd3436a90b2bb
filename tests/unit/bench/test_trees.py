"""Folders on disk: switched as a user edits them, compared to the byte, measured in blocks."""

from __future__ import annotations

from pathlib import Path

from artstore_bench.trees import Manifest, differences, is_untouched, switch, usage, write_file


def tree(root: Path, files: dict[str, bytes]) -> Manifest:
    """Write files and describe them."""
    return Manifest(tuple(write_file(root, path, [files[path]]) for path in sorted(files)))


def test_switch_leaves_unchanged_files_alone(tmp_path: Path) -> None:
    """Otherwise no stat cache could help in version 2, and the figures would hide what it is for."""
    first = tree(tmp_path / "v1", {"same/a": b"a", "changed": b"old", "gone/b": b"b"})
    second = tree(tmp_path / "v2", {"same/a": b"a", "changed": b"new", "new/c": b"c"})
    live = tmp_path / "live"
    switch(live, target=tmp_path / "v1", manifest=first, before=None)
    same, changed = (live / "same/a").stat(), (live / "changed").stat()
    switch(live, target=tmp_path / "v2", manifest=second, before=first)
    assert differences(live, second) == []
    assert (live / "same/a").stat() == same
    assert (live / "changed").stat() != changed  # its inode may be that of the old file again
    assert not (live / "gone").exists()


def test_switch_back_restores_the_first_version(tmp_path: Path) -> None:
    """The next tool must start from version 1, not from what the last one left."""
    first = tree(tmp_path / "v1", {"a": b"1", "d/b": b"2"})
    second = tree(tmp_path / "v2", {"a": b"3"})
    switch(tmp_path / "live", target=tmp_path / "v2", manifest=second, before=None)
    switch(tmp_path / "live", target=tmp_path / "v1", manifest=first, before=second)
    assert differences(tmp_path / "live", first) == []


def test_differences_name_each_wrong_file(tmp_path: Path) -> None:
    """A tool that restores wrong bytes would otherwise win by losing data."""
    manifest = tree(tmp_path, {"kept": b"x" * 100, "flipped": b"y" * 100, "missing": b"z"})
    (tmp_path / "flipped").write_bytes(b"y" * 99 + b"Y")
    (tmp_path / "missing").unlink()
    (tmp_path / "extra").write_bytes(b"")
    assert differences(tmp_path, manifest) == ["extra", "flipped", "missing"]


def test_touched_tree_is_noticed_without_reading(tmp_path: Path) -> None:
    """A corpus edited by hand would silently be measured."""
    manifest = tree(tmp_path, {"a": b"1", "b": b"2"})
    assert is_untouched(tmp_path, manifest)
    (tmp_path / "a").write_bytes(b"3")
    assert not is_untouched(tmp_path, manifest)


def test_usage_counts_blocks_and_lengths(tmp_path: Path) -> None:
    """A sparse or hard-linked file counted by its length would make a store look larger than the disk sees it."""
    folder = tmp_path / "store"
    folder.mkdir()
    bare = usage([folder])
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    (folder / "name").write_bytes(b"x" * 10_000)
    (folder / "other name").hardlink_to(folder / "name")
    found = usage([folder])
    assert found.apparent_bytes - bare.apparent_bytes >= (1 << 30) + 10_000
    assert found.apparent_bytes - bare.apparent_bytes < (1 << 30) + 20_000
    assert found.allocated_bytes - bare.allocated_bytes < 100_000


def test_usage_of_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    """Before the first commit some tools have no folder yet."""
    assert usage([tmp_path / "missing"]).allocated_bytes == 0
