"""Which names of a folder are left out of a version: `.artignore` files, `--exclude`, built-in rules.

The rules are those of gitignore, translated by `pathspec`, one pattern at a time. `.gitignore` is never read: it would
skip the weights. As in git a later pattern beats an earlier one, a deeper file a higher one, `--exclude` beats both,
and what lies in an ignored folder is not looked at.

A pattern must match the whole path of an entry below the folder of its file (a folder's with a `/` behind it), and
never merely that of a folder above: else `!*/` would bring back each file below that `*` left out. `?` stands for one
character, or for one byte of a name that isn't UTF-8.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from artstore import limits
from artstore.errors import ArtstoreError, BadInput, UsageError

BUILT_IN: Final = "built-in"
EXCLUDE: Final = "--exclude"
FILE_NAME: Final = b".artignore"
BUILT_IN_PATTERNS: Final = ("__pycache__/", ".ipynb_checkpoints/", ".nfs*", ".DS_Store")


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether an entry is left out, and which pattern of which source said so (None: none spoke).

    `source` is "built-in", "--exclude" or "<path of the .artignore>:<line>".
    """

    ignored: bool
    pattern: str | None = None
    source: str | None = None


_KEPT = Decision(ignored=False)
_PYCACHE, _CHECKPOINTS, _NFS, _DS_STORE = (Decision(True, pattern, BUILT_IN) for pattern in BUILT_IN_PATTERNS)
_BUILT_IN_FOLDERS = {b"__pycache__": _PYCACHE, b".ipynb_checkpoints": _CHECKPOINTS}


class IgnoreStack:
    """The rules in force for the entries of one folder. Immutable; `enter` gives those of a folder below."""

    __slots__ = ("_defaults", "_excludes", "_path", "_sources")

    def __init__(self, path: bytes, excludes: _Source | None, sources: tuple[_Source, ...], *, defaults: bool) -> None:
        self._path = path
        self._excludes = excludes
        self._sources = sources  # deepest first
        self._defaults = defaults

    @classmethod
    def create(cls, excludes: Iterable[str] = (), *, defaults: bool = True) -> IgnoreStack:
        """The rules that hold before any `.artignore` is read. A pattern that means nothing is a UsageError."""
        rules = [_compile(pattern, EXCLUDE, UsageError) for pattern in excludes]
        return cls(b"", _source(b"", rules), (), defaults=defaults)

    def enter(self, relative_dir: bytes, artignore_text: bytes | None) -> IgnoreStack:
        """The rules of a folder below this one (b"": of the top folder itself), with its `.artignore` if it has one.

        Raises BadInput for a file that is too long or a pattern that means nothing.
        """
        path = self._path + b"/" + relative_dir if self._path and relative_dir else self._path or relative_dir
        sources = self._sources
        if artignore_text is not None:
            rules = _parse(artignore_text, path + b"/" + FILE_NAME if path else FILE_NAME)
            source = _source(path, rules)
            sources = sources if source is None else (source, *sources)
        if self._excludes is None and not sources:
            return self  # nothing depends on the path
        return IgnoreStack(path, self._excludes, sources, defaults=self._defaults)

    def decide(self, name: bytes, is_dir: bool) -> Decision:
        """Is the entry called `name` of this folder left out?"""
        if self._sources or self._excludes is not None:
            spoken = self._ask(name, is_dir=is_dir)
            if spoken is not None:
                return spoken
        if not self._defaults:
            return _KEPT
        if is_dir and name in _BUILT_IN_FOLDERS:
            return _BUILT_IN_FOLDERS[name]
        if name.startswith(b".nfs"):
            return _NFS
        return _DS_STORE if name == b".DS_Store" else _KEPT

    def _ask(self, name: bytes, *, is_dir: bool) -> Decision | None:
        path = self._path + b"/" + name if self._path else name
        # No name holds NUL, and no pattern a newline: so `$` and `.` of a translated pattern mean the whole name.
        text = path.decode("utf-8", "surrogateescape").replace("\n", "\0")
        if self._excludes is not None and (spoken := self._excludes.ask(text, is_dir=is_dir)) is not None:
            return spoken
        for source in self._sources:
            if (spoken := source.ask(text[source.skip :], is_dir=is_dir)) is not None:
                return spoken
        return None


@dataclass(frozen=True, slots=True)
class _Rule:
    """One pattern. `expression` must match a whole path, with a `/` behind a folder's."""

    expression: str
    matches: Callable[[str], object]
    decision: Decision


@dataclass(frozen=True, slots=True)
class _Source:
    """The rules of one file, the last one first; `skip` signs of a path lead to its folder. `any_matches` is quick."""

    skip: int
    rules: tuple[_Rule, ...]
    any_matches: Callable[[str], object]

    def ask(self, path: str, *, is_dir: bool) -> Decision | None:
        subject = path + "/" if is_dir else path
        if not self.any_matches(subject):
            return None
        return next((rule.decision for rule in self.rules if rule.matches(subject)), None)


