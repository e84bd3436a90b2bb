"""Repairing what lies at a remote, going by what a check found there."""

from artstore.store.repair_remote.report import RemoteRepairReport
from artstore.store.repair_remote.service import repair_remote

__all__ = ["RemoteRepairReport", "repair_remote"]
