"""What surrounds every request: its errno, its time, and one line for people when something is wrong."""

from __future__ import annotations

import errno
import json
import logging
from typing import Any

import pytest

from artstore.errors import Corrupt, Erased, NotFound
from artstore_fuse.metrics import Metrics
from artstore_fuse.requests import Requests
from artstore_fuse.status import Place, Status

INODE = 7


class Counts:
    """A cache that did nothing."""

    hits = misses = decoded_bytes = requested = failed = 0


class Refused(Exception):
    """What carries an errno to a kernel."""


class Served:
    """Requests, and what is known of them afterwards."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.status = Status(self.metrics, Counts(), Place("/store", "id", "/mnt"))
        self.requests = Requests(self.metrics, self.status, describe=self.describe, refusal=Refused)

    def describe(self, inode: int) -> str:
        """Only one thing has a name."""
        if inode != INODE:
            raise OSError(errno.ESTALE, "stale")
        return "m/v1:weights.bin"

    def fail(self, error: BaseException, inode: int = INODE, offset: int = 0) -> None:
        """A read that ends so."""
        with self.requests.begin("read", inode, offset):
            raise error

    def told(self) -> dict[str, Any]:
        """The status."""
        document: dict[str, Any] = json.loads(self.status.render())
        return document


@pytest.fixture
def served() -> Served:
    """A mount that has just begun."""
    return Served()


def test_an_answer_is_counted_with_its_bytes(served: Served) -> None:
    """How many, how much, how fast."""
    for size in (10, 20):
        with served.requests.begin("read", INODE) as request:
            request.size = size
    figures = served.metrics.snapshot()["read"]
    assert (figures.count, figures.bytes, figures.errors) == (2, 30, {})


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ESTALE, "stale"), errno.ESTALE),
        (NotFound("no such tag"), errno.ENOENT),
        (Corrupt("chunk is corrupt"), errno.EIO),
        (Erased("it was purged"), errno.EIO),
        (ZeroDivisionError("a bug of ours"), errno.EIO),
    ],
)
def test_an_error_reaches_the_kernel_as_an_errno(served: Served, error: Exception, number: int) -> None:
    """And the error itself stays its cause."""
    with pytest.raises(Refused) as caught:
        served.fail(error)
    assert caught.value.args == (number,)
    assert caught.value.__cause__ is error
    assert served.metrics.snapshot()["read"].errors == {errno.errorcode[number]: 1}


def test_an_end_is_no_error(served: Served) -> None:
    """When the mount ends, its requests are given up; that must pass through."""
    with pytest.raises(KeyboardInterrupt):
        served.fail(KeyboardInterrupt())
    assert served.metrics.snapshot()["read"].errors == {}


def test_a_broken_chunk_is_logged_once(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """The kernel asks again and again, for less; a log with a thousand equal lines is not read."""
    first, second = bytes([1]) * 32, bytes([2]) * 32
    for offset in (4096, 8192):
        with pytest.raises(Refused):
            served.fail(Corrupt("chunk 01 is corrupt", digest=first, pack="00000007"), offset=offset)
    with pytest.raises(Refused):
        served.fail(Corrupt("chunk 02 in pack 00000008 is corrupt", digest=second, pack="00000008"), offset=9)
    assert [record.getMessage() for record in caplog.records] == [
        "broken: m/v1:weights.bin at offset 4096: chunk 01 is corrupt (pack 00000007)",
        "broken: m/v1:weights.bin at offset 9: chunk 02 in pack 00000008 is corrupt",
    ]
    told = served.told()
    assert told["broken_count"] == 3
    assert {(each["name"], each["message"]) for each in told["broken"]} == {
        ("m/v1:weights.bin", "chunk 01 is corrupt"),
        ("m/v1:weights.bin", "chunk 02 in pack 00000008 is corrupt"),
    }


def test_what_was_logged_is_not_kept_without_end(
    served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that dies has millions of broken chunks."""
    monkeypatch.setattr("artstore.limits.MOUNT_TROUBLES_TOLD_MAX", 2)
    for number in (1, 2, 3, 1):
        with pytest.raises(Refused):
            served.fail(Corrupt(f"chunk {number}", digest=bytes([number])))
    assert len(caplog.records) == 4


def test_a_bug_is_logged_with_its_trace(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Else nobody could mend it; an error that is foreseen has no trace."""
    with pytest.raises(Refused):
        served.fail(NotFound("no such tag"))
    assert not caplog.records
    with pytest.raises(Refused):
        served.fail(ZeroDivisionError("division by zero"))
    (record,) = caplog.records
    assert record.getMessage() == "read of m/v1:weights.bin failed"
    assert record.exc_info is not None


@pytest.mark.parametrize(("inode", "name"), [(INODE, "m/v1:weights.bin"), (0, "-"), (9, "inode 9")])
def test_a_slow_request_is_listed(
    served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, inode: int, name: str
) -> None:
    """By name if it has one; a name that can't be found must not break what is told."""
    with served.requests.begin("lookup", inode):
        pass
    assert served.told()["slow_count"] == 0
    monkeypatch.setattr("artstore.limits.MOUNT_SLOW_S", 0.0)
    with caplog.at_level(logging.WARNING), served.requests.begin("lookup", inode):
        pass
    assert [(each["kind"], each["name"]) for each in served.told()["slow"]] == [("lookup", name)]
    assert caplog.records[0].getMessage() == f"slow: lookup of {name} took 0.0 s"
