"""Makes the golden encrypted store of a format, and its remote: `python tests/golden/make_sealed_store.py NUMBER`.

Run once, when a format of keyrings or sealed objects is new. What it commits is derived from seeds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

from artstore import Store
from artstore.model import Kind, RemotePlace
from artstore.store import identity

SEALED = Path(__file__).parent / "sealed"
PASSPHRASE, ANOTHER, REMOVED = "open sesame", "öffne dich", "removed since"
WORK = Path("/tmp/artstore-golden")


def fill(folder: Path, version: int) -> None:
    """The content of a version: segments that are whole, files of several chunks, many small ones."""
    rng = random.Random(2030)
    noise = rng.randbytes(150_000)
    if version == 2:
        noise = noise[:40_000] + b"inserted" + noise[40_000:]
    files = {"empty": b"", "one": b"a single chunk\n", "data/noise.bin": noise, "data/zeros": bytes(200_000)}
    files |= {f"many/{number:03}.json": b'{"id": %d}' % number for number in range(120)}
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def listing(store: Store, revision: str) -> dict[str, str]:
    """Each file with a hash of its content."""
    found: dict[str, str] = {}
    for path, entry in store.walk(revision):
        if entry.kind == Kind.DIR:
            continue
        with store.open(revision, path) as file:
            found[os.fsdecode(path)] = sha256(file.read()).hexdigest()[:16]
    return found


def main(number: str) -> None:
    """Make store, remote and the list of what they hold."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    told: dict[str, object] = {}
    with (
        patch.object(identity, "user", lambda: "somebody"),
        patch.object(identity, "host", lambda: "here"),
        Store.init(WORK / "store", encrypt=PASSPHRASE) as store,
    ):
        store.add_remote("origin", RemotePlace(url=f"file://{WORK}/remote"))
        store.add_key(ANOTHER, label="another")
        removed = store.add_key(REMOVED, label="removed")
        for version in (1, 2):
            fill(WORK / "folder", version)
            store.commit(WORK / "folder", artifact="golden", message=f"number {version}", author="somebody")
            store.set_alias("golden/production", f"golden/v{version}", reason="made")
            store.push()
            assert removed.id is not None
            if version == 1:  # the second version is sealed by another key than the first
                store.remove_key(removed.id)
            resolved = store.resolve(f"golden/v{version}")
            told[f"golden/v{version}"] = {
                "version": resolved.version.hex(),
                "files": listing(store, f"golden/v{version}"),
            }
        store.remove_remote("origin")
    (WORK / "store/index.lmdb/lock.mdb").unlink()
    (WORK / "store/config.toml.lock").unlink()
    for place in ("store", "remote"):
        shutil.rmtree(SEALED / number / place, ignore_errors=True)
        shutil.copytree(WORK / place, SEALED / number / place)
    for part in ("sessions", "tmp"):
        (SEALED / number / "store" / part).rmdir()
    (SEALED / f"{number}.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
    shutil.rmtree(WORK)


if __name__ == "__main__":
    main(sys.argv[1])
