"""Making a store's index anew from its packs and refs.log [I8]."""

from artstore.store.rebuild.report import RebuildReport
from artstore.store.rebuild.service import RebuildPorts, rebuild_index

__all__ = ["RebuildPorts", "RebuildReport", "rebuild_index"]
