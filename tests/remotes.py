"""Remotes for tests: a folder, an S3 service in this process, and a real one."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import uuid
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from artstore.model import RemotePlace
from artstore.testing import ceph
from artstore.testing.fault_proxy import FaultProxy

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


def new_bucket(endpoint: str) -> RemotePlace:
    """A place in a bucket that nobody has used."""
    import boto3
    from botocore.config import Config

    bucket = f"b-{uuid.uuid4()}"
    session: Any = boto3.Session(
        aws_access_key_id=ceph.ACCESS_KEY, aws_secret_access_key=ceph.SECRET_KEY, region_name="us-east-1"
    )
    client = session.client("s3", endpoint_url=endpoint, config=Config(s3={"addressing_style": "path"}))
    client.create_bucket(Bucket=bucket)
    client.close()
    return RemotePlace(url=f"s3://{bucket}/some/prefix", endpoint=endpoint)


def new_folder(path: Path) -> RemotePlace:
    """A place in a folder that isn't there yet."""
    return RemotePlace(url=f"file://{path / 'remote'}")
