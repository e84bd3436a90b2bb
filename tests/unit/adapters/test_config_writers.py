"""Two processes that change a store's settings at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from artstore.adapters import store_folder

ROUNDS = 40
WRITER = """
import sys
from dataclasses import replace
from artstore.adapters.store_folder import change_config
path, name, rounds = sys.argv[1:]
for _ in range(int(rounds)):
    change_config(path, lambda config: replace(config, rest={**config.rest, name: config.rest.get(name, 0) + 1}))
"""


def test_no_change_is_lost(tmp_path: Path) -> None:
    """Of two people who change different settings one would find his gone."""
    path = str(tmp_path / "store")
    store_folder.prepare(path, group=None)
    store_folder.complete(path, chunker=1, group=None)
    command = [sys.executable, "-c", WRITER, path]
    writers = [subprocess.Popen([*command, name, str(ROUNDS)]) for name in ("one", "other")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert store_folder.load_config(path).rest == {"one": ROUNDS, "other": ROUNDS}
