"""Bodies that move piece by piece, so that a limit holds within one request and who watches sees them move."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any, Final, cast

from artstore import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.awsrequest import AWSPreparedRequest
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

    from artstore.ports import Pace

_BEFORE_SENDING: Final = "before-send.s3.PutObject"


def pace_bodies(client: S3Client, pace: Pace) -> None:
    """Let all that a client sends pass so. Signatures and checksums are made before that, of the whole body."""

    def handle(request: AWSPreparedRequest, **_: object) -> None:
        body: Any = request.body  # Any: bytes or a file, which its type doesn't say
        if isinstance(body, bytes | bytearray):
            if len(body) <= limits.TRANSFER_PIECE_BYTES_MIN:
                pace.passing(len(body))
                return
            body = io.BytesIO(body)
        if body is not None:
            paced = _PacedFile(body, pace)
            # In chunks only what is read is framed.
            request.body = cast("Any", paced if "Transfer-Encoding" in request.headers else _PacedBody(paced))

    client.meta.events.register_last(_BEFORE_SENDING, handle)


def read_paced(body: StreamingBody, pace: Pace | None) -> bytes:
    """All of an answer's body."""
    if pace is None:
        return body.read()
    return b"".join(paced_pieces(body, pace))


def paced_pieces(body: StreamingBody, pace: Pace | None) -> Iterator[bytes]:
    """The same, as it comes."""
    while piece := body.read(limits.TRANSFER_PIECE_BYTES_MAX if pace is None else pace.piece_bytes):
        if pace is not None:
            pace.passing(len(piece))
        yield piece


class _PacedFile:
    """A file that is read at the rate that is allowed."""

    def __init__(self, body: IO[bytes], pace: Pace) -> None:
        self._body = body
        self._pace = pace

    def read(self, size: int) -> bytes:
        """The next piece, as large as the pace wants it: http.client takes what it gets."""
        del size
        piece = self._body.read(self._pace.piece_bytes)
        self._pace.passing(len(piece))
        return piece

    def seek(self, position: int) -> None:
        """As botocore begins anew."""
        self._body.seek(position)


class _PacedBody:
    """A body of one part, which is a file: http.client reads it when it sends it, and only then.

    A body that is a file itself would be read to its end, at the rate that is allowed, when the service has refused
    the request already.
    """

    def __init__(self, file: _PacedFile) -> None:
        self._file = file

    def __iter__(self) -> Iterator[_PacedFile]:
        yield self._file

    def seek(self, position: int) -> None:
        """As botocore begins anew."""
        self._file.seek(position)
