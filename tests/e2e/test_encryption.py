"""Encrypted stores as a user has them: passphrases from everywhere, clones, keys that come and go."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from artstore import Store
from artstore.cli.reference import DOCUMENTS
from artstore.errors import Conflict, Corrupt, NotPermitted, UsageError
from artstore.format import keyring
from artstore.format.cipher import Stretching
from artstore.model import RemotePlace
from tests.machines import noise
from tests.terminals import typed

if TYPE_CHECKING:
    from tests.e2e.conftest import Answer, Run

pytestmark = pytest.mark.plain("makes keys and passphrases of its own")

SECRET = b"a sentence that nobody else should read. " * 3000
NAMES = (b"llama", b"production", b"tokenizer", b"config.json")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases that cost nothing: what they cost otherwise is asserted elsewhere."""
    cheap = Stretching(8, 1, 1)
    monkeypatch.setattr("artstore.format.keyring.DEFAULT_COST", cheap)
    for function in (keyring.new_ring, keyring.add_slot):
        defaults = function.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "cost", cheap)


@pytest.fixture
def passphrase(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that has the passphrase, and is named by the environment."""
    file = home / "passphrase"
    file.write_text("open sesame\n")
    monkeypatch.setenv("ARTSTORE_PASSPHRASE_FILE", str(file))
    return file


@pytest.fixture
def sealed(run: Run, passphrase: Path, model: Path, home: Path) -> Path:
    """An encrypted store with llama/v1 and an alias, pushed to a folder."""
    (model / "secret.txt").write_bytes(SECRET)
    run("init", "--encrypt")
    run("commit", model, "-m", "first")
    run("alias", "set", "llama/production", "v1")
    run("remote", "add", "origin", f"file://{home}/nas")
    run("push")
    return model


def everything(folder: Path) -> bytes:
    """All names and bytes below a folder."""
    return b"".join(
        os.fsencode(path.relative_to(folder)) + (path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    )


def test_nothing_is_legible(run: Run, sealed: Path, home: Path) -> None:
    """The provider, or who finds a disk, would read it."""
    remote = everything(home / "nas")
    assert SECRET[:30] not in remote
    for name in NAMES:
        assert name not in remote
    store = home / "xdg" / "data" / "artstore"
    run("--store", home / "clone", "clone", f"file://{home}/nas")
    run("--store", home / "clone", "checkout", "llama/v1", home / "out")
    assert (home / "out" / "secret.txt").read_bytes() == SECRET
    for folder in (store / "packs", home / "clone" / "packs", home / "clone" / "cache"):
        found = everything(folder)
        assert found
        assert SECRET[:30] not in found
        assert b"tokenizer" not in found


def test_ids_are_those_of_this_store_alone(run: Run, sealed: Path, home: Path) -> None:
    """Who knows a file would find out whether it is in there, by its id in the index or in a log."""
    run("--store", home / "plain", "init")
    run("--store", home / "plain", "commit", sealed, "-m", "first")
    plain = run("--store", home / "plain", "show", "llama/v1", "--json").document
    here = run("show", "llama/v1", "--json").document
    assert here["bytes"] == plain["bytes"]
    assert here["tree"] != plain["tree"]
    run("--store", home / "clone", "clone", f"file://{home}/nas")
    assert run("--store", home / "clone", "resolve", "llama/v1").out == run("resolve", "llama/v1").out


def test_a_wrong_passphrase(run: Run, sealed: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would end in a traceback, or in talk of damage; it says where the passphrase came from."""
    passphrase.write_text("open barley\n")
    answer = run("list", code=4)
    assert "the passphrase is wrong" in answer.err
    assert str(passphrase) in answer.err
    monkeypatch.delenv("ARTSTORE_PASSPHRASE_FILE")
    answer = run("list", code=4)
    assert "is encrypted, and there is no passphrase" in answer.err
    assert "$ARTSTORE_PASSPHRASE_FILE" in answer.err
    assert run("init", "--encrypt", "other", code=2).err.count("set $ARTSTORE_PASSPHRASE_FILE") == 1
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("variable", "value", "code", "says"),
    [
        ("ARTSTORE_PASSPHRASE", "open sesame", 0, ""),
        ("ARTSTORE_PASSPHRASE_COMMAND", "echo 'open sesame'", 0, ""),
        ("ARTSTORE_PASSPHRASE_COMMAND", r"printf 'open sesame\r\nuser: me\n'", 0, ""),
        ("ARTSTORE_PASSPHRASE_COMMAND", "false", 2, "ended with 1"),
        ("ARTSTORE_PASSPHRASE_COMMAND", "/nowhere/pass", 2, "can't be run"),
        ("ARTSTORE_PASSPHRASE_COMMAND", "printf ''", 2, "0 bytes"),
        ("ARTSTORE_PASSPHRASE_COMMAND", "echo 'un", 2, "can't be run"),
        ("ARTSTORE_PASSPHRASE_FILE", "/nowhere/file", 3, "is missing"),
        ("ARTSTORE_PASSPHRASE_FILE", "/", 4, "can't be read"),
    ],
)
def test_where_it_comes_from(
    run: Run, sealed: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, code: int, says: str
) -> None:
    """A service could not start, or would be told nothing of why."""
    monkeypatch.delenv("ARTSTORE_PASSPHRASE_FILE")
    monkeypatch.setenv(variable, value)
    answer = run("list", code=code)
    assert says in answer.err
    assert (f"${variable}" in answer.err) == bool(code)


