"""Bodies move piece by piece, as they are let pass: for a folder, an S3 double and a real S3 service."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO
from unittest.mock import Mock

import pytest

from artstore.adapters.remote_folder import FolderRemote
from artstore.adapters.s3 import S3Remote
from artstore.errors import RemoteError
from artstore.model import RemotePlace
from artstore.ports import Remote
from artstore.testing.fault_proxy import Fault, FaultProxy
from tests.remotes import address, new_bucket, over_tls, tls_server

KINDS = ["folder", "moto", "ceph", "tls"]
PIECE = 10_000
DATA = bytes(range(256)) * 4000
Place = Callable[[str], RemotePlace]


class Recorder:
    """Lets everything pass, and keeps what was asked for."""

    piece_bytes = PIECE

    def __init__(self) -> None:
        self.pieces: list[int] = []

    def passing(self, size: int) -> None:
        self.pieces.append(size)

    def take(self) -> list[int]:
        pieces, self.pieces = [size for size in self.pieces if size], []
        return pieces


@pytest.fixture
def pace() -> Recorder:
    return Recorder()


def opened(place: RemotePlace, pace: Recorder) -> Remote:
    return FolderRemote(place, pace) if place.url.startswith("file:") else S3Remote(place, pace)


@pytest.fixture(params=KINDS)
def remote(request: pytest.FixtureRequest, remote_place: Place, pace: Recorder) -> Iterator[Remote]:
    made = opened(remote_place(request.param), pace)
    yield made
    made.close()


def test_each_byte_passes_once_in_pieces(remote: Remote, pace: Recorder, tmp_path: Path) -> None:
    """A limit would hold between requests only, and 64 MiB would come at once; signatures must not cost."""
    remote.put("a", DATA)
    check(pace.take(), len(DATA))
    (tmp_path / "body").write_bytes(DATA)
    with open(tmp_path / "body", "rb") as body:
        remote.put("b", body)
    check(pace.take(), len(DATA))
    for key in ("a", "b"):
        found = remote.get(key)
        assert found is not None
        assert found.data == DATA
        check(pace.take(), len(DATA))
    assert remote.get_range("a", 100, 500_000) == DATA[100:500_100]
    check(pace.take(), 500_000)
    remote.create("c", b"small")
    assert sum(pace.take()) == 5


def check(pieces: list[int], size: int) -> None:
    assert sum(pieces) == size
    assert max(pieces) <= PIECE


def test_checksums_behind_the_body(
    services: Callable[[str], str],
    remote_place: Place,
    certificate: Callable[[], Path],
    pace: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As AWS is spoken to over TLS: in chunks with a checksum at the end, whose bytes pass, too."""
    remote_place("moto")  # sets the keys
    monkeypatch.setattr("artstore.adapters.s3.client._is_foreign", Mock(return_value=False))
    with tls_server(services("moto"), certificate()) as url:
        remote = S3Remote(replace(over_tls(new_bucket(services("moto")), url, certificate()), addressing="path"), pace)
        for body in (DATA, io.BytesIO(DATA)):
            remote.put("a", body)
            pieces = pace.take()
            assert len(DATA) < sum(pieces) < 1.001 * len(DATA)
            assert max(pieces) <= PIECE
            found = remote.get("a")
            assert found is not None
            assert found.data == DATA
            check(pace.take(), len(DATA))
        remote.close()


@pytest.mark.parametrize("body", [DATA, io.BytesIO(DATA)], ids=["bytes", "file"])
def test_a_refusal_before_the_body(remote_place: Place, pace: Recorder, body: bytes | IO[bytes]) -> None:
    """At a low rate a refused pack would be waited for as if it were sent."""
    place = remote_place("moto")
    faults = [Fault.SLOW_DOWN]
    with FaultProxy(address(place.endpoint), lambda method, path: faults.pop() if faults else None) as proxy:
        remote = S3Remote(replace(place, endpoint=proxy.url), pace)
        with pytest.raises(RemoteError) as refused:
            remote.put("a", body)
        assert refused.value.overloaded
        assert refused.value.transient
        if not isinstance(body, bytes):  # a file's size is told first, and the answer waited for
            assert pace.take() == []
        pace.take()
        remote.put("a", body)
        check(pace.take(), len(DATA))
        remote.close()
