"""Bytes to values and back: frames, packs, pages, documents. No I/O."""
