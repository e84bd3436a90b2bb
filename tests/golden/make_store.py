"""Makes the golden store of a format: `python tests/golden/make_store.py NUMBER`. Run once, when a format is new.

What it commits is derived from seeds, so that the test can commit the same again and ask for the same ids.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from pathlib import Path

from artstore.chunking import CHUNKER_ID
from artstore.model import Digest, Kind, Metadata
from artstore.store import refs
from artstore.store.commit import Naming, Said, commit
from artstore.store.read import open_file, walk
from artstore.testing.local_store import Opened, create, opened

STORES = Path(__file__).parent / "stores"
MESSAGES = {1: "the first", 2: "the second"}


def fill(folder: Path, version: int) -> None:
    """The content of a version: every kind of entry, chunk, codec and page that the format knows."""
    rng = random.Random(2026)
    noise = rng.randbytes(240_000)
    words = " ".join(rng.choice(("gradient", "tensor", "epoch", "loss")) for _ in range(40_000)).encode()
    if version == 2:
        noise = noise[:100_000] + b"inserted" + noise[100_000:]
        words = words.replace(b"epoch", b"step", 7)
    header = b'{"w":{"dtype":"U8","shape":[120000],"data_offsets":[0,120000]},"b":{"dtype":"U8","shape":[1],'
    header += b'"data_offsets":[120000,120001]}}'
    header += b" " * (-len(header) % 8)
    tensors = len(header).to_bytes(8, "little") + header + rng.randbytes(120_001)
    files = {
        "empty": b"",
        "one": b"a single chunk\n",
        "run.sh": b"#!/bin/sh\n",
        "data/noise.bin": noise,
        "data/words.txt": words,
        "data/zeros": bytes(600_000),
        "model.safetensors": tensors,
    }
    files |= {f"many/{number:04}.json": b'{"id": %d}' % number for number in range(700)}
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "run.sh").chmod(0o755)
    (folder / os.fsdecode(b"not \xff utf-8")).write_bytes(b"bytes")
    (folder / "hollow").mkdir(exist_ok=True)
    if not (folder / "link").is_symlink():
        (folder / "link").symlink_to("data/zeros")


def commit_version(store: Opened, folder: Path, version: int) -> Digest:
    """Commit what the folder holds, with metadata of every type."""
    metadata = Metadata(
        params={"lr": 0.1, "layers": 12, "name": "größe", "tied": True, "seed": None},
        metrics={"loss": 0.25, "steps": 1000},
        labels={"stage": "golden"},
    )
    said = Said(MESSAGES[version], "somebody", metadata)
    made = commit(store.context, store.objects, os.fsencode(folder), naming=Naming(artifact="golden"), said=said)
    assert made.version is not None
    return made.version


def listing(store: Opened, tree: bytes) -> dict[str, str]:
    """Each path with its kind and a hash of its content."""
    from hashlib import sha256

    found: dict[str, str] = {}
    for path, entry in walk(store.objects, tree):
        name = path.decode("utf-8", "backslashreplace")
        if entry.kind == Kind.DIR:
            found[name] = "dir"
        elif entry.kind == Kind.SYMLINK:
            found[name] = f"symlink {entry.content.value.decode()}"
        else:
            data = open_file(store.context, store.objects, entry.content, entry.size).read()
            found[name] = f"{Kind(entry.kind).name.lower()} {sha256(data).hexdigest()[:16]}"
    return found


def main(number: str) -> None:
    """Make the store and the list of what it holds."""
    place = STORES / number
    shutil.rmtree(place, ignore_errors=True)
    folder = Path(f"{place}-folder")
    create(place)
    told: dict[str, object] = {"chunker": CHUNKER_ID}
    with opened(place) as store:
        for version in (1, 2):
            fill(folder, version)
            digest = commit_version(store, folder, version)
            tree = store.objects.version(digest).tree
            told[f"golden/v{version}"] = {
                "version": digest.hex(),
                "tree": tree.hex(),
                "files": listing(store, tree),
            }
            with store.context.index.write() as writer:
                now = store.context.clock.now_ns()
                refs.set_alias(writer, "golden/production", digest, reason="made", who="me", host="here", now=now)
        with store.context.index.write() as writer:
            now = store.context.clock.now_ns()
            refs.rollback(writer, "golden/production", reason="tried", who="me", host="here", now=now)
    shutil.rmtree(folder)
    (place / "index.lmdb/lock.mdb").unlink()
    for part in ("sessions", "tmp"):
        (place / part).rmdir()
    (STORES / f"{number}.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
