"""Doubles that keep the contracts of the ports, and faults to put between a service and its ports.

Shipped, so that who builds on artstore can test without a disk and sweep over every failure.
"""

from artstore.testing.faults import Faults, FaultyIndex, FaultyPacks
from artstore.testing.memory import MemoryPacks, MemorySessions, SettableClock
from artstore.testing.memory_index import MemoryIndex
from artstore.testing.memory_remote import Bucket, Lost, MemoryRemote

__all__ = [
    "Bucket",
    "Faults",
    "FaultyIndex",
    "FaultyPacks",
    "Lost",
    "MemoryIndex",
    "MemoryPacks",
    "MemoryRemote",
    "MemorySessions",
    "SettableClock",
]
