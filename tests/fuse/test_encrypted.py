"""A mount of an encrypted store: its supervisor keeps the keys, and nobody is asked again."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from artstore import Store
from tests.terminals import typed

if TYPE_CHECKING:
    from tests.fuse.conftest import Mounted

SECRET = "open sesame"
CONTENT = b"legible words. " * 20_000


def reads(path: Path) -> bool:
    """Can it be read?"""
    try:
        return path.read_bytes() == CONTENT
    except OSError:
        return False


def test_a_killed_server_comes_back_without_asking(unmounted: Mounted) -> None:
    """A mount would be gone after a crash at night, or its passphrase lie in a file, an environment or a list of
    processes that others can read.
    """
    place = unmounted
    place.env |= {"ARTSTORE_HOME": str(place.path.parent / "sealed")}
    source = place.path.parent / "source"
    source.mkdir()
    (source / "file").write_bytes(CONTENT)
    with Store.init(place.env["ARTSTORE_HOME"], encrypt=SECRET) as store:
        store.commit(source, tag="m/v1")
    code, seen = typed(["mount", str(place.path)], [SECRET], environment=place.env)
    assert code == 0, seen
    file = place.path / "versions" / "m" / "v1" / "file"
    assert reads(file)
    record = place.record
    os.kill(record["server"], signal.SIGKILL)
    assert place.within(2, lambda: place.record["server"] != record["server"])
    assert place.within(2, partial(reads, file))
    assert place.record["supervisor"] == record["supervisor"]
    for process in (record["supervisor"], place.record["server"]):
        for what in ("environ", "cmdline"):
            assert SECRET.encode() not in Path(f"/proc/{process}/{what}").read_bytes()
    for path in (*place.state.rglob("*"), *Path(place.env["ARTSTORE_HOME"]).rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            assert SECRET.encode() not in data
            assert CONTENT[:40] not in data
    place.umount()
