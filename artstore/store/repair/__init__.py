"""Repairing a store, going by what a check found."""

from artstore.store.repair.report import RepairReport
from artstore.store.repair.service import repair

__all__ = ["RepairReport", "repair"]
