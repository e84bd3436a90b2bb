"""What every remote promises (artstore.ports.Remote): one suite, for a folder, an S3 double and a real S3 service.

Over TLS boto3 speaks to it otherwise: only there does it send checksums behind the body, which Ceph refuses.
"""

from __future__ import annotations

import io
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import cast

import pytest

from artstore import limits
from artstore.errors import NotFound, RemoteError, UsageError
from artstore.format.sealed import SEGMENT_BYTES, sealed_size
from artstore.model import UNCHANGED, RemotePlace, Unchanged
from artstore.ports import Remote
from artstore.store.remote.retrying import RetryingRemote
from artstore.store.remote.selftest import check_remote
from artstore.store.sealed import Keychain, SealedRemote
from artstore.testing import Bucket, MemoryRemote
from artstore.testing.sealing import keychain
from artstore.wiring import reaching
from tests.remotes import new_certificate

KINDS = ["folder", "memory", "moto", "ceph", "tls", "sealed"]  # tls: Ceph over TLS; sealed: a folder of sealed objects
SEGMENT_STORED = 5 + 16  # of five bytes: what a range of them takes from a sealed object
Place = Callable[[str], RemotePlace]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def where(kind: str, remote_place: Place, monkeypatch: pytest.MonkeyPatch) -> RemotePlace:
    if kind != "memory":
        return remote_place("folder" if kind == "sealed" else kind)
    bucket = Bucket(now=time.time())

    def open_remote(place: RemotePlace, *_: object) -> Remote:
        return RetryingRemote(MemoryRemote(bucket, place.url))

    monkeypatch.setattr(reaching, "open_remote", open_remote)
    return RemotePlace(url="memory://bucket")


@pytest.fixture
def keys_there(kind: str) -> Keychain | None:
    return keychain() if kind == "sealed" else None


@pytest.fixture
def remote(where: RemotePlace, keys_there: Keychain | None) -> Iterator[Remote]:
    opened = reaching.open_remote(where, None, keys_there)
    yield opened
    opened.close()


def keys(remote: Remote, prefix: str = "", after: str = "") -> list[str]:
    return [found.key for found in remote.list(prefix, after=after)]


def test_what_is_written_is_read(remote: Remote) -> None:
    """A pack would come back as another one."""
    assert remote.get("a/b") is None
    assert remote.head("a/b") is None
    assert remote.get_range("a/b", 0, 1) is None
    written = remote.put("a/b", b"hello")
    found = remote.get("a/b")
    assert found is not None
    assert (found.data, found.etag) == (b"hello", written.etag)
    head = remote.head("a/b")
    assert head is not None
    assert (head.key, head.size) == ("a/b", 5)
    remote.put("a/b", b"")
    assert (found := remote.get("a/b")) is not None
    assert found.data == b""


def test_who_polls_is_told_that_nothing_changed(remote: Remote) -> None:
    """A thousand followers would fetch an alias each minute, or miss that it moved."""
    assert remote.poll("aliases/m/p", "none") is None
    written = remote.put("aliases/m/p", b"1" * 1000)
    before = replace(remote.stats)
    for _ in range(3):
        assert remote.poll("aliases/m/p", written.etag) is UNCHANGED
    stats = remote.stats
    assert (stats.requests - before.requests, stats.gets - before.gets, stats.repeated) == (3, 3, 0)
    assert stats.received_bytes == before.received_bytes, "no body comes"
    moved = remote.swap("aliases/m/p", b"2", written.etag)
    assert moved is not None
    found = remote.poll("aliases/m/p", written.etag)
    assert found is not None
    assert not isinstance(found, Unchanged)
    assert (found.data, found.etag) == (b"2", moved.etag)
    assert remote.poll("aliases/m/p", found.etag) is UNCHANGED
    remote.delete("aliases/m/p")
    assert remote.poll("aliases/m/p", found.etag) is None


def test_a_file_is_written_from_its_beginning(remote: Remote) -> None:
    """A pack that is sent again after a failure would lack what was read before."""
    body = io.BytesIO(b"0123456789" * 1000)
    for _ in range(2):
        body.seek(5)
        remote.put("p/x/1", body)
        assert (found := remote.get("p/x/1")) is not None
        assert found.data == body.getvalue()
    assert remote.stats.sent_bytes == 2 * stored_bytes(remote, 10_000)


def test_ranges(remote: Remote) -> None:
    """A reader would decode bytes of another chunk."""
    data = bytes(range(256)) * 1000
    remote.put("p", data)
    for offset, size in ((0, 1), (255_999, 1), (1000, 100_000), (0, len(data))):
        assert remote.get_range("p", offset, size) == data[offset : offset + size]
    for offset, size in ((255_999, 2), (256_000, 1), (1 << 40, 10)):
        with pytest.raises(RemoteError):
            patient(remote).get_range("p", offset, size)


