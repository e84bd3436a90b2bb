"""What a program gets for which error."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from artstore import errors
from artstore.errors import ArtstoreError
from artstore_fuse.errnos import ERRNOS, errno_of


def all_classes(above: type[ArtstoreError] = ArtstoreError) -> Iterator[type[ArtstoreError]]:
    """Every class of error that this program has."""
    yield above
    for below in above.__subclasses__():
        yield from all_classes(below)


def test_each_class_has_its_errno() -> None:
    """A new class of error gets its errno when it is made, not when the first program stumbles over it."""
    missing = [kind.__name__ for kind in vars(errors).values() if isinstance(kind, type) and is_ours(kind)]
    assert set(missing) == set()
    for kind in all_classes():
        error = ArtstoreError.__new__(kind)
        assert errno_of(error) in errno.errorcode


def is_ours(kind: type) -> bool:
    """Is it an error of ours that the table lacks?"""
    return issubclass(kind, ArtstoreError) and kind not in ERRNOS


class _Unheard(errors.NotFound):
    """A class that the table doesn't know."""


class _Nameless(Exception):
    """Nobody's error."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.NotFound("x"), errno.ENOENT),
        (_Unheard("x"), errno.ENOENT),
        (errors.Busy("x"), errno.EBUSY),
        (OSError(errno.ESTALE, "x"), errno.ESTALE),
        (PermissionError(errno.EACCES, "x"), errno.EACCES),
        (OSError("no number"), errno.EIO),
        (_Nameless(), errno.EIO),
        (MemoryError(), errno.EIO),
    ],
)
def test_nearest_class(error: Exception, expected: int) -> None:
    """The system's errors keep their number; what nobody foresaw is EIO, and never success."""
    assert errno_of(error) == expected
