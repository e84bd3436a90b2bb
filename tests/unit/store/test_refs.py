"""Tags and aliases: what may be made, moved and removed, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from artstore.errors import BadName, Conflict, Corrupt, NotFound
from artstore.model import Digest, PackState
from artstore.store import refs

if TYPE_CHECKING:
    from tests.unit.store.conftest import RefStore


def test_a_tag_is_made_once_and_said_to_exist_the_second_time(ref_store: RefStore) -> None:
    """A script that runs twice would fail, or report a new tag where there is none."""
    version = ref_store.version()
    with ref_store.index.write() as writer:
        first = refs.set_tag(writer, "a/v1", version, now=5)
        second = refs.set_tag(writer, "a/v1", version, now=6)
    assert first == refs.TagSet("a/v1", version, 5, existed=False)
    assert second == refs.TagSet("a/v1", version, 5, existed=True)


def test_a_tag_never_changes(ref_store: RefStore) -> None:
    """What a paper cites as resnet50/v3 would become something else."""
    ref_store.tag("a/v1")
    with pytest.raises(Conflict, match="for instance a/v2"):
        ref_store.tag("a/v1", ref_store.version())


def test_a_removed_tag_keeps_its_name_for_its_version(ref_store: RefStore) -> None:
    """A mount that caches a/v1 without limit, or a paper that cites it, would show the bytes of another version."""
    version = ref_store.tag("a/v1")
    with ref_store.index.write() as writer:
        removed = refs.remove_tag(writer, "a/v1", now=9, who="me")
        assert refs.next_tag_name(writer, "a") == "a/v2"
    assert removed.version == version
    with pytest.raises(NotFound):
        ref_store.resolve("a/v1")
    with pytest.raises(Conflict, match="never used for something else; a/v2 is free"):
        ref_store.tag("a/v1", ref_store.version())
    assert ref_store.tag("a/v1", version) == version
    assert ref_store.resolve("a/v1").version == version


def test_a_tag_is_newer_than_the_newest_of_its_artifact_whatever_the_clock_says(ref_store: RefStore) -> None:
    """On a machine whose clock is behind, the version made last wouldn't be `latest`."""
    first, second, other = ref_store.version(), ref_store.version(), ref_store.version()
    with ref_store.index.write() as writer:
        refs.set_tag(writer, "a/v1", first, now=1000)
        assert refs.set_tag(writer, "a/v2", second, now=10).created == 1001
        assert refs.set_tag(writer, "a/b/v1", other, now=10).created == 10  # another artifact
        assert refs.set_tag(writer, "b/v1", other, now=20).created == 20
    assert ref_store.resolve("a").version == second


def test_refs_lead_only_to_versions_that_are_here(ref_store: RefStore) -> None:
    """An alias would be moved to a typing error, and every reader of it would fail."""
    missing = Digest(b"\x07" * 32)
    with pytest.raises(NotFound, match="is not in this store"):
        ref_store.tag("a/v1", missing)
    with pytest.raises(NotFound, match="is not in this store"):
        ref_store.move("a/p", missing)
    hurt = ref_store.version()
    with ref_store.index.write() as writer:
        writer.put_set(hurt, [77])
    with pytest.raises(Corrupt, match="pack 77"):
        ref_store.tag("a/v1", hurt)


@pytest.mark.parametrize("state", [PackState.CONDEMNED, PackState.DELETING])
def test_a_version_that_is_named_again_is_not_collected(ref_store: RefStore, state: PackState) -> None:
    """A tag made while its version waits for collection would name missing data a week later."""
    version = ref_store.version()
    with ref_store.index.write() as writer:
        number = (writer.version_set(version) or [0])[0]
        writer.set_pack_state(number, state, 1)
    ref_store.tag("a/v1", version)
    with ref_store.index.read() as reader:
        row = reader.pack(number)
    assert row is not None
    assert row.state is PackState.LIVE


def test_the_next_name_is_free_of_every_ref(ref_store: RefStore) -> None:
    """A commit would fail after reading everything, since an alias or a folder of refs has its name."""
    version = ref_store.tag("a/v1")
    ref_store.move("a/v2", version)
    ref_store.tag("a/v3/x", version)
    with ref_store.index.read() as reader:
        assert refs.next_tag_name(reader, "a") == "a/v4"
        assert refs.next_tag_name(reader, "new") == "new/v1"
        with pytest.raises(BadName):
            refs.next_tag_name(reader, "a b")


def test_a_ref_is_never_a_folder_of_refs(ref_store: RefStore) -> None:
    """art://a/b/c would mean two things, and the mount couldn't show both."""
    version = ref_store.tag("a/b")
    ref_store.move("x/y/z", version)
    for name in ("a/b/c", "a/b/c/d", "x/y", "x/y/z/w"):
        with pytest.raises(Conflict, match="can't be a ref"):
            ref_store.tag(name, version)
        with pytest.raises(Conflict, match="can't be a ref"):
            ref_store.move(name, version)
    ref_store.tag("a/bc", version)
    ref_store.tag("x/yy", version)


def test_a_name_is_a_tag_or_an_alias_not_both(ref_store: RefStore) -> None:
    """Readers of the alias would silently get the tag's version."""
    version = ref_store.tag("a/v1")
    ref_store.move("a/p", version)
    with pytest.raises(Conflict, match="is or was a tag"):
        ref_store.move("a/v1", ref_store.version())
    with pytest.raises(Conflict, match="is or was an alias"):
        ref_store.tag("a/p", version)


