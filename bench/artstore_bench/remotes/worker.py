"""boto3 as its documentation uses it: the files of a folder to a bucket and back. Run as a process of its own.

`create|upload|download ENDPOINT BUCKET [FOLDER]`; credentials come from the environment.
"""

# boto3's methods name services whose types aren't installed.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def main(action: str, endpoint: str, bucket: str, folder: str = "") -> None:
    """Do one thing."""
    client: S3Client = boto3.client("s3", endpoint_url=endpoint, config=Config(s3={"addressing_style": "path"}))
    if action == "create":
        client.create_bucket(Bucket=bucket)
    elif action == "upload":
        upload(client, bucket, Path(folder))
    else:
        download(client, bucket, Path(folder))


def upload(client: S3Client, bucket: str, source: Path) -> None:
    """One file after the other; s3transfer sends each in parts of 8 MiB, ten at once."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            client.upload_file(str(path), bucket, path.relative_to(source).as_posix())


def download(client: S3Client, bucket: str, target: Path) -> None:
    """The same in the other direction."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", ()):
            assert "Key" in found
            path = target / found["Key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, found["Key"], str(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
