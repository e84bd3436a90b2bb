"""Ignore rules: what a commit leaves out, and what `check-ignore` says of it. Expectations are git's own answers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import BadInput, UsageError
from artstore.planning.ignore import BUILT_IN, EXCLUDE, Decision, IgnoreStack


def decide(stack: IgnoreStack, path: str) -> Decision:
    """The decision on a path from the top, folders above included; a folder's path ends in `/`."""
    *folders, name = path.removesuffix("/").split("/")
    for folder in folders:
        decision = stack.decide(folder.encode("utf-8", "surrogateescape"), True)
        if decision.ignored:
            return decision
        stack = stack.enter(folder.encode("utf-8", "surrogateescape"), None)
    return stack.decide(name.encode("utf-8", "surrogateescape"), path.endswith("/"))


def ignored(text: str, path: str) -> bool:
    """Whether a top `.artignore` of this text leaves the path out."""
    return decide(IgnoreStack.create(defaults=False).enter(b"", text.encode()), path).ignored


@pytest.mark.parametrize(
    ("text", "left_out", "kept"),
    [
        ("*.tmp", ["a.tmp", "d/a.tmp", "d.tmp/", "d.tmp/x"], ["a.tmpx", "tmp"]),
        ("logs/", ["logs/", "d/logs/", "logs/x"], ["logs", "d/logs"]),
        ("/raw", ["raw", "raw/", "raw/x"], ["d/raw"]),
        ("a/b", ["a/b", "a/b/c"], ["d/a/b", "b"]),
        ("a/*", ["a/b", "a/b/c"], ["a/", "b/a/c"]),
        ("a/**", ["a/b", "a/b/c"], ["a/", "d/a/b"]),
        ("a/**/", ["a/b/", "a/b/c/"], ["a/", "a/b"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["b", "a/bb"]),
        ("**/b", ["b", "a/b", "a/x/b"], ["bb"]),
        ("*", ["a", "d/"], []),
        ("**", ["a", "d/"], []),
        ("*/", ["d/", "d/x"], ["a"]),
        ("**/", ["d/", "d/x"], ["a"]),
        ("/*", ["a", "d/"], []),
        ("?", ["a", "d/b"], ["ab"]),
        ("[ab].x", ["a.x", "b.x"], ["c.x"]),
        ("[!ab].x", ["c.x"], ["a.x", "b.x"]),
        ("[^ab].x", ["c.x"], ["a.x"]),
        ("x[!y]z/w", [], ["x/z/w"]),
        ("[[:digit:]]*", ["7", "7a"], ["a7"]),
        ("[[]a]", ["[a]"], ["a"]),
        ("\\[a\\]", ["[a]"], ["a"]),
        ("#c", [], ["#c", "c"]),
        ("\\#c", ["#c"], ["c"]),
        ("\\!d", ["!d"], ["d"]),
        ("x  ", ["x"], ["x  "]),
        ("x\\  ", ["x "], ["x"]),
        ("x\t", ["x\t"], ["x"]),
        ("x\r\ny\r\n", ["x", "y"], ["z"]),
        ("\ufeffx", ["x"], ["\ufeffx"]),
        ("", [], ["x"]),
        ("/\n!\n!/", [], ["x", "d/"]),
        ("*.x\n!keep.x", ["a.x"], ["keep.x", "d/keep.x"]),
        ("!keep.x\n*.x", ["keep.x"], []),
        ("d/\n!d/keep", ["d/", "d/keep"], []),
        ("d/*\n!d/keep", ["d/other"], ["d/", "d/keep"]),
        ("*\n!*/\n!*.bin", ["a.txt", "d/a.txt", "d/e/a.txt"], ["d/", "a.bin", "d/e/a.bin"]),
        ("à", ["à"], ["a"]),
        ("voilà", ["voilà"], ["voil"]),
        ("foo", ["foo"], ["foo\n", "a\nfoo"]),
        ("*.x", ["a\nb.x", "a\n/b.x"], ["a.x\n"]),
    ],
)
def test_patterns_mean_what_they_mean_in_git(text: str, left_out: list[str], kept: list[str]) -> None:
    """A rule copied from a .gitignore that meant something else here would lose files or commit rubbish."""
    assert [path for path in left_out if not ignored(text, path)] == []
    assert [path for path in kept if ignored(text, path)] == []


@pytest.mark.parametrize(
    ("name", "is_dir", "pattern"),
    [
        (b"__pycache__", True, "__pycache__/"),
        (b".ipynb_checkpoints", True, ".ipynb_checkpoints/"),
        (b".nfs0001", False, ".nfs*"),
        (b".DS_Store", False, ".DS_Store"),
        (b"__pycache__", False, None),
        (b"model.bin", False, None),
        (b".gitignore", False, None),
        (b".git", True, None),
        (b"\xff\xfe", False, None),
    ],
)
def test_built_in_rules_are_the_four_that_are_promised(name: bytes, is_dir: bool, pattern: str | None) -> None:
    """A further built-in rule would silently leave out data; a missing one commits litter."""
    expected = Decision(False) if pattern is None else Decision(True, pattern, BUILT_IN)
    assert IgnoreStack.create().enter(b"", None).decide(name, is_dir) == expected
    assert not IgnoreStack.create(defaults=False).decide(name, is_dir).ignored


def test_an_artignore_may_take_a_built_in_rule_back() -> None:
    """Who needs one of these folders would have no way to commit it but to give up all built-in rules."""
    stack = IgnoreStack.create().enter(b"", b"!__pycache__/\n")
    assert not stack.decide(b"__pycache__", True).ignored
    assert stack.decide(b".DS_Store", False).ignored


def test_a_deeper_file_beats_a_higher_one_and_exclude_beats_both() -> None:
    """A folder couldn't make its own exceptions, or the command line would lose to a forgotten file."""
    top = IgnoreStack.create(["*.log"]).enter(b"", b"*.bin\n*.txt\n")
    below = top.enter(b"data", b"!*.bin\n!*.log\n")
    assert below.decide(b"x.bin", False) == Decision(False, "!*.bin", "data/.artignore:1")
    assert below.decide(b"x.txt", False) == Decision(True, "*.txt", ".artignore:2")
    assert below.decide(b"x.log", False) == Decision(True, "*.log", EXCLUDE)
    assert top.decide(b"x.bin", False).ignored


def test_patterns_are_relative_to_the_folder_of_their_file() -> None:
    """`/raw` in data/.artignore would leave out the wrong folder."""
    below = IgnoreStack.create(["/data/x"]).enter(b"", b"/data/y\n").enter(b"data", b"/z\nsub/w\n")
    assert [name for name in (b"x", b"y", b"z", b"w", b"data") if below.decide(name, False).ignored] == [
        b"x",
        b"y",
        b"z",
    ]
    deeper = below.enter(b"sub", None)
    assert [name for name in (b"x", b"y", b"z", b"w") if deeper.decide(name, False).ignored] == [b"w"]


def test_several_folders_may_be_entered_at_once() -> None:
    """`check-ignore` on a path would judge it differently from a walk."""
    at_once = IgnoreStack.create().enter(b"", b"a/b/c\n").enter(b"a/b", None)
    assert at_once.decide(b"c", False).ignored


def test_names_that_are_not_utf8_are_matched_byte_by_byte() -> None:
    """A Latin-1 file name would crash the commit."""
    stack = IgnoreStack.create().enter(b"d\xe9", b"caf\xe9*\n/\xff?\n")
    assert stack.decide(b"caf\xe9.txt", False) == Decision(True, "caf\udce9*", "d\\xe9/.artignore:1")
    assert stack.decide(b"\xff\xfe", False).ignored
    assert not stack.decide("café.txt".encode(), False).ignored


@pytest.mark.parametrize("pattern", ["a[b", "x\\", "[z-a]", "a" * (limits.IGNORE_PATTERN_BYTES_MAX + 1), "a\0b"])
def test_a_pattern_that_means_nothing_is_named(pattern: str) -> None:
    """A mistyped rule would silently not be applied."""
    with pytest.raises(UsageError, match=r"pattern .* of --exclude"):
        IgnoreStack.create([pattern])
    with pytest.raises(BadInput, match=r"of d/\.artignore:2"):
        IgnoreStack.create().enter(b"d", b"ok\n" + pattern.encode() + b"\n")


def test_a_file_without_end_is_refused() -> None:
    """A file cut at the bound would lose its last rules without a word."""
    with pytest.raises(BadInput, match="bytes or more"):
        IgnoreStack.create().enter(b"", b"#" * limits.ARTIGNORE_BYTES_MAX)


def lines() -> Iterator[str]:
    """Signs that patterns are made of."""
    yield from "ab*?[]!^\\/# .-:\té\udcff"


@given(
    st.text(st.sampled_from(list(lines())), max_size=12), st.text(st.sampled_from(list("ab[]! .é\udcff")), min_size=1)
)
def test_no_pattern_crashes_or_warns(pattern: str, name: str) -> None:
    """An odd line in some dataset's .artignore would end a commit in a traceback."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            stack = IgnoreStack.create().enter(b"", pattern.encode("utf-8", "surrogateescape"))
        except BadInput:
            return
        decision = stack.decide(name.encode("utf-8", "surrogateescape"), False)
    assert decision.pattern is None or decision.pattern in pattern
