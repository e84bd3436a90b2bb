"""An encrypted store that is made, or whose keys are changed, while it is killed or somebody else does the same."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artstore import Store
from artstore.adapters import store_folder
from artstore.adapters.disk import faultpoints
from artstore.errors import ArtstoreError, Conflict, NoSpace, NotPermitted
from artstore.format import keyring
from artstore.format.ring import decode_ring
from artstore.model import RemotePlace
from artstore.testing.sealing import CHEAP

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # children are forked off
OLD, NEW = "open sesame", "open barley"
FILES = ("file.written", "file.renamed", "remote.written", "remote.renamed")
TAKEN = Conflict.exit_code


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases that cost nothing."""
    for function in (keyring.new_ring, keyring.add_slot):
        defaults = function.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "cost", CHEAP)


def begun(work: Callable[[], object], point: str = "") -> int:
    """A process that does some work, and is killed when it comes to a point; its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        faultpoints.arm(point)
        work()
        code = 0
    except ArtstoreError as error:
        code = error.exit_code
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Its exit code; that of the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(work: Callable[[], object], prepare: Callable[[], object] = lambda: None) -> Iterator[str]:
    """Do some work again and again, killed at each point that it comes to, at each time it does; the point. `prepare`:
    what comes before each time.
    """
    met = 0
    for point in ("store.folders", "store.keyring", "store.configured", *FILES):
        for count in range(1, 50):
            prepare()
            code = ended(begun(work, f"{point}:{count}"))
            assert code in (0, -signal.SIGKILL)
            if code == 0:
                break
            met += 1
            yield f"{point}:{count}"
    assert met > 2, "no point was reached"


def opens(path: Path, passphrase: str) -> bool:
    """Does it open a store, whose keyring and index are its own?"""
    try:
        with Store.open(path, passphrase=passphrase) as store:
            assert store.check(data=True).is_sound
    except NotPermitted:
        return False
    return True


def test_init_killed_at_each_point(tmp_path: Path) -> None:
    """A place would hold a store that nobody opens, or one where no store can be made any more."""
    path = tmp_path / "store"

    def init() -> None:
        Store.init(path, encrypt=OLD).close()

    def clear() -> None:
        if path.exists():
            shutil.rmtree(path)

    points: list[str] = []
    for point in killed(init, clear):
        points.append(point.partition(":")[0])
        if store_folder.is_store(str(path)):
            assert opens(path, OLD), point
            with pytest.raises(Conflict):
                Store.init(path, encrypt=NEW)
        else:
            Store.init(path, encrypt=NEW).close()  # with other keys than those which were begun with
            assert opens(path, NEW), point
            assert not opens(path, OLD), point
    assert {"store.folders", "store.keyring", "store.configured", "file.written", "file.renamed"} <= set(points)


def test_many_that_make_a_store_at_one_place(tmp_path: Path) -> None:
    """The keyring would be that of one, the index or the config that of another: nothing could be read."""
    for turn in range(2):
        path = tmp_path / f"store-{turn}"
        gate, start = os.pipe()

        def init(secret: str, path: Path = path, gate: int = gate, start: int = start) -> None:
            os.close(start)
            os.read(gate, 1)  # until all are there
            Store.init(path, encrypt=secret or None).close()

        secrets = [f"secret {number}" for number in range(5)] + [""]
        children = [begun(lambda secret=secret: init(secret)) for secret in secrets]  # type: ignore[misc]  # a default
        os.close(gate)
        os.close(start)
        codes = [ended(child) for child in children]
        assert sorted(codes) == [0] + [TAKEN] * 5, "one makes it, the others are told"
        winner = secrets[codes.index(0)]
        with Store.open(path, passphrase=winner or None) as store:
            assert store.is_encrypted == bool(winner)
            assert store.check(data=True).is_sound


# --- changes of keys


@pytest.fixture
def place(tmp_path: Path) -> RemotePlace:
    return RemotePlace(url=f"file://{tmp_path / 'remote'}")


@pytest.fixture
def store(tmp_path: Path, place: RemotePlace) -> Path:
    """A store of two passphrases with a version at its home."""
    path, folder = tmp_path / "store", tmp_path / "m"
    folder.mkdir()
    (folder / "a").write_bytes(b"a" * 100_000)
    with Store.init(path, encrypt=OLD) as made:
        made.add_remote("origin", place)
        made.add_key("another", label="another")
        made.commit(folder)
        made.push()
    return path


def serial(store: Path, place: RemotePlace) -> tuple[int, int]:
    """Of the keyring at home, and of the one here."""
    there = Path(place.url.removeprefix("file://")) / "keys" / "ring"
    rings = (there.read_bytes(), store_folder.load_keyring(str(store)))
    home, here = (decode_ring(ring).serial for ring in rings)
    return home, here


@pytest.mark.parametrize(
    "what", ["add", pytest.param("remove", marks=pytest.mark.long), pytest.param("rotate", marks=pytest.mark.long)]
)
def test_a_change_killed_at_each_point(store: Path, place: RemotePlace, tmp_path: Path, what: str) -> None:
    """A passphrase would open one of the two places and not the other for good, or neither."""

    def change() -> None:
        with Store.open(store, passphrase=OLD) as opened:
            match what:
                case "add":
                    opened.add_key(NEW, label="new")
                case "remove":
                    opened.remove_key(opened.list_keys()[-1].id)
                case _:
                    opened.rotate_keys()

    def prepare() -> None:
        with Store.open(store, passphrase=OLD) as opened:
            if what == "remove" and len(opened.list_keys()) == 1:
                opened.add_key(os.urandom(8).hex(), label="to be removed")

    seen: set[int] = set()
    for point in killed(change, prepare):
        home, here = serial(store, place)
        assert home - here in (0, 1), f"{point}: first at home, then here"
        seen.add(home - here)
        with Store.open(store, passphrase=OLD) as opened:
            opened.fetch()
            opened.push()
        home, here = serial(store, place)
        assert home == here, "the next contact brings both together"
    assert seen == {0, 1}
    clone, _ = Store.clone(place, tmp_path / "clone", full=True, passphrase=OLD)
    with clone:
        assert clone.check(data=True).is_sound
    assert opens(store, NEW) == opens(tmp_path / "clone", NEW) == (what == "add")


def test_two_processes_add_keys_to_a_store_without_a_remote(tmp_path: Path) -> None:
    """One of two passphrases would be lost, though both were told that it opens the store."""
    path = tmp_path / "store"
    Store.init(path, encrypt=OLD).close()

    def add(secret: str) -> None:
        with Store.open(path, passphrase=OLD) as opened:
            opened.add_key(secret, label=secret)

    secrets = [f"secret {number}" for number in range(6)]
    children = [begun(lambda secret=secret: add(secret)) for secret in secrets]  # type: ignore[misc]  # a default
    assert [ended(child) for child in children] == [0] * 6
    for secret in (OLD, *secrets):
        assert opens(path, secret)


def test_a_store_that_may_only_be_read(
    store: Path, place: RemotePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not write a store could not read it once somebody else has changed the keys."""
    clone, _ = Store.clone(place, tmp_path / "clone", passphrase=OLD)
    former = store_folder.load_keyring(str(tmp_path / "clone"))
    (tmp_path / "m" / "b").write_bytes(b"later" * 20_000)
    with clone, Store.open(store, passphrase=OLD) as opened:
        opened.rotate_keys()
        opened.commit(tmp_path / "m")
        opened.push()
        clone.fetch()
    # As it was before, but for the names that came since.
    (tmp_path / "clone" / "keyring").write_bytes(former)
    with Store.open(tmp_path / "clone", passphrase=OLD) as reader:
        refused: list[bytes] = []

        def save(_: str, data: bytes, *, instead_of: bytes) -> bool:
            refused.append(data)
            assert instead_of == former
            raise NotPermitted("the store is another user's")

        monkeypatch.setattr(store_folder, "save_keyring", save)
        assert reader.open("m/v2", "b").read() == b"later" * 20_000
        assert refused


