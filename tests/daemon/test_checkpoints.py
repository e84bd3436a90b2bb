"""Sub-folders that become versions of their own, by a real daemon."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from threading import Event, Thread

import pytest

from artstore import Store
from artstore_daemon import settings
from artstore_daemon.engine import commit_folder
from artstore_daemon.machine.folder import Outcome
from tests.daemon.live import SETTLE_S, Begin, files, names, spec


def test_each_checkpoint_is_a_version(store: Store, tmp_path: Path, folder: Path, begin: Begin) -> None:
    """A trainer that keeps its last three checkpoints would take the others from the versions, too."""
    watched = spec("llama", folder, each="checkpoint-*", ready="trainer_state.json")
    settings.add_watch(store.path, watched)
    live = begin(store)
    for number in (100, 200):
        made = folder / f"checkpoint-{number}"
        made.mkdir()
        (made / "shard-1").write_bytes(b"%d" % number)
        (folder / "other").mkdir(exist_ok=True)
        (folder / "other" / "file").write_bytes(b"%d" % number)
        time.sleep(3 * SETTLE_S)
        assert f"llama/checkpoint-{number}" not in names(store), "it isn't ready"
        (made / "shard-2").write_bytes(b"2")
        (made / "trainer_state.json").write_text("{}")
        live.wait_for("version", f"llama/checkpoint-{number}")
    shutil.rmtree(folder / "checkpoint-100")
    (folder / "checkpoint-200" / "shard-2").write_bytes(b"changed")
    told = live.wait_for("error")
    assert "llama/checkpoint-200" in told.text
    assert names(store) == ["llama/checkpoint-100", "llama/checkpoint-200"]
    assert files(store, "llama/checkpoint-100") == {"shard-1": b"100", "shard-2": b"2", "trainer_state.json": b"{}"}
    assert files(store, "llama/checkpoint-200")["shard-2"] == b"2", "what was a version stays what it was"


@pytest.mark.parametrize("poll_s", [None, 0.2])
def test_a_log_beside_checkpoints(
    store: Store, folder: Path, begin: Begin, poll_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint would wait for the end of the training."""
    monkeypatch.setattr("artstore.limits.WATCH_LOOK_S", 0.1)
    settings.add_watch(store.path, spec("m", folder, each="checkpoint-*", poll_s=poll_s))
    live = begin(store)
    live.wait_until(lambda: live.daemon.watchings and live.daemon.watchings[0].status.how != "starting")
    ended = Event()

    def log() -> None:
        with open(folder / "log", "ab", buffering=0) as file:
            while not ended.wait(0.05):
                file.write(b"line\n")

    writing = Thread(target=log)
    writing.start()
    try:
        (folder / "checkpoint-1").mkdir()
        (folder / "checkpoint-1" / "weights").write_bytes(b"1")
        live.wait_for("version", "m/checkpoint-1")
    finally:
        ended.set()
        writing.join()


def test_checkpoints_in_a_folder_that_was_moved_away(store: Store, folder: Path, begin: Begin) -> None:
    """One of the same name in a new folder would never be a version."""
    settings.add_watch(store.path, spec("m", folder, each="checkpoint-*", ready="ok"))
    (folder / "checkpoint-1").mkdir()
    live = begin(store)
    live.wait_until(lambda: live.daemon.watchings and "checkpoint-1" in live.daemon.watchings[0].states)
    os.rename(folder, f"{folder}-old")
    live.wait_until(lambda: live.daemon.watchings[0].status.how == "gone")
    folder.mkdir()
    live.wait_until(lambda: live.daemon.watchings[0].status.how == "inotify")
    (folder / "checkpoint-1").mkdir()
    (folder / "checkpoint-1" / "ok").write_bytes(b"")
    live.wait_for("version", "m/checkpoint-1")


def test_a_checkpoint_whose_name_was_let_go_is_well(store: Store, folder: Path) -> None:
    """With `--keep-last 2` each start of the daemon would complain of all others that the trainer keeps, for ever."""
    watched = spec("m", folder, each="checkpoint-*", keep_last=1)
    for name in ("checkpoint-1", "checkpoint-2"):
        (folder / name).mkdir()
        (folder / name / "weights").write_bytes(name.encode())
        assert commit_folder(store, watched, name, patient=True).made
    store.remove("m/checkpoint-1")
    again = commit_folder(store, watched, "checkpoint-1", patient=True)
    assert (again.outcome, again.error, again.made) == (Outcome.DONE, None, False)
    (folder / "checkpoint-1" / "weights").write_bytes(b"other")
    changed = commit_folder(store, watched, "checkpoint-1", patient=True)
    assert changed.outcome is Outcome.REFUSED
    assert "was the name of version" in (changed.error or "")
    assert names(store) == ["m/checkpoint-2"]


def test_a_checkpoint_that_is_well_does_not_mend_another(store: Store, folder: Path, begin: Begin) -> None:
    """What is wrong with one would be forgotten with the next, told again, and so on."""
    settings.add_watch(store.path, spec("m", folder, each="checkpoint-*"))
    live = begin(store)
    (folder / "checkpoint-no name").mkdir()
    (folder / "checkpoint-no name" / "weights").write_bytes(b"1")
    assert "is no name" in live.wait_for("error").text
    (folder / "checkpoint-1").mkdir()
    (folder / "checkpoint-1" / "weights").write_bytes(b"1")
    live.wait_for("version", "m/checkpoint-1")
    assert not [said for said in live.said() if "recovered" in said]
    assert "is no name" in (live.call(lambda: live.daemon.watchings[0].status.error) or "")
    shutil.rmtree(folder / "checkpoint-no name")
    live.wait_for("recovered")