def patient(remote: Remote) -> Remote:
    """The remote itself, below what sends requests again."""
    if isinstance(remote, SealedRemote):
        return remote  # what is beyond an object's end isn't asked for
    inner: object = vars(remote)["_remote"]
    return cast("Remote", inner)


def stored_bytes(remote: Remote, size: int) -> int:
    """Bytes of an object of `size` bytes as it lies there."""
    return sealed_size(size) if isinstance(remote, SealedRemote) else size


def test_what_comes_piece_by_piece(remote: Remote) -> None:
    """A pack would be kept without its end, or all of it be in memory at once."""
    data = bytes(range(256)) * 4000
    assert remote.stream("p/x/1") is None
    remote.put("p/x/1", data)
    before = replace(remote.stats)
    for offset in (0, 1, 700_001, len(data) - 1):
        found = remote.stream("p/x/1", offset=offset)
        assert found is not None
        assert found.size == len(data)
        pieces = list(found.pieces)
        assert b"".join(pieces) == data[offset:]
        assert max(map(len, pieces)) <= limits.TRANSFER_PIECE_BYTES_MAX
    assert (remote.stats.gets - before.gets, remote.stats.repeated) == (4, 0)
    spare = 4 * SEGMENT_BYTES + 4 * (sealed_size(len(data)) - len(data)) if isinstance(remote, SealedRemote) else 0
    came = remote.stats.received_bytes - before.received_bytes
    assert 3 * len(data) - 700_002 + 1 <= came <= 3 * len(data) - 700_002 + 1 + spare
    begun = remote.stream("p/x/1")
    assert begun is not None
    assert next(begun.pieces) == data[: limits.TRANSFER_PIECE_BYTES_MAX]
    begun.pieces.close()
    assert remote.get("p/x/1") is not None, "its connection is free again"


def test_listing(remote: Remote) -> None:
    """A clone would miss tags, or see those of another prefix."""
    names = ["aliases/m/production", "p/0/1", "sets/aa", "tags/m", "tags/m-x/v1", "tags/m/v1", "tags/m/v1/deep", "x"]
    for name in reversed(names):
        remote.put(name, name.encode())
    assert keys(remote) == sorted(names)
    assert keys(remote, "tags/") == ["tags/m", "tags/m-x/v1", "tags/m/v1", "tags/m/v1/deep"]
    assert keys(remote, "tags/m/") == ["tags/m/v1", "tags/m/v1/deep"]
    assert keys(remote, "tags/m", "tags/m-x/v1") == ["tags/m/v1", "tags/m/v1/deep"]
    assert keys(remote, "none/") == []
    assert {found.size for found in remote.list("p/")} == {5}
    assert (found := remote.get("tags/m")) is not None
    assert found.data == b"tags/m"


def test_long_listings_are_complete(remote: Remote) -> None:
    """A service gives a thousand names at a time."""
    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(remote.put, f"l/{number:04}", b"") for number in range(1100)]:
            future.result()
    assert keys(remote, "l/") == [f"l/{number:04}" for number in range(1100)]
    assert remote.stats.puts == 1100
    assert remote.stats.lists <= 3


def test_deletion(remote: Remote) -> None:
    """Collection is repeated after a crash: what is gone already is no error."""
    remote.put("a", b"x")
    for _ in range(2):
        remote.delete("a")
    assert remote.get("a") is None
    assert keys(remote) == []


def test_conditions(remote: Remote) -> None:
    """Two machines that move one alias would each believe to have done it."""
    first = remote.create("aliases/m/p", b"1")
    assert first is not None
    assert remote.create("aliases/m/p", b"2") is None
    second = remote.swap("aliases/m/p", b"2", first.etag)
    assert second is not None
    assert remote.swap("aliases/m/p", b"3", first.etag) is None
    assert remote.swap("aliases/m/none", b"3", first.etag) is None
    assert (found := remote.get("aliases/m/p")) is not None
    assert (found.data, found.etag) == (b"2", second.etag)
    remote.delete("aliases/m/p")
    assert remote.swap("aliases/m/p", b"3", second.etag) is None
    assert remote.create("aliases/m/p", b"4") is not None


def test_one_of_many_wins(remote: Remote, request: pytest.FixtureRequest) -> None:
    """A tag would name two versions."""
    _require_real(request)
    writers = 8
    for round in range(5):
        start = Barrier(writers)

        def race(number: int, start: Barrier = start, round: int = round) -> bool:
            start.wait()
            return remote.create(f"tags/m/v{round}", b"%d" % number) is not None

        with ThreadPoolExecutor(writers) as pool:
            won = list(pool.map(race, range(writers)))
        assert won.count(True) == 1
        assert (found := remote.get(f"tags/m/v{round}")) is not None
        assert found.data == b"%d" % won.index(True)


