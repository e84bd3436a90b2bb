"""Where names stand, as a store's index tells it now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore import Store
from artstore_fuse.names import Folder, Link, VersionName
from artstore_fuse.places import Places


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with `m/v1` and, other content, `m/v2`."""
    folder = tmp_path / "source"
    folder.mkdir()
    with Store.init(tmp_path / "store") as found:
        for tag in ("m/v1", "m/v2"):
            (folder / "file").write_text(tag)
            found.commit(folder, tag=tag)
        yield found


def places(store: Store, pattern: str = "*") -> Places:
    """Looked at once."""
    found = Places(store.context.index, pattern, {b"status": lambda: b"fine", b"metrics": lambda: b"0"})
    found.refresh()
    return found


def test_a_part_of_an_id_leads_to_the_whole(store: Store) -> None:
    """People paste the twelve digits that a log shows."""
    version = store.resolve("m/v1").version
    text = version.hex()
    found = places(store)
    assert found.find((b"ids", text.encode())) == VersionName(version)
    for length in (8, 12, 13, 63):
        assert found.find((b"ids", text[:length].encode())) == Link(text.encode(), 0)
    wrong = text[:12] + ("0" if text[12] != "0" else "1")
    for name in (wrong, text.upper(), text[:63].upper(), text + "0", "xyz", "", "\udcff"):
        assert found.find((b"ids", name.encode("utf-8", "surrogateescape"))) is None


def test_only_versions_are_found_by_id(store: Store) -> None:
    """Folders and chunks have ids too."""
    tree = store.version("m/v1").tree
    found = places(store)
    assert found.find((b"ids", tree.hex().encode())) is None
    assert found.find((b"ids", tree.hex()[:12].encode())) is None


def test_a_version_without_a_name_is_found_by_its_id_alone(store: Store) -> None:
    """Lineage names versions by id; where only some names are shown, an id that none of them has isn't."""
    version = store.resolve("m/v1").version
    whole = version.hex().encode()
    store.remove("m/v1")
    found = places(store)
    assert whole not in found.names((b"ids",))
    assert found.find((b"ids", whole)) == VersionName(version)
    assert found.find((b"ids", whole[:12])) == Link(whole, 0)
    some = places(store, "m/*")
    assert some.find((b"ids", whole)) is None
    assert some.find((b"ids", whole[:12])) is None
    named = store.resolve("m/v2").version.hex().encode()
    assert some.find((b"ids", named[:12])) == Link(named, 0)


def test_names_come_and_go_when_looked_at(store: Store) -> None:
    """Between two looks nothing changes, so that a listing and its look-ups agree."""
    found = places(store)
    assert found.names((b"versions", b"m")) == [b"v1", b"v2"]
    store.remove("m/v1")
    assert found.names((b"versions", b"m")) == [b"v1", b"v2"]
    changes = found.refresh()
    assert ((b"versions", b"m"), b"v1") in changes
    assert found.names((b"versions", b"m")) == [b"v2"]
    assert found.refresh() == []
    store.remove("m/v2")
    assert min(found.refresh()) == ((b"aliases",), b"m")
    assert found.names((b"versions",)) == []


def test_the_files_of_the_mount_itself(store: Store) -> None:
    """They stand apart from all names, at one place."""
    found = places(store)
    assert found.names(()) == [b".artstore", b"aliases", b"ids", b"versions"]
    assert found.names((b".artstore",)) == [b"metrics", b"status"]
    assert isinstance(found.find((b".artstore",)), Folder)
    render = found.find((b".artstore", b"status"))
    assert callable(render)
    assert render() == b"fine"
    for path in (
        (b".artstore", b"else"),
        (b".artstore", b"status", b"x"),
        (b"else",),
        (b"versions", b"m", b"v1", b"x"),
    ):
        assert found.find(path) is None
    assert found.names((b"nowhere",)) == []


def test_times(store: Store) -> None:
    """A folder is as new as the newest name in it, a link as its last move; the rest is as old as the mount."""
    store.set_alias("m/production", "m/v1")
    found = places(store)
    created = {tag.name: tag.created for tag in store.tags()}
    moved = store.alias_log("m/production")[0].time
    folder, link = found.find((b"versions",)), found.find((b"aliases", b"m", b"production"))
    latest, own = found.find((b"aliases", b"m", b"latest")), found.find((b".artstore",))
    assert folder is not None
    assert link is not None
    assert latest is not None
    assert own is not None
    assert found.time_of(folder) == found.time_of(latest) == created["m/v2"]
    assert found.time_of(link) == moved
    assert found.time_of(own) > moved


def test_a_look_that_failed_is_repeated(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a tag would stay unseen until another one comes."""

    def fail(*_: object) -> None:
        raise OSError("the disk is slow to wake")

    found = places(store)
    store.remove("m/v1")
    with monkeypatch.context() as patch:
        patch.setattr("artstore_fuse.places.arrange", fail)
        with pytest.raises(OSError, match="slow"):
            found.refresh()
    assert ((b"versions", b"m"), b"v1") in found.refresh()