def test_modes(tmp_path: Path) -> None:
    """Others of this machine would guess at passphrases, or the group of a shared store not change keys."""
    Store.init(tmp_path / "own", encrypt=OLD).close()
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700
    with Store.init(tmp_path / "shared", encrypt=OLD, shared=True) as shared:
        for _ in range(2):
            ring = (tmp_path / "shared" / "keyring").stat()
            assert stat.S_IMODE(ring.st_mode) == 0o660
            assert ring.st_gid == os.getgid()
            shared.rotate_keys()


def test_a_full_disk(small_disk: Path, place: RemotePlace) -> None:
    """A keyring that found no room would be cut off, and with it the store."""
    path = small_disk / "store"
    with Store.init(path, encrypt=OLD) as made:
        made.add_remote("origin", place)
        made.rotate_keys()
    before = store_folder.load_keyring(str(path))
    with Store.open(path, passphrase=OLD) as full:
        subprocess.run(["dd", "if=/dev/zero", f"of={small_disk}/filler", "bs=4k"], capture_output=True, check=False)
        with pytest.raises(NoSpace, match="were changed at"):
            full.add_key(NEW, label="new")
        assert store_folder.load_keyring(str(path)) == before
        (small_disk / "filler").unlink()
        full.fetch()
    assert opens(path, OLD)
    assert opens(path, NEW)