def test_a_file_s_first_line(run: Run, sealed: Path, passphrase: Path) -> None:
    """Who has noted more in that file could not type what the store was made with."""
    passphrase.write_text("open sesame\nof the big store\n" + "x" * 3000)
    run("list")


def test_a_command_does_not_read_what_is_piped_in(run: Run, sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version would lack what the command has read of it, and nobody be told."""
    monkeypatch.setenv("ARTSTORE_PASSPHRASE_COMMAND", "sh -c 'cat > /dev/null; echo open sesame'")
    monkeypatch.delenv("ARTSTORE_PASSPHRASE_FILE")
    words = [sys.executable, "-P", "-m", "artstore", "commit", "-", "--artifact", "piped", "--name", "log"]
    done = subprocess.run(words, input=SECRET, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert run("show", "piped/v1", "--json").document["bytes"] == len(SECRET)


def test_the_config_says_it(
    run: Run, sealed: Path, passphrase: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody would have to set a variable; and a command would be run that somebody else has written."""
    run("config", "set", "encryption.passphrase_command", f"cat {passphrase}")
    monkeypatch.delenv("ARTSTORE_PASSPHRASE_FILE")
    run("list")
    config = home / "xdg" / "data" / "artstore" / "config.toml"
    config.chmod(0o664)
    assert "is not run, since others can write" in run("list", code=4).err
    config.chmod(0o600)
    run("config", "set", "encryption.passphrase_file", passphrase)
    run("config", "set", "encryption.passphrase_command", "")
    run("list")
    shown = run("config", "list").out
    assert str(passphrase) in shown
    assert "encryption.keys" in shown
    assert "encryption" not in run("--store", run("init", home / "plain", "-q").out.strip(), "config", "list").out


def test_the_system_s_keyring(
    run: Run, sealed: Path, home: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A desktop would ask at each command, or a passphrase that is wrong be kept."""
    import keyring as system
    from keyring.backend import KeyringBackend
    from keyring.errors import PasswordDeleteError

    class Kept(KeyringBackend):
        """A keyring in memory, as the desktop's would be."""

        kept: dict[tuple[str, str], str]

        def get_password(self, service: str, username: str) -> str | None:
            return self.kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.kept[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            if self.kept.pop((service, username), None) is None:
                raise PasswordDeleteError(service)

    backend = Kept()  # type: ignore[no-untyped-call]  # its base is not typed there
    backend.kept = {}
    before = system.get_keyring()
    system.set_keyring(backend)
    request.addfinalizer(lambda: system.set_keyring(before))
    with Store.open() as store:
        with pytest.raises(NotPermitted, match="wrong"):
            store.remember_passphrase("open barley")
        assert not backend.kept
        store.remember_passphrase("open sesame")
    assert list(backend.kept.values()) == ["open sesame"]
    monkeypatch.delenv("ARTSTORE_PASSPHRASE_FILE")
    run("list")
    run("key", "forget")
    assert not backend.kept
    assert "there is no passphrase" in run("list", code=4).err
    monkeypatch.setenv("ARTSTORE_PASSPHRASE", "open sesame")
    run("key", "forget")
    assert run("key", "remember", code=2).err.count("no terminal") == 1


def test_keys_come_and_go(run: Run, sealed: Path, passphrase: Path, home: Path) -> None:
    """A team could not take a passphrase away, or would lock itself out."""
    bob = home / "bob"
    bob.write_text("bob's own")
    first = run("key", "list", "--json")
    as_documented(first, "key list")
    added = run("key", "add", "--label", "bob", "--new-passphrase-file", bob, "--json")
    as_documented(added, "key add")
    keys = run("key", "list", "--json").document["keys"]
    assert [(key["label"], key["current"]) for key in keys][1:] == [("bob", False)]
    assert "opened the store with" in run("key", "remove", keys[0]["id"], code=2).err
    assert run("key", "remove", "00000000", code=3).err
    assert run("key", "remove", "no hex", code=2).err
    with said(bob):
        run("--store", home / "clone", "clone", f"file://{home}/nas")
        gone = run("--store", home / "clone", "key", "remove", keys[0]["id"], "--json")
        as_documented(gone, "key remove")
        rotated = run("--store", home / "clone", "key", "rotate", "--json")
        as_documented(rotated, "key rotate")
        assert rotated.document["epoch"] == 3
    # The first machine's passphrase opens what is there, until it meets the new keyring.
    (sealed / "added.txt").write_text("more\n")
    run("commit", sealed, "-m", "second")
    assert "was removed" in run("push", code=4).err
    with said(bob):
        run("push")
        run("--store", home / "clone", "fetch")
        assert run("--store", home / "clone", "cat", "llama/v2:added.txt").out == "more\n"
        run("check", "--data")
    assert "the passphrase is wrong" in run("list", code=4).err
    assert run("--store", home / "other", "clone", f"file://{home}/nas", code=4).err


def test_a_passphrase_that_only_the_remote_knows(run: Run, sealed: Path, home: Path) -> None:
    """Who was given a new passphrase on another machine, and lost the old one, could not open this store any more."""
    carol = home / "carol"
    carol.write_text("carol's own")
    run("--store", home / "clone", "clone", f"file://{home}/nas")
    run("--store", home / "clone", "key", "add", "--label", "carol", "--new-passphrase-file", carol)
    with said(carol):
        run("list")
        assert len(run("key", "list", "-q").lines) == 2
        (home / "nas").rename(home / "away")
        run("list")


def as_documented(answer: Answer, command: str) -> None:
    """Its JSON has the fields that docs/cli.md says, and no others."""
    msgspec.json.decode(answer.out, type=DOCUMENTS[command][0])


@contextlib.contextmanager
def said(file: Path) -> Generator[None]:
    """With another passphrase."""
    before = os.environ["ARTSTORE_PASSPHRASE_FILE"]
    os.environ["ARTSTORE_PASSPHRASE_FILE"] = str(file)
    try:
        yield
    finally:
        os.environ["ARTSTORE_PASSPHRASE_FILE"] = before


def test_a_key_that_the_home_has_not_heard_of(run: Run, sealed: Path, home: Path) -> None:
    """Two machines would have two keyrings, each with a passphrase that the other doesn't know."""
    (home / "nas").rename(home / "away")
    carol = home / "carol"
    carol.write_text("carol's own")
    run("key", "add", "--label", "carol", "--new-passphrase-file", carol, code=7)
    assert len(run("key", "list", "-q").lines) == 1
    (home / "away").rename(home / "nas")
    run("key", "add", "--label", "carol", "--new-passphrase-file", carol)


def test_a_clone_that_breaks_off_before_it_knows_the_home(run: Run, sealed: Path, home: Path) -> None:
    """It would be left as a store without a remote, though `fetch` is to go on with it."""
    run("remote", "add", "eu", f"file://{home}/eu", "--mirror")
    run("push")
    claim = home / "eu" / "mirror-of"
    sound = claim.read_bytes()
    claim.write_bytes(b"damaged")
    assert "mirror-of" in run("--store", home / "clone", "clone", f"file://{home}/eu", code=6).err
    claim.write_bytes(sound)
    assert run("--store", home / "clone", "fetch").code == 0
    assert run("--store", home / "clone", "cat", "llama/production:secret.txt").out.encode() == SECRET
    assert run("--store", home / "clone", "status", "--json").document["remote"]["mirror"] is True
    run("--store", home / "clone", "remote", "add", "home", f"file://{home}/nas")
    assert run("--store", home / "clone", "remote", "list", "--json").document["remotes"][0]["name"] == "home"


def test_stores_of_other_keys_share_no_remote(run: Run, sealed: Path, home: Path) -> None:
    """A bucket would hold what half of its stores can't read."""
    run("--store", home / "plain", "init")
    assert "is encrypted, this store is not" in run(
        "--store", home / "plain", "remote", "add", "o", f"file://{home}/nas", code=5
    ).err  # fmt: skip
    run("--store", home / "other", "init", "--encrypt")
    assert "other keys" in run("--store", home / "other", "remote", "add", "o", f"file://{home}/nas", code=5).err
    run("--store", home / "plain", "remote", "add", "o", f"file://{home}/plain-nas")
    run("--store", home / "plain", "commit", sealed)
    run("--store", home / "plain", "push")
    assert "is not encrypted, this store is" in run("remote", "add", "o", f"file://{home}/plain-nas", code=5).err
    assert not run("--store", home / "other", "remote", "list", "-q").out


def test_the_library(sealed: Path, home: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training script could not open it, or its workers not read."""
    monkeypatch.delenv("ARTSTORE_PASSPHRASE_FILE")
    with pytest.raises(NotPermitted, match="there is no passphrase"):
        Store.open()
    with pytest.raises(NotPermitted, match="wrong"):
        Store.open(passphrase="open barley")
    asked = iter(["wrong", "wrong too", "open sesame"])
    with Store.open(passphrase=lambda: next(asked)) as store:
        assert store.is_encrypted
        assert store.open("llama/v1", "secret.txt").read() == SECRET
        with pytest.raises(NotPermitted):
            pickle.loads(pickle.dumps(store))
        monkeypatch.setenv("ARTSTORE_PASSPHRASE", "open sesame")
        with pickle.loads(pickle.dumps(store)) as again:
            assert again.open("llama/v1", "secret.txt").read() == SECRET
        child = os.fork()
        if child == 0:
            whole = store.open("llama/v1", "secret.txt").read() == SECRET
            os._exit(0 if whole else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with Store.init(home / "plain") as plain:
        assert not plain.is_encrypted
        with pytest.raises(UsageError, match="is not encrypted"):
            plain.list_keys()
    monkeypatch.delenv("ARTSTORE_PASSPHRASE")
    store, _ = Store.clone(RemotePlace(url=f"file://{home}/nas"), home / "clone", passphrase="open sesame")
    store.close()
    with pytest.raises(Conflict, match="store already"):
        Store.init(home / "clone", encrypt="another")
    with Store.open(home / "clone", passphrase="open sesame") as store:
        assert store.open("llama/v1", "secret.txt").read() == SECRET


def test_a_keyring_that_is_gone(run: Run, sealed: Path, home: Path) -> None:
    """It would be called damage of everything; and a copy of it mends all."""
    ring = home / "xdg" / "data" / "artstore" / "keyring"
    data = ring.read_bytes()
    ring.unlink()
    assert "keys/ring" in run("list", code=6).err
    ring.write_bytes(data[:-1])
    assert "keyring" in run("list", code=6).err
    ring.write_bytes((home / "nas" / "keys" / "ring").read_bytes())
    run("check", "--data")
    with Store.init(home / "other", encrypt="open sesame"):
        ring.write_bytes((home / "other" / "keyring").read_bytes())
    with pytest.raises(Corrupt, match="of another store"):
        Store.open()


def test_the_index_is_made_anew(run: Run, sealed: Path, home: Path) -> None:
    """A lost index would take all of an encrypted store with it."""
    index = home / "xdg" / "data" / "artstore" / "index.lmdb" / "data.mdb"
    index.write_bytes(b"garbage")
    run("check", "--rebuild-index", "--data")
    assert run("cat", "llama/production:secret.txt").out.encode() == SECRET


@pytest.mark.parametrize("offset", [40, 20_000, 60_000, -3])
def test_a_damaged_pack(run: Run, sealed: Path, home: Path, offset: int) -> None:
    """What lies beside the damage would be lost, too; where the pack's end was hit, all of it."""
    (sealed / "weights").write_bytes(noise(300_000))
    run("commit", sealed, "-m", "second")
    packs = (home / "xdg" / "data" / "artstore" / "packs").rglob("*.pack")
    pack = max(packs, key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[offset] ^= 1
    pack.write_bytes(data)
    assert run("check", "--data", code=6).err is not None
    repaired = run("check", "--data", "--repair", "--json", code=None).document["repair"]
    assert (repaired["packs_rewritten"], repaired["packs_dropped"]) == (1, 0)
    assert len(repaired["lost"]) <= 3, "what lies beside the damage is kept"
    run("check", "--data", code=None)
    run("commit", sealed, "-m", "again")
    run("checkout", "llama", home / "whole")
    assert (home / "whole" / "weights").read_bytes() == noise(300_000)


# --- asked on a terminal


def test_it_is_asked_for(run: Run, home: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be shown as it is typed, or asked from what is piped in."""
    monkeypatch.delenv("ARTSTORE_PASSPHRASE_FILE", raising=False)
    code, seen = typed(["init", "--encrypt"], ["open sesame", "open sesame"])
    assert code == 0, seen
    assert "sesame" not in seen
    assert "two passphrases" in typed(["init", "--encrypt", "other"], ["open sesame", "open barley"])[1]
    code, seen = typed(["commit", str(model)], ["wrong", "open sesame"])
    assert code == 0, seen
    assert "llama/v1" in seen
    assert seen.count("passphrase:") == 2
    code, seen = typed(["list"], ["wrong"] * 3)
    assert code == 4
    assert "the passphrase is wrong" in seen
    assert typed(["list"], ["\x03"])[0] == 130