def _source(folder: bytes, rules: Iterable[_Rule | None]) -> _Source | None:
    kept = tuple(rule for rule in rules if rule is not None)[::-1]
    if not kept:
        return None
    skip = len(folder.decode("utf-8", "surrogateescape")) + 1 if folder else 0
    return _Source(skip, kept, _matcher("|".join(f"(?:{rule.expression})" for rule in kept)))


def _parse(text: bytes, path: bytes) -> Iterable[_Rule | None]:
    where = path.decode("utf-8", "backslashreplace")
    if len(text) >= limits.ARTIGNORE_BYTES_MAX:
        raise BadInput(f"{where} has {limits.ARTIGNORE_BYTES_MAX} bytes or more", [path], hint="use fewer patterns")
    lines = text.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")

    def fail(message: str, *, hint: str) -> ArtstoreError:
        return BadInput(message, [path], hint=hint)

    return [_compile(line.removesuffix("\r"), f"{where}:{number}", fail) for number, line in enumerate(lines, 1)]


def _compile(pattern: str, source: str, fail: Callable[..., ArtstoreError]) -> _Rule | None:
    """A pattern as a rule; None for a blank line or a comment."""
    if pattern.rstrip(" ") in ("", "/", "!", "!/") or pattern.startswith("#"):
        return None
    shown = ascii(pattern[:80])
    hint = "escape it with a backslash, or remove it"
    if len(pattern) > limits.IGNORE_PATTERN_BYTES_MAX or "\0" in pattern:
        raise fail(f"pattern {shown} of {source} is too long or holds a NUL", hint="write a shorter one")
    negated = pattern.startswith("!")
    expression = _translate(pattern.removeprefix("!"))
    if expression is None:
        raise fail(f"pattern {shown} of {source} means nothing (an open bracket, a lone backslash)", hint=hint)
    try:
        matches = _matcher(expression)
    except (re.error, OverflowError, RecursionError) as error:
        raise fail(f"pattern {shown} of {source} can't be used ({error})", hint=hint) from error
    return _Rule(expression, matches, Decision(not negated, pattern, source))


def _matcher(expression: str) -> Callable[[str], object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # `[[]` and `[a--]` mean in gitignore what they mean today
        return re.compile(expression, re.DOTALL).fullmatch


# What pathspec answers for `*`, `**` and for `*/`, `**/`, `**/*/`: it searches, we match whole paths.
_SPECIAL = {".": ".+", "(?P<ps_d>/)": ".+/", "/": ".+/"}
_CLASSES = {
    "[:alnum:]": "0-9A-Za-z",
    "[:alpha:]": "A-Za-z",
    "[:blank:]": " \t",
    "[:cntrl:]": "\x01-\x1f\x7f",
    "[:digit:]": "0-9",
    "[:graph:]": "!-~",
    "[:lower:]": "a-z",
    "[:print:]": " -~",
    "[:punct:]": "!-.:-@[-`{-~",
    "[:space:]": " \t\r\v\f",
    "[:upper:]": "A-Z",
    "[:xdigit:]": "0-9A-Fa-f",
}


def _translate(pattern: str) -> str | None:
    """An expression for whole paths, or None if the pattern means nothing."""
    from pathspec.patterns.gitignore.base import GitIgnorePatternError
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    for name, signs in _CLASSES.items():
        pattern = pattern.replace(name, signs)
    if pattern.startswith(("!", "#")):
        pattern = "\\" + pattern  # the first `!` is gone already, and a comment isn't one behind it
    trimmed = pattern.rstrip(" ")
    if (len(trimmed) - len(trimmed.rstrip("\\"))) % 2 and len(trimmed) < len(pattern):
        trimmed += " "  # the space behind a backslash is meant
    # `x/**` is what lies in x at any depth, not x itself: as an entry's whole path, `x/**/*`.
    if trimmed.endswith("/**"):
        trimmed += "/*"
    elif trimmed.endswith("/**/"):
        trimmed += "*/"
    elif trimmed[-1].isspace() and not trimmed.endswith("\\" + trimmed[-1]):
        trimmed = f"{trimmed[:-1]}[{trimmed[-1]}]"  # git strips spaces alone, pathspec all that is white
    try:
        expression: str | None = GitIgnoreSpecPattern.pattern_to_regex(trimmed)[0]
    except GitIgnorePatternError:
        return None
    if expression is None:
        return None
    return _SPECIAL.get(expression, expression.replace("(?P<ps_d>/)", "/").replace("[^", "[^/"))
