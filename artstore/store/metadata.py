"""What is said of a version: parameters, metrics and labels as written on a command line, where the data came from, and
in which surroundings it was made.

Source and surroundings describe, they never decide: what can't be found out is left out, and nothing here fails for it.
No environment variables, user names or paths of the machine are recorded.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Final

from artstore import limits
from artstore._version import VERSION
from artstore.errors import UsageError
from artstore.model import Scalar

# Versions of these are recorded when the running program has imported them (the Python API in a training script).
RECORDED_LIBRARIES: Final = ("jax", "numpy", "tensorflow", "torch", "transformers")

_INT = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1
_WORDS: Mapping[str, Scalar] = {"true": True, "false": False, "null": None}
# A repository is somebody else's: its configuration must not make git start programs.
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "log.showSignature=false")


def parse_values(texts: Iterable[str], *, option: str) -> dict[str, Scalar]:
    """`KEY=VALUE` texts with typed values, sorted by key; a key given twice is a UsageError."""
    return {key: parse_scalar(value) for key, value in _pairs(texts, option=option)}


def parse_inputs(texts: Iterable[str], *, option: str) -> dict[str, str]:
    """`NAME=REV` texts, sorted by name; the revisions are read by whoever resolves them."""
    found = dict(_pairs(texts, option=option))
    for name, revision in found.items():
        if not revision:
            raise UsageError(f"{option} {name}= names no version", hint=f"write {option} NAME=REV")
    return found


def parse_metrics(texts: Iterable[str], *, option: str) -> dict[str, int | float]:
    """`KEY=NUMBER` texts, sorted by key; numbers are finite."""
    found: dict[str, int | float] = {}
    for key, value in parse_values(texts, option=option).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"{option} {key}={value} is no finite number", hint="write for instance accuracy=0.93")
        found[key] = value
    return found


def parse_scalar(text: str) -> Scalar:
    """A value as JSON would type it: 3, 1e-4, true, false, null, "a string"; everything else is the text itself.

    Numbers that don't fit (beyond 64 bits, not finite) stay text, so that nothing is changed by being recorded.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) <= len(str(_INT_MIN)) and text != "-0":
        number = int(text)
        return number if _INT_MIN <= number <= _INT_MAX else text
    if _FLOAT.fullmatch(text) and not _INT.fullmatch(text):
        value = float(text)
        return value if math.isfinite(value) else text
    if text.startswith('"'):
        try:
            decoded: object = json.loads(text)
        except ValueError:
            return text
        return decoded if isinstance(decoded, str) and _is_unicode(decoded) else text
    return text


def git_source(folder: str | bytes) -> dict[str, Scalar]:
    """Commit, branch and cleanliness of the git work tree that `folder` lies in; empty where there is none."""
    if not _within_work_tree(folder):
        return {}
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return {}
    found: dict[str, Scalar] = {"git_commit": commit}
    branch = _git(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
    if branch:
        found["git_branch"] = branch
    if _runs_filters(folder):
        return found
    # Untracked files are not asked for: the data itself is untracked, and may be millions of files.
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
    if changes is not None:
        found["git_dirty"] = changes != ""
    return found


def environment() -> dict[str, Scalar]:
    """Versions of Python, artstore, the system, and of known libraries that this process has imported."""
    system = os.uname()
    found: dict[str, Scalar] = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "platform": f"{system.sysname}-{system.machine}",
        "artstore": VERSION,
    }
    libraries: list[str] = [library for library in RECORDED_LIBRARIES if library in sys.modules]
    if libraries:
        found |= _versions(libraries)
    return found


def _versions(libraries: list[str]) -> dict[str, Scalar]:
    from importlib import metadata as distributions

    found: dict[str, Scalar] = {}
    for name in libraries:
        try:
            found[name] = distributions.version(name)
        except distributions.PackageNotFoundError:  # run from a source tree, or a module of that name
            continue
    return found


def _pairs(texts: Iterable[str], *, option: str) -> list[tuple[str, str]]:
    """Keys and values, sorted by key, each key once."""
    found: dict[str, str] = {}
    for text in texts:
        key, value = _split(text, option=option)
        if key in found:
            raise UsageError(f"{option} {key} is given twice", hint="give each key once")
        found[key] = value
        if len(found) > limits.METADATA_KEYS_MAX:
            raise UsageError(f"more than {limits.METADATA_KEYS_MAX} values by {option}", hint="commit them as a file")
    return sorted(found.items())


def _split(text: str, *, option: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"{option} {text!r} has no key and value", hint=f"write {option} KEY=VALUE")
    if key != key.strip() or not key.isprintable():
        raise UsageError(f"{option} {text!r} has a key with spaces around it or signs that can't be shown")
    if not _is_unicode(text):
        raise UsageError(f"{option} {text!a} is not valid UTF-8")
    if len(key.encode()) > limits.METADATA_KEY_BYTES_MAX or len(value.encode()) > limits.METADATA_VALUE_BYTES_MAX:
        raise UsageError(f"{option} {key[:40]!r} is too long", hint="commit long texts as a file")
    return key, value


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def _runs_filters(folder: str | bytes) -> bool:
    """Might `git status` start a program that the repository's own configuration names? A user's own is trusted."""
    settings = _git(folder, "config", "--list", "--show-scope", "--name-only")
    if settings is None:
        return True
    pairs = (line.partition("\t") for line in settings.splitlines())
    return any(scope in ("local", "worktree") and name.startswith("filter.") for scope, _, name in pairs)


def _within_work_tree(folder: str | bytes) -> bool:
    """Whether git may find anything: most data lies in no repository, and git takes longer to start."""
    path = os.fsdecode(os.path.realpath(folder))
    while not os.path.lexists(os.path.join(path, ".git")):
        path, child = os.path.dirname(path), path
        if path == child:
            return False
    return True


def _git(folder: str | bytes, *arguments: str) -> str | None:
    """What git prints, or None if it can't tell, isn't installed or takes too long."""
    import subprocess

    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = [*_GIT, "-C", os.fsdecode(folder), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - a list, no shell; `folder` follows -C and can't be an option
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limits.SOURCE_PROBE_S,
            check=False,
            env={**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
