"""Collection: frees what nothing leads to, with a week to undo.

A plan tells what would go; carrying it out condemns packs in one transaction, deletes what was condemned a week before,
and rewrites packs that are mostly dead. See `planning.roots` and `planning.gc` for the decisions.
"""

from artstore.store.collect.plan import Freeing, GcPlan, GoingVersion, OnlyPath, gc_plan, only_paths
from artstore.store.collect.service import GcResult, gc
from artstore.store.collect.undo import UndoResult, undo

__all__ = [
    "Freeing",
    "GcPlan",
    "GcResult",
    "GoingVersion",
    "OnlyPath",
    "UndoResult",
    "gc",
    "gc_plan",
    "only_paths",
    "undo",
]
