"""Decisions as values: what to keep, what to remove, what to ignore. No I/O."""
