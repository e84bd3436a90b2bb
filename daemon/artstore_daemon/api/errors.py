"""Errors as HTTP tells them: one table, by what the caller can do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from artstore.errors import (
    ArtstoreError,
    Busy,
    Conflict,
    Corrupt,
    Erased,
    Interrupted,
    NewerFormat,
    NoSpace,
    NotFound,
    NotPermitted,
    RemoteError,
    UsageError,
)
from artstore_daemon.api.documents import Problem
from artstore_daemon.api.encoding import encode

PROBLEM: Final = "application/problem+json"
# The first that fits.
STATUSES: Final[tuple[tuple[type[ArtstoreError], int], ...]] = (
    (NewerFormat, 409),
    (UsageError, 400),
    (NotFound, 404),
    (NotPermitted, 403),
    (Conflict, 409),
    (Erased, 410),
    (Corrupt, 500),
    (RemoteError, 502),
    (Busy, 503),
    (NoSpace, 507),
    (Interrupted, 503),
)


def status_of(error: ArtstoreError) -> int:
    """HTTP's number for an error."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def problem(
    status: int,
    *,
    code: str,
    detail: str,
    exit_code: int = 1,
    hint: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer that says what went wrong."""
    told = Problem(
        type=f"urn:artstore:{code}",
        title=code.replace("_", " "),
        status=status,
        detail=detail,
        code=code,
        exit_code=exit_code,
        hint=hint,
    )
    return Response(encode(told), status, media_type=PROBLEM, headers=headers)


def problem_of(error: ArtstoreError) -> Response:
    """The same of an error of artstore."""
    return problem(status_of(error), code=error.code, detail=error.message, exit_code=error.exit_code, hint=error.hint)
