"""Encryption: the ports of packs, the cache and remotes, each around another one of the same kind.

Above them everything is as in a store that isn't encrypted; below them there are sealed bytes only.
"""

from artstore.store.sealed.cache import SealedCache
from artstore.store.sealed.keychain import Keychain
from artstore.store.sealed.packs import SealedPacks
from artstore.store.sealed.remote import SealedRemote

__all__ = ["Keychain", "SealedCache", "SealedPacks", "SealedRemote"]
