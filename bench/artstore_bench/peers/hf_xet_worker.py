"""Calls hf-xet for one question; a script, run by the Python that has the package.

usage: hf_xet_worker.py ENDPOINT add|restore|hash FOLDER LIST
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast


class _Stored(Protocol):
    hash: str
    file_size: int


class _Engine(Protocol):
    """What hf-xet 1.8 offers; the package has no types of its own."""

    def upload_files(
        self,
        file_paths: list[str],
        endpoint: str,
        token_info: None,
        token_refresher: None,
        progress_updater: None,
        _repo_type: None,
        *,
        skip_sha256: bool,
    ) -> list[_Stored]: ...

    def download_files(
        self, files: list[object], endpoint: str, token_info: None, token_refresher: None, progress_updater: None
    ) -> list[str]: ...

    def hash_files(self, file_paths: list[str]) -> list[_Stored]: ...

    def PyXetDownloadInfo(self, destination_path: str, hash: str, file_size: int) -> object: ...  # noqa: N802 -- hf-xet's own names


def main(endpoint: str, verb: str, folder: Path, listing: Path) -> None:
    """Do one thing with all files below `folder`."""
    engine = cast("_Engine", import_module("hf_xet"))
    if verb == "restore":
        rows = json.loads(listing.read_text())
        for parent in {(folder / path).parent for path, _, _ in rows}:
            parent.mkdir(parents=True, exist_ok=True)
        wanted = [engine.PyXetDownloadInfo(str(folder / path), name, size) for path, name, size in rows]
        engine.download_files(wanted, endpoint, None, None, None)
        return
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [str(path) for path in paths]
    stored = (
        engine.hash_files(names)
        if verb == "hash"
        else engine.upload_files(names, endpoint, None, None, None, None, skip_sha256=True)
    )
    rows = [
        (str(path.relative_to(folder)), item.hash, item.file_size) for path, item in zip(paths, stored, strict=True)
    ]
    listing.write_text(json.dumps(rows))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
