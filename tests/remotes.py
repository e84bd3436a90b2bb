"""Remotes for tests: a folder, an S3 service in this process, and a real one."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import uuid
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from artstore.model import RemotePlace
from artstore.testing import ceph
from artstore.testing.fault_proxy import FaultProxy
from artstore.wiring import reaching

IAM = Path(__file__).resolve().parent.parent / "packaging" / "iam"
KEYS = {"AWS_ACCESS_KEY_ID": ceph.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": ceph.SECRET_KEY}
# Nothing of the machine's own account may be used, or asked for.
ENVIRONMENT = {
    **KEYS,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def moto_server() -> Generator[str]:
    """moto's S3 in a thread; its URL."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def ceph_server(folder: Path) -> Generator[str]:
    """A Ceph that all processes of a run share; its URL."""
    if not ceph.is_installed():
        pytest.skip("NOT TESTED WITH A REAL S3 SERVICE: apt install ceph-mon ceph-osd radosgw ceph-common")
    failed = folder / "failed"
    if failed.exists():
        pytest.skip(failed.read_text())
    with ExitStack() as stack:
        try:
            url = stack.enter_context(ceph.shared(folder))
        except RuntimeError as error:  # this machine is too small for it, or forbids it something
            failed.write_text(f"NOT TESTED WITH A REAL S3 SERVICE: {error}")
            pytest.skip(failed.read_text())
        yield url


def address(endpoint: str | None) -> tuple[str, int]:
    """Where a service listens."""
    parts = urlsplit(endpoint or "")
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def new_certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody but itself vouches for; its key lies beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("NOT TESTED OVER TLS: apt install openssl")
    folder.mkdir(parents=True)
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run([*words, *files], check=True, capture_output=True)
    return folder / "certificate.pem"


@contextmanager
def tls_server(endpoint: str, certificate: Path) -> Generator[str]:
    """TLS before a service; its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with FaultProxy(address(endpoint), lambda _method, _path: None, tls=context) as proxy:
        yield proxy.url


def over_tls(place: RemotePlace, url: str, certificate: Path) -> RemotePlace:
    """The same place, reached through that."""
    return replace(place, endpoint=url, ca=str(certificate))


def client_of(place: RemotePlace) -> Any:
    """boto3's own client for a place, as its profile, else as whom the service was made for. Any: it has no types."""
    import boto3
    from botocore.config import Config

    own = {"aws_access_key_id": ceph.ACCESS_KEY, "aws_secret_access_key": ceph.SECRET_KEY}
    keys: Any = {} if place.profile else own
    session: Any = boto3.Session(profile_name=place.profile, region_name="us-east-1", **keys)
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return session.client("s3", endpoint_url=place.endpoint, config=config)


def bucket_of(place: RemotePlace) -> str:
    """The bucket of a place."""
    return urlsplit(place.url).netloc


def new_bucket(endpoint: str) -> RemotePlace:
    """A place in a bucket that nobody has used."""
    place = RemotePlace(url=f"s3://b-{uuid.uuid4()}/some/prefix", endpoint=endpoint)
    client = client_of(place)
    client.create_bucket(Bucket=bucket_of(place))
    client.close()
    return place


def new_folder(path: Path) -> RemotePlace:
    """A place in a folder that isn't there yet."""
    return RemotePlace(url=f"file://{path / 'remote'}")


Statement = dict[str, Any]
"""A statement of a policy, as IAM writes it. Any: it has texts, lists and maps."""


def policy(name: str, place: RemotePlace) -> list[Statement]:
    """What packaging/iam/NAME.json allows at a place."""
    text = (IAM / f"{name}.json").read_text()
    filled = text.replace("BUCKET", bucket_of(place)).replace("PREFIX", urlsplit(place.url).path.strip("/"))
    statements: list[Statement] = json.loads(filled)["Statement"]
    return statements


@dataclass
class Landlord:
    """Who owns a bucket of the real service; others may do there what its policy allows, and nothing else."""

    place: RemotePlace
    folder: Path
    credentials: Path
    _allowed: dict[str, list[Statement]] = field(default_factory=dict[str, list[Statement]])
    _users: dict[str, ceph.User] = field(default_factory=dict[str, ceph.User])

    def let_in(self, name: str, statements: list[Statement]) -> RemotePlace:
        """Let somebody do what these say and no more; the place as he reaches it, by a profile of that name."""
        if name not in self._users:
            user = self._users[name] = ceph.add_user(self.folder)
            with self.credentials.open("a") as file:
                file.write(
                    f"[{name}]\naws_access_key_id = {user.access_key}\naws_secret_access_key = {user.secret_key}\n"
                )
        self._allowed[name] = statements
        self._put_policy()
        return replace(self.place, profile=name)

    def user(self, name: str) -> ceph.User:
        """Who that is to the service."""
        return self._users[name]

    def listed(self, prefix: str = "") -> list[str]:
        """What lies there."""
        remote = reaching.open_remote(self.place)
        try:
            return [found.key for found in remote.list(prefix)]
        finally:
            remote.close()

    def _put_policy(self) -> None:
        # What others write is theirs; an account of AWS's sees to it that it is the owner's.
        everything = [f"arn:aws:s3:::{bucket_of(self.place)}", f"arn:aws:s3:::{bucket_of(self.place)}/*"]
        owner: Statement = {"Effect": "Allow", "Action": ["s3:*"], "Resource": everything}
        told = [{**owner, "Principal": {"AWS": ["arn:aws:iam:::user/test"]}}]
        for name, statements in self._allowed.items():
            told += [{**each, "Principal": {"AWS": [self._users[name].arn]}} for each in statements]
        client = client_of(self.place)
        text = json.dumps({"Version": "2012-10-17", "Statement": told})
        client.put_bucket_policy(Bucket=bucket_of(self.place), Policy=text)
        client.close()
