"""What a revision leads to: precedence, histories, ids, and what is said when it leads nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from artstore.errors import Ambiguous, BadName, NotFound
from artstore.model import Digest, Tag
from artstore.revision import format_time
from artstore.store import refs

if TYPE_CHECKING:
    from tests.unit.store.conftest import RefStore

SECOND = 1_000_000_000


def digest(prefix: str) -> Digest:
    """An id that begins with these hex digits."""
    return Digest(bytes.fromhex(prefix.ljust(64, "7")))


def test_tags_aliases_artifacts_and_latest_lead_to_their_version(ref_store: RefStore) -> None:
    """The simplest ways to name a version wouldn't find it."""
    v1, v2 = ref_store.tag("a/v1"), ref_store.tag("a/v2")
    other = ref_store.tag("a/b/v9")
    ref_store.move("a/p", v1)
    assert ref_store.resolve("a/v1") == refs.Resolved(v1, "a/v1", None, None)
    assert ref_store.resolve("a/p:x/y") == refs.Resolved(v1, None, "a/p", b"x/y")
    assert ref_store.resolve("a") == refs.Resolved(v2, "a/v2", None, None)
    assert ref_store.resolve("a/latest:") == refs.Resolved(v2, "a/v2", None, b"")
    assert ref_store.resolve("a/b").version == other
    assert ref_store.resolve("art://a/p/x/y") == refs.Resolved(v1, None, "a/p", b"x/y")
    assert ref_store.resolve("art://a/latest/x") == refs.Resolved(v2, "a/v2", None, b"x")


def test_the_newest_tag_is_the_one_made_last_not_the_greatest_name(ref_store: RefStore) -> None:
    """`latest` would go back to v9 when v10 is made."""
    ref_store.tag("a/v9")
    last = ref_store.tag("a/v10")
    assert ref_store.resolve("a/latest").version == last
    hotfix = ref_store.tag("a/hotfix")
    assert ref_store.resolve("a").version == hotfix


def test_versions_are_found_by_the_beginning_of_their_id(ref_store: RefStore) -> None:
    """An id copied from a log, of even or odd length, wouldn't be found."""
    first = ref_store.version(id=digest("3f2a9c1e05"))
    second = ref_store.version(id=digest("3f2a9c1e0f"))
    assert ref_store.resolve("3f2a9c1e05").version == first
    assert ref_store.resolve(first.hex()).version == first
    assert ref_store.resolve("3F2A9C1E0F:x") == refs.Resolved(second, None, None, b"x")
    assert ref_store.resolve("3f2a9c1e057").version == first
    for prefix in ("3f2a9c1e", "3f2a9c1e0"):
        with pytest.raises(Ambiguous) as caught:
            ref_store.resolve(prefix)
        assert set(caught.value.candidates) == {first.hex(), second.hex()}
    for unknown in ("3f2a9c1e1", "3f2a9c1e06", "3f2a9c1", "f" * 64):
        with pytest.raises(NotFound):
            ref_store.resolve(unknown)


def test_ids_of_other_things_and_of_unfinished_commits_name_no_version(ref_store: RefStore) -> None:
    """A chunk's id, or the leftovers of a killed commit, would be checked out as a version."""
    version = ref_store.version(id=digest("aaaaaaaa"))
    with ref_store.index.write() as writer:
        writer.remove_set(version)
    with pytest.raises(NotFound):
        ref_store.resolve("aaaaaaaa")


def test_an_artifact_called_like_an_id_beats_the_id(ref_store: RefStore) -> None:
    """An artifact would stop working on the day a version's id begins like it."""
    tagged = ref_store.tag("deadbeef/v1")
    by_id = ref_store.version(id=digest("deadbeef1"))
    assert ref_store.resolve("deadbeef").version == tagged
    assert ref_store.resolve("deadbeef1").version == by_id


