"""Packs as files: STORE/tmp/<32 hex>.pack while one is written, STORE/packs/<first 2 hex>/<32 hex>.pack once sealed."""

from artstore.adapters.packs.files import FilePacks
from artstore.adapters.packs.sink import pack_path

__all__ = ["FilePacks", "pack_path"]
