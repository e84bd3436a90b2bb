"""Remotes in a folder: a NAS, a mounted disk, the demo."""

from artstore.adapters.remote_folder.remote import FolderRemote

__all__ = ["FolderRemote"]
