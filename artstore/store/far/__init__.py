"""Reading what isn't here: chunks come from remotes, a range at a time, and are kept in a bounded cache."""

from artstore.store.far.source import FarSource

__all__ = ["FarSource"]
