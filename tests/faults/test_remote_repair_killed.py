"""A repair of a remote that ends at any request: nothing is lost, and the next one goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import RemoteError
from artstore.model import RemotePlace
from artstore.store.repair_remote import repair_remote
from artstore.testing.damage import flip
from artstore.testing.faults import Faults, FaultyRemote
from tests.machines import Machines, commit, noise, same


@pytest.mark.parametrize("lasting", [False, True])
def test_a_repair_that_fails_at_some_requests(tmp_path: Path, lasting: bool) -> None:
    """What could be read before would be lost, or a remote be left that no repair can mend."""
    sweep(tmp_path, lasting=lasting, step=61)


@pytest.mark.long
@pytest.mark.parametrize("lasting", [False, True])
def test_a_repair_that_fails_at_each_request(tmp_path: Path, lasting: bool) -> None:
    """The same at each of them."""
    sweep(tmp_path, lasting=lasting, step=1)


def sweep(tmp_path: Path, *, lasting: bool, step: int) -> None:
    """Damage one object of each kind, let a repair fail at one request after another, and see the next one mend all."""
    at = 0
    while True:
        at += step
        path = tmp_path / f"{at}"
        path.mkdir()
        machines = Machines(path, RemotePlace(url=f"file://{path / 'remote'}"))
        folder = machines.folder("m", weights=noise(150_000), config=b"{}")
        one = machines.new("one")
        commit(one, folder, "m/v1")
        one.push()
        (folder / "config").write_bytes(b"{1}")
        commit(one, folder, "m/v2")
        one.set_alias("m/production", "m/v2")
        one.push()
        pack = max((machines.file(key) for key in machines.keys("p/")), key=lambda each: each.stat().st_size)
        flip(pack, 3000)
        machines.file(machines.keys("x/")[0]).unlink()
        flip(machines.file(machines.keys("sets/")[0]), 30)
        if not one.is_encrypted:  # of a sealed name nothing can be read
            flip(machines.file("tags/m/v1@"), 30)
        one.check_at_remote(data=True)
        before = {each.key: machines.file(each.key).read_bytes() for each in FolderRemote(machines.place).list("p/")}
        id = bytes.fromhex(one.remotes()["origin"].id or "")
        faults = Faults(at, lasting=lasting, error=RemoteError)
        ended = False
        try:
            remote = FaultyRemote(machines.remote, faults)
            ended = repair_remote(one.context, one.objects, remote, id, data=True).is_sound
        except RemoteError:
            assert faults.hit
        for key, data in before.items():
            assert machines.file(key).read_bytes() == data, "a pack never changes"
        assert one.repair_at_remote(data=True).is_sound
        assert one.check_at_remote(data=True).is_sound
        clone = machines.clone("clone")
        assert same(clone, "m/production", folder, path / "out")
        for store in machines.opened:
            store.close()
        if not faults.hit:
            assert ended
            assert at > 60, "there were requests"
            break
