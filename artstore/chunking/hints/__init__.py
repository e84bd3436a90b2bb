"""Format-aware starts."""
