"""Remotes on S3 and on services that speak its protocol. The only owner of boto3."""

from artstore.adapters.s3.remote import S3Remote

__all__ = ["S3Remote"]
