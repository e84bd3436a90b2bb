"""The revision grammar: what people type to name a version, a past state of an alias, a path."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import BadName
from artstore.revision import (
    Ancestor,
    AtTime,
    MovesAgo,
    Revision,
    format_revision,
    format_time,
    parse_revision,
    parse_time,
    parse_url,
)

NOON = 1_795_514_400_000_000_000  # 2026-11-24T10:00:00Z

SIGNS = string.ascii_letters + string.digits + "._-"
PARTS = st.text(st.sampled_from(SIGNS), min_size=1, max_size=8).filter(
    lambda part: part[0] not in ".-" and part != "latest"
)
BASES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
TIMES = st.integers(0, 4_102_444_800_000_000_000)
COUNTS = st.integers(0, 999_999_999)
ANCESTORS = st.lists(st.builds(Ancestor, COUNTS), max_size=3)
FIRST_STEPS = st.lists(st.one_of(st.builds(MovesAgo, COUNTS), st.builds(AtTime, TIMES)), max_size=1)
FILE_NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
PATHS = st.none() | st.lists(FILE_NAMES, max_size=3).map(b"/".join)


@st.composite
def revisions(draw: st.DrawFn) -> Revision:
    """Any revision that can be asked for."""
    return Revision(draw(BASES), (*draw(FIRST_STEPS), *draw(ANCESTORS)), draw(PATHS))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resnet50", Revision("resnet50")),
        ("resnet50/v3", Revision("resnet50/v3")),
        ("resnet50/latest", Revision("resnet50/latest")),
        ("vision/resnet50/v3:", Revision("vision/resnet50/v3", (), b"")),
        ("3f2a9c1e:a/b.bin", Revision("3f2a9c1e", (), b"a/b.bin")),
        ("a/b:dir/", Revision("a/b", (), b"dir")),
        ("a/b:x:y@{1}~2", Revision("a/b", (), b"x:y@{1}~2")),
        ("a/b~1~2", Revision("a/b", (Ancestor(1), Ancestor(2)))),
        ("a/p@{2}~1:f", Revision("a/p", (MovesAgo(2), Ancestor(1)), b"f")),
        ("a/p@{2026-11-24T10:00}:f", Revision("a/p", (AtTime(NOON),), b"f")),
        ("a/p@{2026}", Revision("a/p", (MovesAgo(2026),))),
        ("a/b:\udcff", Revision("a/b", (), b"\xff")),
    ],
)
def test_revisions_are_read_as_the_grammar_says(text: str, expected: Revision) -> None:
    """A revision understood otherwise gives the user another version than the one that was meant."""
    assert parse_revision(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":path",
        "~1",
        "/a",
        "a/",
        "a//b",
        "a/./b",
        "a/../b",
        "-a/b",
        "a/-b",
        ".a/b",
        "a/.b",
        "a b/c",
        "é/v1",
        "a/b~",
        "a/b~x",
        "a/b~-1",
        "a/b^",
        "a/b@",
        "a/b@{}",
        "a/b@{-1}",
        "a/b@{1",
        "a/b@{yesterday}",
        "a/b~1@{1}",
        "a/b@{1}@{2}",
        "a/b~1x",
        "a/latest/c",
        "a/b:/abs",
        "a/b:x//y",
        "a/b:../x",
        "a/b:./x",
        "a/b:x/..",
        "a/b:x\0y",
        "a/b:" + "n" * 256,
        "a/b:" + "n/" * limits.PATH_DEPTH_MAX + "n",
        "a/b" + "~1" * (limits.REVISION_STEPS_MAX + 1),
        "a/" + "b" * limits.REF_BYTES_MAX,
        "a/b~٣",
        "a/b@{٣}",
        "a/b~9999999999",
        "art://a/b",
    ],
)
def test_what_is_no_revision_is_refused_with_the_text_that_was_typed(text: str) -> None:
    """A guess at what was meant could check out, move or remove the wrong version."""
    with pytest.raises(BadName) as caught:
        parse_revision(text)
    assert caught.value.exit_code == 2
    assert "'" in caught.value.message


@given(revisions())
def test_a_formatted_revision_is_read_back(revision: Revision) -> None:
    """A revision that artstore prints couldn't be pasted into its next command."""
    assert parse_revision(format_revision(revision)) == revision


