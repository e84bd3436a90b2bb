"""Names of refs and artifacts: what may be called how, and what automatic names are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import BadName
from artstore.revision import (
    artifact_name_from_folder,
    artifact_of,
    check_artifact_name,
    check_ref_name,
    is_id_prefix,
    is_numbered,
    next_version_name,
)

BAD_PARTS = ["", ".", "..", "-a", ".a", "a b", "a:b", "a~1", "a@b", "é", "a\n", "latest", "a\0"]


@pytest.mark.parametrize("name", ["a/b", "vision/resnet50/v3", "A.b_c-d/v1.0", "_x/7", "a/b" * 50])
def test_good_names_are_taken(name: str) -> None:
    """A team's names would be refused for no reason."""
    assert check_ref_name(name) == name
    assert check_artifact_name(name) == name


@pytest.mark.parametrize("part", BAD_PARTS)
@pytest.mark.parametrize("form", ["{}/v1", "a/{}", "a/{}/v1"])
def test_bad_names_are_refused(part: str, form: str) -> None:
    """Such a ref couldn't be typed, mounted as a folder, or told from an option."""
    with pytest.raises(BadName):
        check_ref_name(form.format(part))


def test_a_ref_needs_an_artifact_and_an_end() -> None:
    """A ref without `/` would hide an artifact; one without end wouldn't fit a key or a path."""
    with pytest.raises(BadName, match="resnet50/v1"):
        check_ref_name("resnet50")
    check_ref_name("a/" + "b" * (limits.REF_BYTES_MAX - 2))
    with pytest.raises(BadName, match="more than"):
        check_ref_name("a/" + "b" * (limits.REF_BYTES_MAX - 1))


def test_an_artifact_leaves_room_for_its_versions() -> None:
    """The first commit of an artifact with the longest name would fail after reading everything."""
    longest = "a" * (limits.REF_BYTES_MAX - limits.REF_BYTES_SPARE)
    assert next_version_name(check_artifact_name(longest), []) == longest + "/v1"
    with pytest.raises(BadName):
        check_artifact_name(longest + "a")


def test_the_artifact_is_what_comes_before_the_last_slash() -> None:
    """Versions of vision/resnet50 would be counted as those of vision."""
    assert artifact_of("vision/resnet50/v3") == "vision/resnet50"


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        ([], "a/v1"),
        (["a/v1", "a/v2"], "a/v3"),
        (["a/v9", "a/v10"], "a/v11"),
        (["a/v7", "a/v3"], "a/v8"),
        (["a/production", "a/vx", "a/v", "b/v5", "ba/v6", "a/b/v7", "xa/v9"], "a/v1"),
        (["a/v4/extra"], "a/v5"),
        (["a/v007"], "a/v8"),
    ],
)
def test_the_next_version_is_behind_the_greatest(existing: list[str], expected: str) -> None:
    """An automatic tag would collide with a name that exists, or fill a gap and look older than it is."""
    assert next_version_name("a", existing) == expected


@pytest.mark.parametrize(
    ("name", "numbered"), [("a/v0", True), ("a/v12", True), ("a/v01", False), ("a/v1.0", False), ("v1/a", False)]
)
def test_automatic_names_are_told_from_chosen_ones(name: str, numbered: bool) -> None:
    """Retention would take a chosen name for an automatic one and drop it."""
    assert is_numbered(name) is numbered


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("llama", "llama"),
        ("My Model (final)", "My-Model-final"),
        (".hidden", "hidden"),
        ("--x--", "x"),
        ("modèle", "modele"),
        ("a\udcffb", "a-b"),
        ("run_2026-11-24", "run_2026-11-24"),
    ],
)
def test_a_folder_gives_its_artifact_a_name(folder: str, name: str) -> None:
    """`artstore commit DIR` would fail for a folder called with a space."""
    assert artifact_name_from_folder(folder) == name


@pytest.mark.parametrize("folder", ["", "...", "模型", "latest", "!!"])
def test_a_folder_without_a_usable_name_says_what_to_do(folder: str) -> None:
    """The user would get a version under a name that can't be typed, or under none."""
    with pytest.raises(BadName, match="--artifact NAME"):
        artifact_name_from_folder(folder)


@given(st.text(max_size=300))
def test_any_folder_name_gives_a_good_artifact_or_a_clear_error(folder: str) -> None:
    """A folder name from another system would crash the commit."""
    try:
        name = artifact_name_from_folder(folder)
    except BadName:
        return
    assert check_artifact_name(name) == name


@pytest.mark.parametrize(
    ("text", "yes"), [("3f2a9c1e", True), ("3F2A9C1", False), ("3f2a9c1eg", False), ("a" * 64, True), ("a" * 65, False)]
)
def test_ids_begin_with_eight_hex_digits(text: str, yes: bool) -> None:
    """A shorter prefix would name another version next year."""
    assert is_id_prefix(text) is yes
