"""What goes wrong while folders are watched, by a real daemon: it is told once, and all is there in the end."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from artstore import Store
from artstore.errors import Conflict, NotFound, UsageError
from artstore_daemon import engine, settings
from artstore_daemon.watch.looking import mount_point_of, written_now
from tests.daemon.live import Begin, Live, files, names, on_disk, spec


def test_what_breaks_begins_again(store: Store, folder: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug, or a folder that can't be listed for a moment, would end the watching of it for ever."""
    monkeypatch.setattr("artstore.limits.DAEMON_RETRY_S_MAX", 0.2)
    errors: list[Exception] = [AssertionError("a bug"), PermissionError(13, "denied")]
    original = written_now

    def breaks(path: str) -> set[bytes]:
        if errors:
            raise errors.pop(0)
        return original(path)

    monkeypatch.setattr(engine, "written_now", breaks)
    settings.add_watch(store.path, spec("m", folder))
    live = begin(store)
    (folder / "a").write_bytes(b"a")
    assert "a bug" in live.wait_for("error", "m").text
    assert "denied" in live.wait_for("error", "watch m").text
    live.wait_for("version", "m/v1")


def test_what_can_not_be_committed_is_told_and_tried_again(store: Store, folder: Path, begin: Begin) -> None:
    """A folder would not be a version for weeks, and nobody would know."""
    os.mkfifo(folder / "pipe")
    (folder / "a").write_bytes(b"a")
    settings.add_watch(store.path, spec("m", folder))
    live = begin(store)
    told = live.wait_for("error", "watch m")
    assert "pipe" in told.text
    assert names(store) == []
    os.unlink(folder / "pipe")
    live.wait_for("version", "m/v1")


def test_what_makes_no_sense_is_refused(store: Store, folder: Path, tmp_path: Path) -> None:
    """A daemon would find out at night."""
    settings.add_watch(store.path, spec("m", folder))
    for wrong, why in (
        (spec("m", tmp_path), Conflict),
        (spec("other", folder), Conflict),
        (spec("other", tmp_path / "missing"), NotFound),
        (spec("other", store.path), UsageError),
        (spec("no good", tmp_path), UsageError),
        (spec("other", tmp_path, push=("origin",)), NotFound),
        (spec("other", tmp_path, only="always"), UsageError),
        (spec("other", tmp_path, settle_s=9.0, every_s=1.0), UsageError),
    ):
        with pytest.raises(why):
            settings.add_watch(store.path, wrong)
    assert list(settings.watches(store.path)) == ["m"]
    with pytest.raises(NotFound, match="there are m"):
        settings.find_watch(store.path, "unknown")
    assert settings.find_watch(store.path, str(folder)) == settings.find_watch(store.path, "m")
    assert settings.watches(store.path)["m"] == replace(spec("m", folder), mount=mount_point_of(str(folder)))


def test_a_full_disk_is_told_once_and_waited_for(store: Store, folder: Path, begin: Begin) -> None:
    """The last bytes of the disk would go to checkpoints, and what else runs there would fail."""
    store.configure("disk.min_free", 1 << 60)
    settings.add_watch(store.path, spec("m", folder))
    live = begin(store)
    (folder / "a").write_bytes(b"a")
    assert "disk.min_free" in live.wait_for("error", "watch m").text
    live.wait_until(lambda: live.daemon.watchings[0].states[""].failures > 1)
    assert names(store) == []
    store.configure("disk.min_free", 1)
    live.wait_for("version", "m/v1")
    assert [each.kind for each in live.daemon.happenings()] == ["error", "recovered", "version"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_disk_without_any_room(folder: Path, tmp_path: Path, begin: Begin) -> None:
    """What was saved while the disk was full would be in no version, or half of it in one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "artstore-test", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with Store.init(place / "store") as store:
            store.configure("disk.min_free", 0)
            settings.add_watch(store.path, spec("m", folder))
            with Live(store) as live:
                (folder / "a").write_bytes(b"a")
                live.wait_for("version", "m/v1")
                filler = place / "filler"
                filler.write_bytes(bytes(40_000_000))
                (folder / "weights").write_bytes(os.urandom(20_000_000))
                assert "no space" in live.wait_for("error", "watch m").text
                live.wait_until(lambda: live.daemon.watchings[0].states[""].failures > 1)
                assert [each.kind for each in live.daemon.happenings()] == ["version", "error"], "it is told once"
                assert names(store) == ["m/v1"]
                filler.unlink()
                live.wait_for("version", "m/v2")
                assert files(store, "m") == on_disk(folder)
            assert store.check(data=True).is_sound
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def test_a_config_that_makes_no_sense(store: Store, folder: Path, begin: Begin) -> None:
    """A slip of whoever edits it would end what is watched already."""
    settings.add_watch(store.path, spec("m", folder))
    live = begin(store)
    (folder / "a").write_bytes(b"a")
    live.wait_for("version", "m/v1")
    config = Path(store.path) / "config.toml"
    good = config.read_text()
    config.write_text(good.replace("settle_s = 0.3", 'settle_s = "soon"'))
    live.reload()
    assert "settle_s" in live.wait_for("error", "config.toml").text
    (folder / "a").write_bytes(b"b")
    live.wait_for("version", "m/v2")
    config.write_text(good)
    live.reload()
    live.wait_for("recovered", "config.toml")
