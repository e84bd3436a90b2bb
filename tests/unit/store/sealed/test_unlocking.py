"""A keyring that is opened on another core while commands are imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from artstore import Store, wiring
from artstore.errors import NotPermitted
from artstore.format import keyring
from artstore.format.keyring import Unlocked
from artstore.testing.sealing import CHEAP
from artstore.wiring.keys import Unlocking

SECRET = "open sesame"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases that cost nothing."""
    defaults = keyring.new_ring.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "cost", CHEAP)
    monkeypatch.delenv("ARTSTORE_PASSPHRASE", raising=False)


@pytest.fixture
def path(tmp_path: Path) -> str:
    Store.init(tmp_path / "store", encrypt=SECRET).close()
    return str(tmp_path / "store")


def test_what_is_at_hand(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command would wait a tenth of a second for the passphrase."""
    file = tmp_path / "passphrase"
    file.write_text(SECRET)
    monkeypatch.setenv("ARTSTORE_PASSPHRASE_FILE", str(file))
    assert isinstance(Unlocking(path, None).result(), Unlocked)
    monkeypatch.delenv("ARTSTORE_PASSPHRASE_FILE")
    wiring.change_config(path, passphrase_file=str(file))
    unlocking = Unlocking(path, None)
    assert isinstance(unlocking.result(), Unlocked)
    Store.open(path, passphrase=unlocking).close()


@pytest.fixture(params=["no passphrase", "a command", "the keyring"])
def not_at_hand(
    request: pytest.FixtureRequest, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Somebody else has it, who may ask, and may be asked once."""
    ran = tmp_path / "ran"
    if request.param == "a command":
        monkeypatch.setenv("ARTSTORE_PASSPHRASE_COMMAND", f"sh -c 'echo >> {ran}; echo {SECRET}'")
    if request.param == "the keyring":
        wiring.change_config(path, keyring=True)
    yield
    assert not ran.exists()


@pytest.mark.usefixtures("not_at_hand")
def test_nobody_is_asked_ahead(path: str) -> None:
    """Two prompts at once, or one from a program that is about to end with an error."""
    assert Unlocking(path, ask).result() is ask
    assert Unlocking(path, None).result() is None


def ask() -> str:
    raise AssertionError("nobody was to be asked")


def test_a_wrong_one_is_told_as_ever(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it comes from would not be said; or somebody asked, though it is set."""
    monkeypatch.setenv("ARTSTORE_PASSPHRASE", "wrong")
    unlocking = Unlocking(path, ask)
    assert unlocking.result() is ask
    with pytest.raises(NotPermitted) as caught:
        Store.open(path, passphrase=unlocking)
    assert "$ARTSTORE_PASSPHRASE" in str(caught.value.hint)


def test_a_passphrase_that_can_be_read_once(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ARTSTORE_PASSPHRASE_FILE=<(pass show …)` is a pipe: looked at twice, it is empty, or waited for for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setenv("ARTSTORE_PASSPHRASE_FILE", str(pipe))
    for passphrase in (SECRET, "wrong"):
        writer = Thread(target=pipe.write_text, args=(passphrase,))
        writer.start()
        if passphrase == SECRET:
            Store.open(path, passphrase=Unlocking(path, None)).close()
        else:
            with pytest.raises(NotPermitted) as caught:
                Store.open(path, passphrase=Unlocking(path, None))
            assert str(pipe) in str(caught.value.hint)
        writer.join()


def test_no_more_threads(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of tasks would end the command as a bug, though it needs no thread."""
    monkeypatch.setenv("ARTSTORE_PASSPHRASE", SECRET)

    def start(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", start)
        unlocking = Unlocking(path, None)
    Store.open(path, passphrase=unlocking).close()


def test_who_is_asked(path: str) -> None:
    """Three times, and then no more."""
    said = [SECRET, "wrong", "wronger"]
    Store.open(path, passphrase=Unlocking(path, said.pop)).close()
    assert said == []


@pytest.mark.parametrize("damage", [b"", b"damaged"])
def test_a_damaged_keyring(path: str, damage: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be told by a thread, as a traceback."""
    monkeypatch.setenv("ARTSTORE_PASSPHRASE", SECRET)
    (Path(path) / "keyring").write_bytes(damage)
    assert Unlocking(path, None).result() is None


@pytest.mark.plain("it makes one that isn't")
def test_a_store_that_is_not_encrypted(tmp_path: Path) -> None:
    """It would wait for a thread."""
    Store.init(tmp_path / "store").close()
    for path in (tmp_path / "store", tmp_path / "none"):
        assert Unlocking(str(path), ask).result() is ask