def test_next_to_an_alias_a_bare_name_is_a_sibling(ref_store: RefStore) -> None:
    """`alias set resnet50/production v4` would fail, or deploy another artifact that is called v4."""
    sibling = ref_store.tag("a/v4")
    stranger = ref_store.tag("v4/v1")
    ref_store.move("a/staging", sibling)
    assert ref_store.resolve("v4", "a/p").version == sibling
    assert ref_store.resolve("v4").version == stranger
    assert ref_store.resolve("staging@{0}", "a/p").alias == "a/staging"
    assert ref_store.resolve("latest", "a/p").version == sibling
    assert ref_store.resolve("v4/v1", "a/p").version == stranger
    assert ref_store.resolve(stranger.hex()[:12], "a/p").version == stranger


def test_first_parents_are_followed(ref_store: RefStore) -> None:
    """`v3~2` would show another version than the one two commits before."""
    first = ref_store.version("1")
    second = ref_store.version("2", parent=first)
    third = ref_store.tag("a/v3", ref_store.version("3", parent=second))
    assert [ref_store.resolve(f"a/v3{step}").version for step in ("~0", "~1", "~2", "~1~1")] == [
        third,
        second,
        first,
        first,
    ]
    with pytest.raises(NotFound, match=r"no parent.*ends 2 versions back, at ~2"):
        ref_store.resolve("a/v3~3")
    with pytest.raises(BadName, match="too far"):
        ref_store.resolve("a/v3~999999999")
    ref_store.forget(second)
    with pytest.raises(NotFound, match=f"version {second.hex()}, was collected"):
        ref_store.resolve("a/v3~1")


def test_the_past_of_an_alias_is_found_by_count_and_time(ref_store: RefStore) -> None:
    """Nobody could say what production was when the incident began."""
    versions = [ref_store.tag(f"a/v{number}") for number in (1, 2, 3)]
    times = [ref_store.move("a/p", version).time for version in versions]
    assert [ref_store.resolve(f"a/p@{{{count}}}").version for count in (0, 1, 2)] == versions[::-1]
    for time, version in zip(times, versions, strict=True):
        exact = ref_store.resolve(f"a/p@{{{format_time(time)}}}:f")
        assert exact == refs.Resolved(version, None, "a/p", b"f", time)
        assert ref_store.resolve(f"a/p@{{{format_time(time + SECOND - 1)}}}").version == version
    with pytest.raises(NotFound, match=r"has moved 3 times.*a/p@\{2\}"):
        ref_store.resolve("a/p@{3}")
    with pytest.raises(NotFound, match="named nothing at"):
        ref_store.resolve(f"a/p@{{{format_time(times[0] - 1)}}}")
    ref_store.forget(versions[1])
    with pytest.raises(NotFound, match="was collected"):
        ref_store.resolve("a/p@{1}")


def test_only_aliases_have_a_past(ref_store: RefStore) -> None:
    """`v3@{1}` would be guessed to mean something."""
    version = ref_store.tag("a/v1")
    for text in ("a/v1@{1}", "a@{0}", "a/latest@{1}", f"{version.hex()}@{{0}}"):
        with pytest.raises(BadName, match="past of"):
            ref_store.resolve(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("resnet5/v1", "did you mean resnet50/v1"),
        ("resnet", "did you mean resnet50"),
        ("v1", "did you mean resnet50/v1"),
        ("resnet50/production/x", "did you mean resnet50/production"),
        ("vision", "there is vision/cnn/v1"),
        ("zzz/qqq", "artstore list"),
    ],
)
def test_what_is_not_found_is_answered_with_what_comes_near(ref_store: RefStore, text: str, hint: str) -> None:
    """A user with a typing error would have to list a thousand refs."""
    version = ref_store.tag("resnet50/v1")
    ref_store.tag("vision/cnn/v1", version)
    ref_store.move("resnet50/production", version)
    with pytest.raises(NotFound) as caught:
        ref_store.resolve(text)
    assert caught.value.exit_code == 3
    assert hint in (caught.value.hint or "")


def test_the_shorter_ref_wins_where_writers_raced(ref_store: RefStore) -> None:
    """Two machines would read different files through one URL."""
    short = ref_store.tag("a/b")
    with ref_store.index.write() as writer:
        writer.put_tag(Tag("a/b/c", b"\x01" * 32, 1))
    assert ref_store.resolve("art://a/b/c") == refs.Resolved(short, "a/b", None, b"c")
