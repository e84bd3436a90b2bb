"""The revision grammar: names of refs and artifacts, `REV[:PATH]`, `art://` URLs, times.

Pure text in, values out. What a revision leads to is decided by `store.refs`, which knows the refs.

    REVISION = REV [ ":" PATH ]                    REV = BASE [ AT ] { "~" N }
    BASE     = tag | alias | artifact | artifact "/latest" | version id (8 to 64 hex digits)
    AT       = "@{" N "}" | "@{" TIME "}"          TIME = 2026-11-23[T10:00[:30[.123456789]]][Z|+01:00]
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, assert_never

from artstore import limits
from artstore.errors import BadName

LATEST: Final = "latest"
URL_SCHEME: Final = "art://"

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_HEX = re.compile(rf"[0-9a-fA-F]{{{limits.ID_PREFIX_HEX_MIN},64}}")
_ARTIFACT_BYTES_MAX = limits.REF_BYTES_MAX - limits.REF_BYTES_SPARE
_STEP = re.compile(r"~([0-9]*)|@\{([^{}]*)\}")
_NUMBER = re.compile(r"([0-9]{1,18})(?:/|$)")
_COUNT = re.compile(r"[0-9]{1,9}")
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})"
    r"(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?"
    r"(?:\s?(Z)|([+-])(\d{2}):?(\d{2}))?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Ancestor:
    """`~N`: the N-th first parent."""

    count: int


@dataclass(frozen=True, slots=True)
class MovesAgo:
    """`@{N}`: where the alias stood N moves ago."""

    count: int


@dataclass(frozen=True, slots=True)
class AtTime:
    """`@{time}`: where the alias stood then (ns since 1970 UTC)."""

    time: int


Step = Ancestor | MovesAgo | AtTime


@dataclass(frozen=True, slots=True)
class Revision:
    """What was asked for. `path` is None without `:PATH`, and b"" for the version's root."""

    base: str
    steps: tuple[Step, ...] = ()
    path: bytes | None = None


def parse_revision(text: str, known: Callable[[str], bool] | None = None) -> Revision:
    """Parse `REV[:PATH]`, or an `art://` URL if `known` tells which names are refs (see `parse_url`).

    Raises BadName, with what is wrong, where, and how it is written.
    """
    if text.startswith(URL_SCHEME):
        if known is None:
            raise BadName(f"{_show(text)} is a URL, a revision is needed here", hint="write TAG:PATH")
        return parse_url(text, known)
    base, at = _base(text)
    steps, at = _steps(text, base, at)
    if at == len(text):
        return Revision(base, steps)
    if text[at] != ":":
        raise BadName(
            f"{_show(text)} is no revision: {_show(text[at:])} is neither ~N, @{{N}}, @{{time}} nor :PATH",
            hint="write for instance resnet50/v3~1:model.safetensors",
        )
    return Revision(base, steps, parse_path(text[at + 1 :]))


