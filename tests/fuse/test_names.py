"""Tags, aliases and ids as folders."""

from __future__ import annotations

import posixpath

from hypothesis import given
from hypothesis import strategies as st

from artstore.model import Tag
from artstore_fuse.names import AliasRow, Folder, Link, Path, Place, VersionName, arrange, differences

VERSIONS = [bytes([number]) * 32 for number in range(5)]
artifacts = st.sampled_from(["m", "n", "vision/resnet50", "vision/é"])
tags = st.lists(
    st.builds(
        Tag,
        st.builds("{}/v{}".format, artifacts, st.integers(1, 4)),
        st.sampled_from(VERSIONS),
        st.integers(1, 9),
    ),
    unique_by=lambda tag: tag.name,
)
aliases = st.lists(
    st.builds(
        AliasRow,
        st.builds("{}/{}".format, artifacts, st.sampled_from(["production", "best"])),
        st.sampled_from(VERSIONS),
        st.integers(1, 9),
    ),
    unique_by=lambda row: row.name,
)


def at(root: Folder, path: Path) -> Place | None:
    """What stands at a path."""
    place: Place | None = root
    for part in path:
        place = place.names.get(part) if isinstance(place, Folder) else None
    return place


def below(place: Place, path: Path = ()) -> dict[Path, Place]:
    """All that a folder leads to, but for folders."""
    if not isinstance(place, Folder):
        return {path: place}
    return {key: value for name, inner in place.names.items() for key, value in below(inner, (*path, name)).items()}


def path_of(name: str) -> Path:
    """As folders."""
    return tuple(name.encode().split(b"/"))


def followed(root: Folder, path: Path, link: Link) -> Place | None:
    """Where a link leads, as the kernel follows it."""
    target = posixpath.normpath(b"/".join((*path[:-1], link.target)))
    return at(root, tuple(target.split(b"/")))


@given(tags, aliases)
def test_each_name_leads_to_its_version(tags: list[Tag], aliases: list[AliasRow]) -> None:
    """Every tag is a version, every alias a link that leads to its own; and there is nothing else."""
    root = arrange(tags, aliases)
    everything = below(root)
    assert {path: place for path, place in everything.items() if path[0] == b"versions"} == {
        (b"versions", *path_of(tag.name)): VersionName(tag.version) for tag in tags
    }
    for row in aliases:
        path = (b"aliases", *path_of(row.name))
        link = everything.pop(path)
        assert isinstance(link, Link)
        assert link.time == row.time
        assert followed(root, path, link) == VersionName(row.version)
    by_artifact: dict[str, list[Tag]] = {}
    for tag in tags:
        by_artifact.setdefault(tag.name.rpartition("/")[0], []).append(tag)
    for artifact, found in by_artifact.items():
        path = (b"aliases", *path_of(artifact), b"latest")
        newest = everything.pop(path)
        assert isinstance(newest, Link)
        best = max(found, key=lambda tag: (tag.created, tag.name))
        assert followed(root, path, newest) == VersionName(best.version)
        assert newest.target.startswith(b"../" * len(path_of(best.name)) + b"versions/" + artifact.encode() + b"/")
    named = {tag.version for tag in tags} | {row.version for row in aliases}
    assert {path: place for path, place in everything.items() if path[0] != b"versions"} == {
        (b"ids", version.hex().encode()): VersionName(version) for version in named
    }
    for folder in [root, *(place for place in root.names.values() if isinstance(place, Folder))]:
        assert list(folder.names) == sorted(folder.names)


@given(tags, aliases, tags, aliases)
def test_differences(before: list[Tag], moved: list[AliasRow], after: list[Tag], there: list[AliasRow]) -> None:
    """What a kernel is told to forget: all that isn't what it was, and nothing that is."""
    old, new = arrange(before, moved), arrange(after, there)
    told = {(*path, name) for path, name in differences(old, new)}
    assert all(at(old, path) != at(new, path) for path in told)
    was, now = below(old), below(new)
    for path in was.keys() | now.keys():
        changed = was.get(path) != now.get(path)
        assert changed == any(path[: len(top)] == top for top in told), path
    assert not list(differences(new, new))


def test_pattern() -> None:
    """`--versions 'resnet*'`: other names aren't there at all, nor are the ids that only they lead to."""
    there = [Tag("resnet/v1", VERSIONS[0], 1), Tag("bert/v1", VERSIONS[1], 2)]
    rows = [AliasRow("resnet/best", VERSIONS[0], 3), AliasRow("bert/best", VERSIONS[1], 4)]
    root = arrange(there, rows, "resnet*")
    assert sorted(below(root)) == [
        (b"aliases", b"resnet", b"best"),
        (b"aliases", b"resnet", b"latest"),
        (b"ids", VERSIONS[0].hex().encode()),
        (b"versions", b"resnet", b"v1"),
    ]


def test_times() -> None:
    """A folder is as old as the newest change below it: build tools look at that."""
    root = arrange([Tag("a/b/v1", VERSIONS[0], 5), Tag("a/c/v1", VERSIONS[1], 8)], [])
    expected = {(): 8, (b"versions", b"a"): 8, (b"versions", b"a", b"b"): 5, (b"versions", b"a", b"c"): 8}
    for path, time in expected.items():
        folder = at(root, path)
        assert isinstance(folder, Folder)
        assert folder.time == time


def test_a_name_that_is_a_folder_too() -> None:
    """A store doesn't let this happen; were it damaged so, the rest is shown all the same."""
    there = [Tag("a/v1", VERSIONS[0], 1), Tag("a/v1/v2", VERSIONS[1], 2), Tag("b/v1", VERSIONS[2], 3)]
    root = arrange(there, [])
    assert at(root, (b"versions", b"a", b"v1")) == VersionName(VERSIONS[0])
    assert at(root, (b"versions", b"b", b"v1")) == VersionName(VERSIONS[2])
