"""Makes a client of a service: where it is, as whom, and how it is spoken to.

Credentials come from where all AWS tools look: environment, profile, instance. Retries are not the client's: it can't
know what a lost reply means.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Any, Final, Literal

import boto3
from botocore.config import Config
from botocore.loaders import create_loader
from botocore.session import get_session

from artstore import limits
from artstore.adapters.s3.errors import CERTIFICATES, translating
from artstore.errors import RemoteError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from artstore.model import RemotePlace

_REGION: Final = "us-east-1"  # what services take that have none
_LOADER: Final = create_loader()  # of descriptions of services, which take longer to read than all else of a client


def make_client(place: RemotePlace, bucket: str) -> S3Client:
    """A client for one bucket. NotPermitted if there is no such profile, RemoteError without its certificates."""
    ca = place.ca or os.environ.get("AWS_CA_BUNDLE")
    if ca and not (place.endpoint or "").startswith("http:"):
        _require_certificates(place.url, ca)
    with translating("use", place.url, bucket):
        # Any: its methods name services whose types aren't installed.
        core: Any = get_session()
        core.register_component("data_loader", _LOADER)
        session: Any = boto3.Session(botocore_session=core, profile_name=place.profile, region_name=place.region)
        foreign = _is_foreign(session, place)
        client: S3Client = session.client(
            "s3",
            region_name=session.region_name or _REGION,
            endpoint_url=place.endpoint,
            verify=place.ca,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": _addressing(place, foreign=foreign)},
                # Others than AWS refuse checksums that come behind the body over TLS.
                request_checksum_calculation="when_required" if foreign else "when_supported",
                response_checksum_validation="when_required" if foreign else "when_supported",
                retries={"total_max_attempts": 1},
                connect_timeout=limits.REMOTE_CONNECT_S_MAX,
                read_timeout=limits.REMOTE_READ_S_MAX,
                max_pool_connections=limits.REMOTE_CONNECTIONS_MAX,
                tcp_keepalive=True,
            ),
        )
        return client


def _require_certificates(url: str, file: str) -> None:
    """Before the first request, whose failure would name neither the file nor what is wrong with it."""
    try:
        ssl.create_default_context(cafile=file)
    except (OSError, ValueError) as error:
        raise RemoteError(f"can't use {url}: no certificates in {file}: {error}", hint=CERTIFICATES) from error


def _addressing(place: RemotePlace, *, foreign: bool) -> Literal["auto", "virtual", "path"]:
    if place.addressing == "virtual":
        return "virtual"
    return "path" if foreign or place.addressing == "path" else "auto"


def _is_foreign(session: Any, place: RemotePlace) -> bool:
    """Is the service another one than AWS's own? It may be named here, in the environment or in AWS's files."""
    if place.endpoint is not None:
        return True
    probe = session.client("s3", region_name=session.region_name or _REGION)
    return ".amazonaws.com" not in str(probe.meta.endpoint_url)