def parse_url(url: str, known: Callable[[str], bool]) -> Revision:
    """Parse `art://REV/PATH`; the shortest leading part that `known` calls a ref is REV.

    A ref is never also a folder of refs, so there is one such part. Without any, the whole may be an artifact, or the
    first part a version id. Characters stand for themselves: nothing is percent-decoded.
    """
    if not url.startswith(URL_SCHEME):
        raise BadName(f"{_show(url)} is no art:// URL", hint="write for instance art://resnet50/v3/model.safetensors")
    parts = url.removeprefix(URL_SCHEME).rstrip("/").split("/")
    for end in range(1, min(len(parts), limits.REF_BYTES_MAX // 2) + 1):
        found = _try_revision("/".join(parts[:end]))
        if found is not None and "/" in found.base and known(found.base):
            return _with_path(found, parts[end:])
    whole = _try_revision("/".join(parts))
    if whole is not None and known(whole.base):
        return whole
    first = _try_revision(parts[0])
    if first is not None and is_id_prefix(first.base):
        return _with_path(first, parts[1:])
    if whole is not None:
        return whole  # nothing known: let the look-up say so, with what comes near
    raise BadName(f"{_show(url)} names no known ref", hint="`artstore list` shows the refs")


def format_revision(revision: Revision) -> str:
    """The text that parses to `revision` again."""
    steps = "".join(_format_step(step) for step in revision.steps)
    path = "" if revision.path is None else ":" + revision.path.decode("utf-8", "surrogateescape")
    return revision.base + steps + path


def parse_path(text: str) -> bytes:
    """A path inside a version as bytes: no empty part (a trailing `/` is dropped), no `.`, no `..`."""
    raw = text.encode("utf-8", "surrogateescape")
    if raw in (b"", b"/"):
        return b""
    parts = raw.removesuffix(b"/").split(b"/")
    for part in parts:
        if part in (b"", b".", b"..") or b"\0" in part or len(part) > limits.NAME_BYTES_MAX:
            raise BadName(f"path {_show(text)} can't be in a version", hint="write it as `artstore ls` prints it")
    if len(parts) > limits.PATH_DEPTH_MAX:
        raise BadName(f"path {_show(text[:80])}… is more than {limits.PATH_DEPTH_MAX} folders deep")
    return b"/".join(parts)


def parse_time(text: str) -> int:
    """An ISO time as ns since 1970; UTC when it gives no zone, midnight when it gives no hour."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise _bad_time(text)
    day, hour, minute, second, fraction, _, sign, zone_hour, zone_minute = match.groups()
    offset = timedelta(hours=int(zone_hour or 0), minutes=int(zone_minute or 0))
    try:
        zone = timezone(-offset if sign == "-" else offset)
        start = datetime.fromisoformat(day).replace(
            hour=int(hour or 0), minute=int(minute or 0), second=int(second or 0), tzinfo=zone
        )
        whole = (start - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError) as error:
        raise _bad_time(text) from error
    return whole * _SECOND_NS + int((fraction or "0").ljust(9, "0"))


def format_time(time: int) -> str:
    """ISO in UTC, to the second, or to the digits it needs: `2026-11-23T10:00:00Z`."""
    whole, fraction = divmod(time, _SECOND_NS)
    text = (_EPOCH + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    return f"{text}{digits}Z"


def check_ref_name(name: str) -> str:
    """`name` if a tag or alias may be called so, else BadName."""
    if "/" not in name:
        raise BadName(
            f"{_show(name)} is no name for a tag or alias: it needs an artifact before a '/'",
            hint=f"write for instance {name if _PART.fullmatch(name) else 'resnet50'}/v1",
        )
    _check_parts(name, "a tag or alias", limits.REF_BYTES_MAX)
    return name


def check_artifact_name(name: str) -> str:
    """`name` if an artifact may be called so, else BadName."""
    _check_parts(name, "an artifact", _ARTIFACT_BYTES_MAX)
    return name


def artifact_of(name: str) -> str:
    """What comes before the last `/` of a tag or alias."""
    assert "/" in name
    return name.rpartition("/")[0]


def is_id_prefix(text: str) -> bool:
    """May `text` be (the beginning of) a version id? 8 to 64 hex digits."""
    return _HEX.fullmatch(text) is not None


def next_version_name(artifact: str, existing: Iterable[str]) -> str:
    """`ARTIFACT/vN` with the N after the greatest that `existing` names use, be it as a folder."""
    return check_ref_name(f"{artifact}/v{max((version_number(artifact, name) for name in existing), default=0) + 1}")


def version_number(artifact: str, name: str) -> int:
    """The N of `ARTIFACT/vN`, be it as a folder; 0 for other names."""
    begin = f"{artifact}/v"
    match = _NUMBER.match(name, len(begin)) if name.startswith(begin) else None
    return 0 if match is None else int(match[1])


def is_numbered(name: str) -> bool:
    """Is this tag called as automatic ones are, `ARTIFACT/vN`?"""
    return re.fullmatch(r"v(0|[1-9][0-9]*)", name.rpartition("/")[2]) is not None


def artifact_name_from_folder(folder: str) -> str:
    """A folder's name as an artifact name: accents dropped, other signs become `-`; BadName if nothing is left."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", folder) if not unicodedata.combining(sign))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).lstrip("-.").rstrip("-.")
    try:
        return check_artifact_name(name)
    except BadName as error:
        raise BadName(
            f"no artifact name can be made of the folder name {_show(folder)}", hint="give one with --artifact NAME"
        ) from error


def _base(text: str) -> tuple[str, int]:
    match = re.match(r"[A-Za-z0-9._/-]*", text)
    assert match is not None
    base = match[0]
    if base == "":
        raise BadName(
            f"{_show(text)} is no revision: it names no tag, alias, artifact or version id",
            hint="write for instance resnet50/v3 or resnet50/production",
        )
    _check_parts(base, "a revision", limits.REF_BYTES_MAX, latest=True)
    return base, match.end()


def _steps(text: str, base: str, at: int) -> tuple[tuple[Step, ...], int]:
    steps: list[Step] = []
    while match := _STEP.match(text, at):
        step = _step(match)
        if steps and not isinstance(step, Ancestor):
            raise BadName(
                f"{_show(text)} is no revision: {match[0]} stands behind another step",
                hint=f"write it next to the alias: {base}{match[0]}",
            )
        steps.append(step)
        if len(steps) > limits.REVISION_STEPS_MAX:
            raise BadName(f"revision {_show(text[:80])}… has more than {limits.REVISION_STEPS_MAX} steps")
        at = match.end()
    return tuple(steps), at


def _step(match: re.Match[str]) -> Step:
    count, inner = match[1], match[2]
    if count is not None:
        if _COUNT.fullmatch(count) is None:
            raise BadName(f"{_show(match[0])} counts no parents", hint="write ~1 for the first parent")
        return Ancestor(int(count))
    if _COUNT.fullmatch(inner):
        return MovesAgo(int(inner))
    return AtTime(parse_time(inner))


def _format_step(step: Step) -> str:
    match step:
        case Ancestor(count):
            return f"~{count}"
        case MovesAgo(count):
            return f"@{{{count}}}"
        case AtTime(time):
            return f"@{{{format_time(time)}}}"
        case _:
            assert_never(step)


def _try_revision(text: str) -> Revision | None:
    """The revision, or None where the text is none or has a `:PATH`, which a URL doesn't write so."""
    try:
        revision = parse_revision(text)
    except BadName:
        return None
    return revision if revision.path is None else None


def _with_path(revision: Revision, parts: list[str]) -> Revision:
    return Revision(revision.base, revision.steps, parse_path("/".join(parts))) if parts else revision


def _check_parts(name: str, what: str, bytes_max: int, *, latest: bool = False) -> None:
    if len(name) > bytes_max:
        raise BadName(
            f"{_show(name[:80])}… is no name for {what}: more than {bytes_max} bytes", hint="choose a shorter one"
        )
    for part in name.split("/"):
        if _PART.fullmatch(part) is None:
            raise BadName(
                f"{_show(name)} is no name for {what}: {_show(part)} is not a part of letters, digits, '.', '_', '-' "
                "that begins with a letter, digit or '_'",
                hint="write for instance resnet50/v3",
            )
    reserved = name.split("/")[:-1] if latest else name.split("/")
    if LATEST in reserved:
        raise BadName(
            f"{_show(name)} is no name for {what}: '{LATEST}' always means the newest tag of an artifact",
            hint="choose another name",
        )


def _bad_time(text: str) -> BadName:
    return BadName(
        f"{_show(text)} is no time", hint="write for instance 2026-11-23T10:00 (UTC) or 2026-11-23T10:00+01:00"
    )


def _show(text: str) -> str:
    """Quoted, with what a terminal can't show escaped."""
    return repr(text) if text.isprintable() else ascii(text)
