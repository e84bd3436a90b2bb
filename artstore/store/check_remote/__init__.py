"""Checking what lies at a remote: names, sets, shards and packs, and if it is wanted each object in them."""

from artstore.store.check_remote.report import FarProblem, FarProblemKind, RemoteCheckReport
from artstore.store.check_remote.service import check_remote

__all__ = ["FarProblem", "FarProblemKind", "RemoteCheckReport", "check_remote"]
