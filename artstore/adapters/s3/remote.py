"""One prefix of a bucket as a remote: each call is one request, but for listings.

Conditional writes are S3's own: `If-None-Match: *` and `If-Match` of PutObject.
"""

from __future__ import annotations

import time
from contextlib import closing
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from artstore.adapters.s3.client import make_client
from artstore.adapters.s3.errors import is_absent, is_hidden, is_lost, is_unchanged, translating
from artstore.adapters.s3.pacing import pace_bodies, paced_pieces, read_paced
from artstore.errors import RemoteError, UsageError
from artstore.model import UNCHANGED, Fetched, Listed, RemotePlace, RemoteStats, Unchanged, Written
from artstore.ports import Streamed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

    from artstore.ports import Body, Pace

_SCHEME: Final = "s3://"


class S3Remote:
    """`s3://BUCKET/PREFIX`; as `artstore.ports.Remote`."""

    def __init__(self, place: RemotePlace, pace: Pace | None = None) -> None:
        self._url = place.url.rstrip("/")
        self._bucket, _, prefix = place.url.removeprefix(_SCHEME).partition("/")
        if not place.url.startswith(_SCHEME) or not self._bucket:
            raise UsageError(f"{place.url!r} is no URL of a bucket", hint="write s3://BUCKET/PREFIX")
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._stats = RemoteStats()
        self._lock = Lock()
        self._pace = pace
        self._client = make_client(place, self._bucket)
        if pace is not None:
            pace_bodies(self._client, pace)

    @property
    def url(self) -> str:
        return self._url

    @property
    def stats(self) -> RemoteStats:
        return self._stats

    def get(self, key: str) -> Fetched | None:
        found = self._get(key, {})
        assert found is not UNCHANGED
        return found

    def stream(self, key: str, *, offset: int = 0) -> Streamed | None:
        with translating("read", self._name(key), self._bucket):
            answer = self._ask(key, {"Range": f"bytes={offset}-"} if offset else {})
        if answer is None:
            return None
        assert not isinstance(answer, Unchanged)
        is_part = "ContentRange" in answer
        size = answer["ContentLength"] + (offset if is_part else 0)
        # A service that knows no ranges sends all of it.
        return Streamed(size, self._pieces(key, answer, skip=0 if is_part else offset))

    def poll(self, key: str, etag: str) -> Fetched | Unchanged | None:
        return self._get(key, {"IfNoneMatch": etag})

    def get_range(self, key: str, offset: int, size: int) -> bytes | None:
        assert size > 0
        self._count(gets=1)
        with translating("read", self._name(key), self._bucket):
            try:
                answer = self._client.get_object(
                    Bucket=self._bucket, Key=self._prefix + key, Range=f"bytes={offset}-{offset + size - 1}"
                )
            except ClientError as error:
                if self._is_gone(key, error):
                    return None
                if error.response.get("Error", {}).get("Code") == "InvalidRange":
                    raise RemoteError(f"{self._name(key)} ends before byte {offset}") from error
                raise
            data = read_paced(answer["Body"], self._pace)
        self._count(received_bytes=len(data))
        if len(data) > size and len(data) > offset + size:  # a service that knows no ranges sends all of it
            data = data[offset : offset + size]
        if len(data) != size:
            raise RemoteError(
                f"{self._name(key)}: {len(data)} bytes came instead of {size} from byte {offset}",
                transient=not _ends_before(answer.get("ContentRange", ""), offset + size),
            )
        return data

    def head(self, key: str) -> Listed | None:
        self._count(heads=1)
        with translating("look at", self._name(key), self._bucket):
            try:
                answer = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
            except ClientError as error:
                if self._is_gone(key, error):
                    return None
                raise
        return Listed(key, answer["ContentLength"], answer["LastModified"].timestamp())

    def put(self, key: str, body: Body) -> Written:
        written = self._put(key, body, {})
        if written is None:
            raise RemoteError(f"{self._name(key)} was refused as if it had been a conditional write")
        return written

    def create(self, key: str, data: bytes) -> Written | None:
        return self._put(key, data, {"IfNoneMatch": "*"})

    def swap(self, key: str, data: bytes, etag: str) -> Written | None:
        return self._put(key, data, {"IfMatch": etag})

    def delete(self, key: str) -> None:
        self._count(deletes=1)
        with translating("delete", self._name(key), self._bucket):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def list(self, prefix: str, *, after: str = "") -> Iterator[Listed]:
        token: dict[str, str] = {"StartAfter": self._prefix + after} if after else {}
        while True:
            self._count(lists=1)
            with translating("list", self._name(prefix), self._bucket):
                # Any: of the options only one is there at a time, which their type can't say.
                options: Any = token
                page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix + prefix, **options)
            for found in page.get("Contents", ()):
                if "Key" in found and "Size" in found and "LastModified" in found:
                    key = found["Key"].removeprefix(self._prefix)
                    yield Listed(key, found["Size"], found["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def close(self) -> None:
        self._client.close()

    def _get(self, key: str, condition: Mapping[str, str]) -> Fetched | Unchanged | None:
        with translating("read", self._name(key), self._bucket):
            answer = self._ask(key, condition)
            if answer is None or isinstance(answer, Unchanged):
                return answer
            data = read_paced(answer["Body"], self._pace)
        self._require(key, len(data), answer["ContentLength"])
        return Fetched(data, _bare(answer["ETag"]), _time(answer["ResponseMetadata"]["HTTPHeaders"]))

    def _pieces(self, key: str, answer: GetObjectOutputTypeDef, *, skip: int) -> Generator[bytes]:
        body, came = answer["Body"], 0
        with closing(body), translating("read", self._name(key), self._bucket):
            for piece in paced_pieces(body, self._pace):
                rest = piece[max(0, skip - came) :]
                came += len(piece)
                if rest:
                    yield rest
        self._require(key, came, answer["ContentLength"])

    def _ask(self, key: str, condition: Mapping[str, str]) -> GetObjectOutputTypeDef | Unchanged | None:
        """Have an object come, all of it but for a `Range`."""
        self._count(gets=1)
        try:
            options: Any = condition  # Any: which one it is, its type can't say
            return self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, **options)
        except ClientError as error:
            if self._is_gone(key, error):
                return None
            if condition and is_unchanged(error):
                return UNCHANGED
            raise

    def _put(self, key: str, body: Body, condition: Mapping[str, str]) -> Written | None:
        size = len(body) if isinstance(body, bytes) else body.seek(0, 2)
        if not isinstance(body, bytes):
            body.seek(0)
        self._count(puts=1)
        with translating("write", self._name(key), self._bucket):
            try:
                options: Any = condition  # Any: which condition it is, its type can't say
                answer = self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=body, **options)
            except ClientError as error:
                # Whoever asks for what is gone to be as it was is told that it isn't.
                if condition and (is_lost(error) or ("IfMatch" in condition and is_absent(error))):
                    return None
                raise
        self._count(sent_bytes=size)
        return Written(_bare(answer["ETag"]), _time(answer["ResponseMetadata"]["HTTPHeaders"]))

    def _is_gone(self, key: str, error: ClientError) -> bool:
        """Was an object refused because there is none?

        With a right to list one prefix only, what is missing below it is refused: a listing tells. It also says why,
        where the refusal of a HEAD had no body.
        """
        if is_absent(error):
            return True
        if not is_hidden(error):
            return False
        self._count(lists=1)
        name = self._prefix + key
        with translating("look for", self._name(key), self._bucket):
            page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=name, MaxKeys=1)
        return all(found.get("Key") != name for found in page.get("Contents", ()))

    def _require(self, key: str, size: int, told: int) -> None:
        if size != told:
            raise RemoteError(f"{self._name(key)}: {size} of {told} bytes came", transient=True)
        self._count(received_bytes=size)

    def _name(self, key: str) -> str:
        return f"{self._url}/{key}"

    def _count(self, **added: int) -> None:
        with self._lock:
            for name, value in added.items():
                setattr(self._stats, name, getattr(self._stats, name) + value)


def _ends_before(told: str, end: int) -> bool:
    """Is an object shorter than what was asked for? As its Content-Range tells: `bytes 0-9/20`."""
    size = told.rpartition("/")[2]
    return size.isascii() and size.isdigit() and int(size) < end


def _bare(etag: str) -> str:
    """Ceph compares what it is given with its quotes."""
    return etag.strip('"')


def _time(headers: Mapping[str, str]) -> float:
    """The service's clock; a service that doesn't tell has this machine's."""
    told = headers.get("date")
    if told is None:
        return time.time()
    try:
        return parsedate_to_datetime(told).timestamp()
    except ValueError as error:
        raise RemoteError(f"the remote's clock says {told!r}") from error
