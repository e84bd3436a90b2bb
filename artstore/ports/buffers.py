"""Bytes as they are handed over."""

from __future__ import annotations

from typing import IO

Buffer = bytes | bytearray | memoryview
Body = bytes | IO[bytes]