@given(st.text(max_size=40))
def test_any_text_is_a_revision_or_a_clear_error(text: str) -> None:
    """A typing error would end in a traceback."""
    try:
        revision = parse_revision(text)
    except BadName:
        return
    assert parse_revision(format_revision(revision)) == revision


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-24T10:00", NOON),
        ("2026-11-24 10:00", NOON),
        ("2026-11-24T10:00:00Z", NOON),
        ("2026-11-24T11:30+01:30", NOON),
        ("2026-11-24T11:30+0130", NOON),
        ("2026-11-24T08:00-02:00", NOON),
        ("2026-11-24", NOON - 36_000_000_000_000),
        ("2026-11-24T10:00:00.000000001", NOON + 1),
        ("2026-11-24T10:00:01.5Z", NOON + 1_500_000_000),
        ("1969-12-31T23:59:59.999999999", -1),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(text: str, expected: int) -> None:
    """`@{time}` read in the machine's zone would name another state on each machine."""
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026",
        "2026-13-01",
        "2026-02-30",
        "2026-11-24T25:00",
        "2026-11-24T10",
        "2026-11-24T10:00:00.1234567890",
        "2026-11-24T10:00+99:00",
        "2026-11-24T10:00+01:00Z",
        "0001-01-01T00:00x",
        "٢٠٢٦-11-24",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """A half-understood time would name the wrong state of an alias."""
    with pytest.raises(BadName, match="is no time"):
        parse_time(text)


@given(st.integers(-(2**62), 2**63 - 1))
def test_a_printed_time_is_the_exact_time(time: int) -> None:
    """`@{time}` with a time copied from `alias log` would fall just before the move it was copied from."""
    assert parse_time(format_time(time)) == time


REFS = {"resnet50/v3", "resnet50/production", "vision/resnet50/v1", "resnet50/latest", "deadbeef/v1", "resnet50"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("art://resnet50/v3/a/b.bin", Revision("resnet50/v3", (), b"a/b.bin")),
        ("art://resnet50/v3", Revision("resnet50/v3")),
        ("art://resnet50/v3/", Revision("resnet50/v3")),
        ("art://resnet50/latest/a", Revision("resnet50/latest", (), b"a")),
        ("art://vision/resnet50/v1/x", Revision("vision/resnet50/v1", (), b"x")),
        ("art://resnet50/production@{2}~1/x", Revision("resnet50/production", (MovesAgo(2), Ancestor(1)), b"x")),
        ("art://resnet50/v3/odd:name~1", Revision("resnet50/v3", (), b"odd:name~1")),
        ("art://resnet50", Revision("resnet50")),
        ("art://3f2a9c1e/a/b", Revision("3f2a9c1e", (), b"a/b")),
        ("art://deadbeef/v1/a", Revision("deadbeef/v1", (), b"a")),
        ("art://deadbeef/v2/a", Revision("deadbeef", (), b"v2/a")),
        ("art://unknown/v1", Revision("unknown/v1")),
        ("art://resnet50/v3/100%25", Revision("resnet50/v3", (), b"100%25")),
    ],
)
def test_a_url_is_split_behind_its_ref(url: str, expected: Revision) -> None:
    """A program that opens art:// URLs would read another file, or none."""
    assert parse_url(url, REFS.__contains__) == expected
    assert parse_revision(url, REFS.__contains__) == expected


def test_the_shorter_ref_wins() -> None:
    """Two machines would read two files through one URL once both refs came to exist."""
    assert parse_url("art://a/b/c", {"a/b", "a/b/c"}.__contains__) == Revision("a/b", (), b"c")


@pytest.mark.parametrize(
    "url", ["art://", "art:///", "art://resnet50/v3//x", "art://resnet50/v3/../x", "http://a/b", "art://é/x"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    """A mistyped URL would be opened as something else."""
    with pytest.raises(BadName):
        parse_url(url, REFS.__contains__)