def test_a_move_tells_from_where_to_where(ref_store: RefStore) -> None:
    """`production: v1 → v2` couldn't be printed, nor the history be kept."""
    v1, v2 = ref_store.tag("a/v1"), ref_store.tag("a/v2")
    with ref_store.index.write() as writer:
        made = refs.set_alias(writer, "a/p", v1, reason="first", who="ann", host="box", now=10)
        moved = refs.set_alias(writer, "a/p", v2, reason="better", who="bob", host="fox", now=11)
        again = refs.set_alias(writer, "a/p", v2, who="bob", host="fox", now=12)
    assert made == refs.Moved("a/p", None, v1, 1, 10)
    assert moved == refs.Moved("a/p", v1, v2, 2, 11)
    assert again == refs.Moved("a/p", v2, v2, 2, 11, changed=False)
    with ref_store.index.read() as reader:
        told = [(move.seq, move.time, move.who, move.host, move.reason) for _, move in refs.alias_log(reader, "a/p")]
    assert told == [(2, 11, "bob", "fox", "better"), (1, 10, "ann", "box", "first")]


def test_a_swap_happens_only_where_the_alias_was_expected(ref_store: RefStore) -> None:
    """Two people who deploy at once would undo each other without a word."""
    v1, v2 = ref_store.tag("a/v1"), ref_store.tag("a/v2")

    def swap(target: Digest, expected: Digest | refs.Absent | None) -> bool:
        with ref_store.index.write() as writer:
            moved = refs.set_alias(writer, "a/p", target, if_current=expected, who="me", host="here", now=1)
        return moved.changed

    with pytest.raises(Conflict, match="a/p names nothing, not at a/v1"):
        swap(v2, v1)
    assert swap(v1, refs.ABSENT)
    with pytest.raises(Conflict, match="a/p is at a/v1, not at nothing"):
        swap(v2, refs.ABSENT)
    with pytest.raises(Conflict, match="a/p is at a/v1, not at a/v2"):
        swap(v2, v2)
    assert swap(v2, v1)
    with pytest.raises(Conflict):
        swap(v2, v1)  # it is there already, but not by this swap's knowledge
    with ref_store.index.write() as writer, pytest.raises(Conflict):
        refs.rollback(writer, "a/p", if_current=v1, who="me", host="here", now=2)
    with ref_store.index.write() as writer, pytest.raises(Conflict):
        refs.remove_alias(writer, "a/p", if_current=v1, who="me", host="here", now=2)
    assert ref_store.resolve("a/p").version == v2


def test_a_removed_alias_keeps_its_history_and_goes_on(ref_store: RefStore) -> None:
    """Who deployed what and when would be lost by one command, and the next move would break the chain."""
    v1, v2 = ref_store.tag("a/v1"), ref_store.tag("a/v2")
    ref_store.move("a/p", v1)
    with ref_store.index.write() as writer:
        gone = refs.remove_alias(writer, "a/p", reason="retired", who="me", host="here", now=50)
        assert gone == refs.Moved("a/p", v1, None, 2, 50)
        with pytest.raises(NotFound):
            refs.remove_alias(writer, "a/p", who="me", host="here", now=51)
    with pytest.raises(NotFound, match=r"a/p was removed.*alias log a/p"):
        ref_store.resolve("a/p")
    assert ref_store.resolve("a/p@{1}").version == v1
    assert ref_store.move("a/p", v2) == refs.Moved("a/p", None, v2, 3, ref_store.now)
    with ref_store.index.read() as reader:
        assert [move.target for _, move in refs.alias_log(reader, "a/p")] == [v2, b"", v1]
    with pytest.raises(Conflict, match="nothing before it"):
        ref_store.rollback("a/p")


def test_unknown_refs_are_not_found(ref_store: RefStore) -> None:
    """A typing error would be answered with success."""
    with ref_store.index.write() as writer:
        with pytest.raises(NotFound):
            refs.remove_tag(writer, "a/v1", now=1, who="me")
        with pytest.raises(NotFound):
            refs.alias_log(writer, "a/p")
    with pytest.raises(NotFound):
        ref_store.rollback("a/p")


def test_refs_are_listed_by_name_pattern_and_artifact(ref_store: RefStore) -> None:
    """`list resnet50` would show other artifacts, or hide some of its own refs."""
    version = ref_store.tag("a/v1")
    for name in ("a/v2", "ab/v1", "b/a/v1"):
        ref_store.tag(name, version)
    ref_store.move("a/p", version)

    def names(pattern: str | None = None) -> list[str]:
        with ref_store.index.read() as reader:
            return [row.name for row in refs.list_refs(reader, pattern)]

    assert names() == ["a/p", "a/v1", "a/v2", "ab/v1", "b/a/v1"]
    assert names("a") == names("a/") == ["a/p", "a/v1", "a/v2"]
    assert names("a/v1") == ["a/v1"]
    assert names("*/v1") == ["a/v1", "ab/v1", "b/a/v1"]
    assert names("a/v[2-9]") == ["a/v2"]
    assert names("x") == names("A") == []
    with ref_store.index.read() as reader:
        alias, tag, _ = refs.list_refs(reader, "a")
    assert (alias.kind, alias.seq, alias.time) == ("alias", 1, ref_store.now)
    assert (tag.kind, tag.seq, tag.version) == ("tag", 0, version)


def test_a_version_is_called_by_its_newest_tag(ref_store: RefStore) -> None:
    """Messages would show ids where people know names."""
    version = ref_store.tag("a/v1")
    ref_store.tag("a/release", version)
    ref_store.tag("b/v1", version)
    with ref_store.index.read() as reader:
        assert refs.tag_of(reader, version, "a") == "a/release"
        assert refs.tag_of(reader, version, "c") is None
