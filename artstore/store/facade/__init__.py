"""One opened store, as programs use it: everything that can be done to versions, files and names.

A thin face: it turns revisions into ids and calls the services. How a store is found, made and configured is
`artstore.Store`'s, which builds on this.
"""

from artstore.store.facade.base import AnyPath, Connection, Rev
from artstore.store.facade.keeping import Keeping
from artstore.store.facade.making import Making
from artstore.store.facade.naming import Naming
from artstore.store.facade.reading import LogEntry, Reading

__all__ = ["AnyPath", "Connection", "LogEntry", "Rev", "Store"]


class Store(Making, Reading, Naming, Keeping):
    """An opened store. Thread-safe; usable in forked children; a context manager that closes it."""