def test_a_counter_that_many_raise(remote: Remote, request: pytest.FixtureRequest) -> None:
    """A move of an alias would be lost, or done twice."""
    _require_real(request)
    remote.put("n", b"0")

    def add(_: int) -> None:
        while True:
            found = remote.get("n")
            assert found is not None
            raised = b"%d %s" % (int(found.data.split()[0]) + 1, secrets.token_bytes(8).hex().encode())
            if remote.swap("n", raised, found.etag) is not None:
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert (found := remote.get("n")) is not None
    assert found.data.split()[0] == b"40"


def _require_real(request: pytest.FixtureRequest) -> None:
    if "moto" in request.node.name:
        pytest.skip("moto looks and then writes: in a race two may win now and then (docs/remote.md)")


def test_its_clock_goes(remote: Remote) -> None:
    """Proofs of presence are as old as the remote says, whatever this machine's clock does."""
    first = remote.put("a", b"x").time
    found = remote.get("a")
    assert found is not None
    assert first <= found.time
    assert abs(found.time - time.time()) < 60  # here both clocks are this machine's


def test_requests_and_bytes_are_counted(remote: Remote) -> None:
    """What a push costs is asserted by these numbers."""
    remote.put("a", b"12345")
    remote.create("b", b"123")
    remote.get("a")
    remote.get_range("a", 1, 2)
    remote.head("a")
    list(remote.list(""))
    remote.delete("a")
    stats = remote.stats
    assert (stats.puts, stats.gets, stats.heads, stats.lists, stats.deletes) == (2, 2, 1, 1, 1)
    sent = stored_bytes(remote, 5) + stored_bytes(remote, 3)
    came = stored_bytes(remote, 5) + (SEGMENT_STORED if isinstance(remote, SealedRemote) else 2)
    assert (stats.sent_bytes, stats.received_bytes, stats.repeated, stats.requests) == (sent, came, 0, 7)


def test_it_does_what_push_needs(remote: Remote) -> None:
    """The self-test finds nothing, and leaves nothing."""
    findings = check_remote(remote, rounds=3)
    assert [finding for finding in findings if not finding.ok] == []
    assert keys(remote) == []


def test_a_place_that_is_not_there(where: RemotePlace) -> None:
    """An absent disk or a misspelt bucket must not pass for an empty remote."""
    url = "file:///none/there/remote" if where.url.startswith("file:") else "s3://none-of-that-name/x"
    remote = reaching.open_remote(replace(where, url=url))
    actions: list[Callable[[], object]] = [
        partial(remote.get, "a"),
        partial(keys, remote),
        partial(remote.put, "a", b"x"),
        partial(remote.create, "a", b"x"),
    ]
    for action in actions:
        with pytest.raises(NotFound) as caught:
            action()
        assert caught.value.hint
    remote.close()


def test_a_service_that_is_not_there(remote_place: Place, tmp_path: Path) -> None:
    """It is told which one, and that the network may be missing."""
    place = replace(remote_place("moto"), endpoint="http://127.0.0.1:9")
    remote = reaching.open_remote(place)
    with pytest.raises(RemoteError, match=r"127\.0\.0\.1:9") as caught:
        patient(remote).get("a")
    assert caught.value.transient
    remote.close()


def test_certificates(remote_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever isn't the service gets no credentials and no data; it is told which file to name, and not tried again."""
    place = remote_place("tls")
    whole = place.ca or ""
    (tmp_path / "no.pem").write_text("nothing")
    told = {
        None: "certificate",  # those of the system, none of which vouches for it
        str(new_certificate(tmp_path / "other")): "certificate",
        str(tmp_path / "none.pem"): "none.pem",
        str(tmp_path / "no.pem"): "no.pem",
    }
    for ca, word in told.items():
        with pytest.raises(RemoteError, match=word) as caught:
            reaching.open_remote(replace(place, ca=ca)).get("a")
        assert "--ca" in (caught.value.hint or "")
        assert not caught.value.transient
    monkeypatch.setenv("AWS_CA_BUNDLE", whole)
    remote = reaching.open_remote(replace(place, ca=None))
    assert remote.get("a") is None
    remote.close()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(RemoteError, match=r"none\.pem") as caught:
        reaching.open_remote(replace(place, ca=None))
    assert "AWS_CA_BUNDLE" in (caught.value.hint or "")
    assert reaching.open_remote(place).get("a") is None, "what is said of the remote goes before"


@pytest.mark.parametrize("url", ["s3:bucket", "s3://", "file://host/x", "file:x", "http://x/y", "x"])
def test_what_is_no_url(url: str) -> None:
    """A typing mistake is told at once, with how it is written."""
    with pytest.raises(UsageError) as caught:
        reaching.open_remote(RemotePlace(url=url))
    assert "write" in (caught.value.hint or "")
