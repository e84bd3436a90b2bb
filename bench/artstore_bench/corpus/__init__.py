"""The corpora: seeded, made once, kept in the work folder and made anew when a file of theirs was touched."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from artstore_bench.corpus._recipes import RECIPES, RECIPES_VERSION
from artstore_bench.trees import FileRow, Manifest, is_untouched, write_file

__all__ = ["DESCRIPTIONS", "NAMES", "Corpus", "ensure"]

NAMES: Final = tuple(RECIPES)
DESCRIPTIONS: Final[Mapping[str, str]] = {
    "model": "1 GiB of bf16 safetensors in 4 shards; v2 fine-tuned: a tenth changed, a small tensor inserted",
    "dataset": "1 GiB in 2,000 mixed files; v2: 5 % edited, 1 % removed, 2 % renamed, 2 % new",
    "small": "50,000 files of 1-8 KiB",
    "edits": "one file of 2 GiB; v2: 20 random edits of 1 MiB",
    "mount": "1 GiB of text and numbers in 2 files, half a GiB of media, 50,000 files of 4 KiB in one folder",
}


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus on disk: its trees lie at `folder/v1` and, if it has a second version, `folder/v2`."""

    name: str
    folder: Path
    manifests: Mapping[str, Manifest]

    def tree(self, version: str) -> Path:
        """The folder of one version."""
        return self.folder / version


class _Record(msgspec.Struct, frozen=True):
    recipes_version: int
    scale: float
    manifests: dict[str, Manifest]


def ensure(name: str, *, folder: Path, scale: float, tell: Callable[[str], None]) -> Corpus:
    """The corpus below `folder`, generated unless it is there untouched."""
    home = folder / f"{name}-{scale:g}"
    record = _read(home / "manifest.json")
    if record is None or not _is_current(record, home, scale):
        tell(f"making corpus {name}")
        record = _generate(name, home, scale)
    return Corpus(name, home, record.manifests)


def _read(path: Path) -> _Record | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _is_current(record: _Record, home: Path, scale: float) -> bool:
    if (record.recipes_version, record.scale) != (RECIPES_VERSION, scale):
        return False
    return all(is_untouched(home / tree, manifest) for tree, manifest in record.manifests.items())


def _generate(name: str, home: Path, scale: float) -> _Record:
    shutil.rmtree(home, ignore_errors=True)
    rows: dict[str, list[FileRow]] = {}
    for content in RECIPES[name](scale):
        rows.setdefault(content.tree, []).append(write_file(home / content.tree, content.path, content.blocks))
    manifests = {tree: Manifest(tuple(sorted(files, key=lambda row: row.path))) for tree, files in rows.items()}
    record = _Record(RECIPES_VERSION, scale, manifests)
    # The manifest comes last: a generation that was interrupted is made again.
    (home / "manifest.json").write_bytes(msgspec.json.encode(record))
    return record
