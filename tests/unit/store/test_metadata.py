"""What is said of a version: values typed on a command line, its source, its surroundings."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import UsageError
from artstore.format.ids import PLAIN
from artstore.format.version import encode_version
from artstore.model import Metadata, Scalar, Version
from artstore.store.metadata import (
    environment,
    git_source,
    parse_inputs,
    parse_metrics,
    parse_scalar,
    parse_values,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("0", 0),
        ("0.5", 0.5),
        ("1e-4", 1e-4),
        ("2E+3", 2000.0),
        ("-0.0", -0.0),
        ("true", True),
        ("false", False),
        ("null", None),
        ('"3"', "3"),
        ('"a\\nb"', "a\nb"),
        ("", ""),
        ("adam", "adam"),
        ("True", "True"),
        ("007", "007"),
        ("1_000", "1_000"),
        ("+5", "+5"),
        ("-0", "-0"),
        (".5", ".5"),
        ("nan", "nan"),
        ("Infinity", "Infinity"),
        ("1e999", "1e999"),
        (str(2**64 - 1), 2**64 - 1),
        (str(-(2**63)), -(2**63)),
        (str(2**64), str(2**64)),
        ("9" * 5000, "9" * 5000),
        ('"open', '"open'),
        ('"\\ud800"', '"\\ud800"'),
        ("[1]", "[1]"),
        ("٣", "٣"),
        ("a=b=c", "a=b=c"),
    ],
)
def test_values_are_typed_as_json_would(text: str, value: Scalar) -> None:
    """`lr=1e-4` would be compared as text, or a name like 007 lose its zeros."""
    parsed = parse_scalar(text)
    assert (parsed, type(parsed)) == (value, type(value))


@given(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False)
    )
)
def test_what_json_prints_is_read_back(value: Scalar) -> None:
    """A parameter copied from `show --json` would change its type."""
    text = (
        {True: "true", False: "false", None: "null"}[value] if value is None or isinstance(value, bool) else repr(value)
    )
    parsed = parse_scalar(text)
    assert (parsed, type(parsed)) == (value, type(value))


def test_keys_are_split_at_the_first_equals_sign_and_sorted() -> None:
    """A parameter that holds an equation would be cut, or equal metadata would give unequal ids."""
    found = parse_values(["z=1", "eq=a=b", "empty="], option="--param")
    assert list(found.items()) == [("empty", ""), ("eq", "a=b"), ("z", 1)]


@pytest.mark.parametrize(
    "text", ["lr", "=1", " =1", " lr=1", "lr =1", "l\nr=1", "k\udcff=1", "k=\udcff", "k" * 1025 + "=1"]
)
def test_what_is_no_key_and_value_is_refused(text: str) -> None:
    """A forgotten `=` would silently record nothing, or the commit would fail after reading everything."""
    with pytest.raises(UsageError, match="--param"):
        parse_values([text], option="--param")


def test_a_key_given_twice_is_refused() -> None:
    """One of two values would win by chance."""
    with pytest.raises(UsageError, match="lr is given twice"):
        parse_values(["lr=1", "lr=2"], option="--param")


@pytest.mark.parametrize("value", ["nan", "inf", "1e999", "true", "null", "high", '"1"', ""])
def test_metrics_are_finite_numbers(value: str) -> None:
    """A comparison of versions by a metric would meet something that can't be compared."""
    with pytest.raises(UsageError, match="--metric accuracy"):
        parse_metrics([f"accuracy={value}"], option="--metric")


def test_what_was_read_can_be_stored() -> None:
    """A commit would fail at its end for metadata that was taken at its start."""
    longest = ["k" * limits.METADATA_KEY_BYTES_MAX + "=" + "v" * 1000, f"big={2**64 - 1}", "é=ü"]
    metadata = Metadata(
        params=parse_values(longest, option="--param"),
        metrics=parse_metrics(["accuracy=0.93", "steps=10"], option="--metric"),
        labels=parse_values(["team=vision"], option="--label"),
        source=git_source("/"),
        environment=environment(),
    )
    assert metadata.metrics == {"accuracy": 0.93, "steps": 10}
    encode_version(Version(bytes(32), [], 1, "me", "", metadata, 0, 0), PLAIN)


def test_inputs_are_named_once_and_name_something() -> None:
    """Lineage would keep one of two versions by chance, or point to nothing."""
    assert parse_inputs(["b=x/v1:p", "a=3"], option="--input") == {"a": "3", "b": "x/v1:p"}
    for texts in (["a"], ["a="], ["=x"], ["a=x", "a=y"]):
        with pytest.raises(UsageError, match="--input"):
            parse_inputs(texts, option="--input")


def test_the_surroundings_hold_no_secrets_and_no_host() -> None:
    """A token in an environment variable would be pushed to everybody who reads the version."""
    found = environment()
    assert (
        {"python", "platform"}
        <= found.keys()
        <= {"python", "platform", "artstore", "jax", "numpy", "tensorflow", "torch", "transformers"}
    )
    assert not any(isinstance(value, float) and not math.isfinite(value) for value in found.values())


@pytest.fixture
def work_tree(tmp_path: Path) -> Path:
    """A git work tree with one commit on branch `trunk` and a folder `data`."""
    tree = tmp_path / "tree"
    (tree / "data").mkdir(parents=True)
    (tree / "train.py").write_text("pass\n")
    for command in (
        ["init", "--quiet", "--initial-branch=trunk"],
        ["add", "train.py"],
        ["-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "--quiet", "-m", "first"],
    ):
        subprocess.run(["git", *command], cwd=tree, check=True)
    return tree


def test_the_source_is_the_git_commit_of_the_folder(work_tree: Path) -> None:
    """Nobody could say which code made a model."""
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=work_tree, check=True, capture_output=True, text=True
    ).stdout
    (work_tree / "data" / "weights.bin").write_bytes(b"untracked")
    assert git_source(str(work_tree / "data")) == {
        "git_commit": head.strip(),
        "git_branch": "trunk",
        "git_dirty": False,
    }
    (work_tree / "train.py").write_text("changed\n")
    assert git_source(os.fsencode(work_tree))["git_dirty"] is True
    subprocess.run(["git", "checkout", "--quiet", "--detach"], cwd=work_tree, check=True)
    assert "git_branch" not in git_source(str(work_tree))


@pytest.mark.parametrize("setting", ["core.fsmonitor", "filter.mine.clean", "filter.mine.process"])
def test_a_repository_cannot_make_a_commit_start_programs(work_tree: Path, setting: str) -> None:
    """Committing a downloaded folder would run its author's code."""
    mark = work_tree / "ran"
    program = work_tree / "monitor.sh"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    subprocess.run(["git", "config", setting, str(program)], cwd=work_tree, check=True)
    (work_tree / ".gitattributes").write_text("*.py filter=mine\n")
    (work_tree / "train.py").write_text("gone\n")  # of the same size: git has to look into it
    assert git_source(str(work_tree))["git_branch"] == "trunk"
    assert not mark.exists()


def test_a_folder_without_git_has_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit of a plain folder, or on a machine without git, would fail for a description."""
    assert git_source(str(tmp_path)) == {}
    assert git_source(str(tmp_path / "missing")) == {}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_source(str(tmp_path)) == {}
