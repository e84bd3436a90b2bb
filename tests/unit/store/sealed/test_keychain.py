"""Keys of an open store: a keyring that can't be kept here, or that another process has changed."""

from __future__ import annotations

import os

import pytest

from artstore.errors import ArtstoreError, Conflict, NoSpace, NotPermitted
from artstore.format.keyring import Unlocked, add_slot, remove_slot, rotate, unlock
from artstore.format.ring import decode_ring, encode_ring
from artstore.format.sealed import open_object, parse_header
from artstore.store.sealed import Keychain, SealedRemote
from artstore.store.sealed.ring import change_kept_ring, change_ring, sync_ring
from artstore.testing.memory_remote import Bucket, MemoryRemote
from artstore.testing.sealing import CHEAP, PASSPHRASE, keychain, unlocked


class Disk:
    """Where several processes keep one keyring, as `STORE/keyring` is kept; it may be full, or another user's."""

    def __init__(self, known: Unlocked) -> None:
        self.data = encode_ring(known.ring)
        self.refuses: type[ArtstoreError] | None = None

    def opened(self, known: Unlocked) -> Keychain:
        return Keychain(known, keep=self.keep, load=lambda: self.data)

    def keep(self, data: bytes, instead_of: bytes) -> bool:
        if self.refuses is not None:
            raise self.refuses("the keyring can't be written")
        if self.data != instead_of:
            return False
        self.data = data
        return True


def added(label: str, known: Unlocked) -> Unlocked:
    return add_slot(known, label.encode(), label=label, now=1, random=os.urandom, cost=CHEAP)[0]


def turned(known: Unlocked) -> Unlocked:
    return rotate(known, random=os.urandom)


@pytest.mark.parametrize("refusal", [NotPermitted, NoSpace])
def test_who_can_not_keep_a_later_keyring_reads_all_the_same(refusal: type[ArtstoreError]) -> None:
    """Somebody who may only read a store, or whose disk is full, would not see what was pushed after a rotation."""
    first = unlocked()
    elsewhere, disk, bare = keychain(first), Disk(first), MemoryRemote(Bucket())
    reader = disk.opened(first)
    sync_ring(bare, elsewhere)
    change_ring(bare, elsewhere, turned)
    SealedRemote(bare, elsewhere).put("p/0/1", b"legible")
    disk.refuses = refusal
    assert SealedRemote(bare, reader).get_range("p/0/1", 0, 3) == b"leg"
    assert reader.keys.epoch == 2
    with pytest.raises(refusal):  # killed, nobody here could open it
        reader.seal(b"x", b"packs/00")
    with pytest.raises(refusal):
        reader.begin(b"packs/00")
    disk.refuses = None
    assert parse_header(reader.seal(b"x", b"packs/00")).epoch == 2
    assert disk.data == encode_ring(reader.ring)


def test_a_key_that_another_process_began_stays() -> None:
    """A daemon would replace the kept keyring by a later one of a remote, and lose what was sealed by that key."""
    first = unlocked()
    elsewhere, disk, bare = keychain(first), Disk(first), MemoryRemote(Bucket())
    daemon, command = disk.opened(first), disk.opened(first)
    sync_ring(bare, elsewhere)
    for label in ("one", "two"):
        change_ring(bare, elsewhere, lambda known, label=label: added(label, known))  # type: ignore[misc]  # a default
    change_kept_ring(command, turned)
    sealed = command.seal(b"x", b"packs/00")
    daemon.meet(encode_ring(elsewhere.ring))  # it reads there first
    sync_ring(bare, daemon)
    for keys in (daemon, disk.opened(unlock(decode_ring(disk.data), PASSPHRASE))):
        assert open_object(sealed, keys.segments(sealed, b"packs/00")) == b"x"


def test_a_key_that_another_process_removed() -> None:
    """Who was removed would go on as if he weren't, in a process that runs."""
    first = added("bob", unlocked())
    disk = Disk(first)
    owner, of_bob = disk.opened(first), disk.opened(unlock(first.ring, b"bob"))
    change_kept_ring(owner, lambda known: remove_slot(known, of_bob.unlocked.slot, random=os.urandom))
    with pytest.raises(NotPermitted, match=r"bob.*was removed"):
        of_bob.renewed()
    with pytest.raises(NotPermitted, match=r"bob.*was removed"):
        change_kept_ring(of_bob, turned)


def test_keys_are_not_changed_at_home_if_what_is_kept_can_not_follow() -> None:
    """The home would have a key that this store never opens, though it was told that the change failed."""
    first = unlocked()
    elsewhere, disk, bare = keychain(first), Disk(first), MemoryRemote(Bucket())
    running = disk.opened(first)
    sync_ring(bare, elsewhere)
    change_ring(bare, elsewhere, turned)
    running.meet(encode_ring(elsewhere.ring))
    disk.data = encode_ring(turned(first).ring)  # an old copy, which was gone on with
    before = elsewhere.ring
    running.renewed()
    with pytest.raises(Conflict, match="two places"):
        change_ring(bare, running, turned)
    with pytest.raises(Conflict, match="two places"):
        running.seal(b"x", b"packs/00")
    assert sync_ring(bare, elsewhere).data == encode_ring(before)


def test_two_processes_change_the_keyring_of_a_store_without_a_remote() -> None:
    """One of two new passphrases would be lost, though both were told that it opens the store."""
    first = unlocked()
    disk = Disk(first)
    one, other = disk.opened(first), disk.opened(first)
    tried: list[str] = []

    def change(known: Unlocked) -> Unlocked:
        tried.append("one")
        if len(tried) == 1:
            change_kept_ring(other, lambda known: added("other", known))
        return added("one", known)

    change_kept_ring(one, change)
    assert [slot.label for slot in one.ring.slots] == ["test", "other", "one"]
    assert disk.data == encode_ring(one.ring)
    assert len(tried) == 2


def test_a_change_that_could_not_be_kept_here() -> None:
    """It would be made a second time, since nothing tells that it was made at home."""
    first = unlocked()
    disk, bare = Disk(first), MemoryRemote(Bucket())
    keys = disk.opened(first)
    sync_ring(bare, keys)
    disk.refuses = NoSpace
    with pytest.raises(NoSpace, match="were changed at") as told:
        change_ring(bare, keys, lambda known: added("bob", known))
    assert "artstore fetch" in str(told.value)
    assert keys.ring == first.ring
    disk.refuses = None
    sync_ring(bare, keys)
    assert [slot.label for slot in keys.ring.slots] == ["test", "bob"]
    assert disk.data == encode_ring(keys.ring)
