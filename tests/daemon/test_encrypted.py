"""A daemon of an encrypted store: it is asked for the passphrase once, and what it runs doesn't see it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore import Store
from artstore.model import RemotePlace
from artstore_daemon import lock
from tests.daemon.test_service import Machine, until
from tests.terminals import typed

SECRET = "open sesame"


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Store]:
    """A store with an alias at its home."""
    folder = tmp_path / "m"
    folder.mkdir()
    with Store.init(tmp_path / "origin", encrypt=SECRET) as store:
        store.add_remote("origin", RemotePlace(url=f"file://{tmp_path}/remote"))
        (folder / "config").write_bytes(b"1")
        store.commit(folder, tag="m/v1")
        store.set_alias("m/production", "m/v1")
        store.push()
        yield store


@pytest.mark.long
@pytest.mark.parametrize("place", ["terminal", "environment"])
def test_a_hook_does_not_see_the_passphrase(origin: Store, tmp_path: Path, place: str) -> None:
    """Whatever a hook runs, or writes into a log, would have it; and nobody could start a daemon without a file."""
    node, said = Machine(tmp_path / "node"), tmp_path / "said"
    there = RemotePlace(url=f"file://{tmp_path}/remote")
    Store.clone(there, tmp_path / "node" / "store", passphrase=SECRET)[0].close()
    node.environment |= {"ARTSTORE_PASSPHRASE": SECRET}
    hook = f"{{ env; cat /dev/fd/[3-9]; }} > {said}.new 2>&1 < /dev/null; mv {said}.new {said}"
    node.run("follow", "m/production", "--to", str(tmp_path / "served"), "--poll", "1s", "--hook", hook)
    if place == "terminal":
        del node.environment["ARTSTORE_PASSPHRASE"]
        code, seen = typed(["daemon", "start"], [SECRET], environment=node.environment)
        assert code == 0, seen
        assert "sesame" not in seen
    else:
        node.run("daemon", "start")
    process = lock.holder(node.lock)
    try:
        until(said.exists, "for the hook")
        assert (tmp_path / "served" / "config").read_bytes() == b"1"
        assert "ARTSTORE_ALIAS=m/production" in said.read_text()
        assert "sesame" not in said.read_text()
        assert "PASSPHRASE" not in said.read_text()
        said.unlink()
        origin.rotate_keys()
        (tmp_path / "m" / "config").write_bytes(b"2")
        origin.commit(tmp_path / "m", tag="m/v2")
        origin.push()
        origin.set_alias("m/production", "m/v2")  # sealed by the new key
        until(said.exists, "for the hook again")
        assert (tmp_path / "served" / "config").read_bytes() == b"2"
        if place == "terminal":
            assert process
            for what in ("environ", "cmdline"):
                assert SECRET.encode() not in Path(f"/proc/{process}/{what}").read_bytes()
        for path in (tmp_path / "node").rglob("*"):
            assert not path.is_file() or SECRET.encode() not in path.read_bytes()
    finally:
        if process:
            os.kill(process, signal.SIGTERM)
            until(lambda: lock.holder(node.lock) is None)
