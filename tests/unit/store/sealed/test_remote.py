"""A remote of sealed objects: what who has the bucket learns, and what he can do."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from artstore.errors import Conflict, Corrupt, NotPermitted
from artstore.format.keyring import Unlocked, add_slot, remove_slot, rotate, unlock
from artstore.format.remote import RING_KEY
from artstore.format.ring import Ring, decode_ring, encode_ring
from artstore.model import Fetched, RemotePlace
from artstore.ports import Remote
from artstore.store.sealed import Keychain, SealedRemote
from artstore.store.sealed.ring import change_ring, meet_ring, sync_ring
from artstore.testing.memory_remote import Bucket, MemoryRemote
from artstore.testing.sealing import CHEAP, PASSPHRASE, keychain, unlocked
from artstore.wiring import reaching

SECRET = b"very legible words"


@pytest.fixture
def bare(tmp_path: Path) -> Remote:
    return reaching.open_remote(RemotePlace(url=f"file://{tmp_path}/remote"))


@pytest.fixture
def keys() -> Keychain:
    return keychain()


@pytest.fixture
def remote(bare: Remote, keys: Keychain) -> SealedRemote:
    return SealedRemote(bare, keys)


def ring_at(bare: Remote) -> Ring:
    found = bare.get(RING_KEY)
    assert found is not None
    return decode_ring(found.data)


def added(known: Unlocked, label: str) -> Unlocked:
    return add_slot(known, label.encode(), label=label, now=1, random=os.urandom, cost=CHEAP)[0]


def listed(remote: Remote, prefix: str = "") -> list[str]:
    return [found.key for found in remote.list(prefix)]


def test_neither_content_nor_names_are_legible(remote: SealedRemote, bare: Remote) -> None:
    """Who has the bucket would know what is in it."""
    for key in ("tags/customer-x/v1", "aliases/customer-x/production", "sets/ab", "p/0/1"):
        remote.put(key, SECRET + key.encode())
    everything = "".join(listed(bare)).encode() + b"".join(
        found.data for key in listed(bare) if (found := bare.get(key)) is not None
    )
    assert b"customer" not in everything
    assert b"legible" not in everything
    assert listed(remote) == ["aliases/customer-x/production", "p/0/1", "sets/ab", "tags/customer-x/v1"]
    for key in listed(remote):
        found, head = remote.get(key), remote.head(key)
        assert found is not None
        assert head is not None
        assert found.data == SECRET + key.encode()
        assert (head.key, head.size) == (key, len(found.data))


@pytest.mark.parametrize("name", ["a/v1", "a/" + "b" * 398, "x/" + "y" * 30, "x/" + "y" * 29])
def test_names_of_all_lengths(remote: SealedRemote, bare: Remote, name: str) -> None:
    """A long name would not be found again, or be too long for a folder or a bucket."""
    remote.create(f"tags/{name}", b"1")
    assert listed(remote, "tags/") == [f"tags/{name}"]
    assert remote.create(f"tags/{name}", b"2") is None, "one object for each name"
    (there,) = listed(bare)
    assert max(map(len, there.split("/"))) <= 200
    assert len(there) < 800


def test_equal_lengths_hide_lengths(remote: SealedRemote, bare: Remote) -> None:
    """`v1` and `v10` would be told apart by who has the bucket."""
    for name in ("llama/v1", "llama/v10", "llama/v1000"):
        remote.put(f"tags/{name}", b"")
    assert len({len(key) for key in listed(bare)}) == 1


def test_one_object_can_not_stand_for_another(remote: SealedRemote, bare: Remote) -> None:
    """Who can write the bucket would roll a tag to another version."""
    remote.put("tags/m/v1", b"good")
    remote.put("tags/m/v2", b"bad")
    first, second = listed(bare)
    found = bare.get(second)
    assert found is not None
    bare.put(first, found.data)
    with pytest.raises(Corrupt, match="does not match its seal"):
        _ = [remote.get(key) for key in ("tags/m/v1", "tags/m/v2")]


def test_what_others_have_put_there(remote: SealedRemote, bare: Remote) -> None:
    """A stray object would stop every listing."""
    remote.put("tags/m/v1", b"1")
    for stray in ("tags/readme.txt", "tags/aaaa", "tags/a1b2c3", "notes.txt"):
        bare.put(stray, b"stray")
    assert set(listed(remote)) == {"notes.txt", "tags/a1b2c3", "tags/aaaa", "tags/m/v1", "tags/readme.txt"}
    with pytest.raises(Corrupt, match="sealed"):
        remote.get("notes.txt")


def test_damage_is_asked_for_once_more(remote: SealedRemote, bare: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bit that flipped on the way would fail a command."""
    remote.put("sets/aa", SECRET)
    good = bare.get("sets/aa")
    assert good is not None
    answers = [replace(good, data=good.data[:-1] + b"?"), good]

    def get(key: str) -> Fetched:
        assert key == "sets/aa"
        return answers.pop(0)

    monkeypatch.setattr(bare, "get", get)
    assert (found := remote.get("sets/aa")) is not None
    assert found.data == SECRET
    answers += [replace(good, data=good.data[:-1] + b"?")] * 2
    with pytest.raises(Corrupt, match="sets/aa"):
        remote.get("sets/aa")


def test_ranges_of_what_was_replaced(remote: SealedRemote, bare: Remote, keys: Keychain) -> None:
    """A reader would see damage where another process wrote anew."""
    remote.put("sets/aa", b"a" * 50_000)
    assert remote.get_range("sets/aa", 40_000, 2) == b"aa"
    SealedRemote(bare, keys).put("sets/aa", b"b" * 50_000)
    assert remote.get_range("sets/aa", 40_000, 2) == b"bb"


# --- the keyring


def test_the_later_ring_wins(bare: Remote, keys: Keychain) -> None:
    """Machines of one store would seal by keys that the others never hear of."""
    there = sync_ring(bare, keys)
    assert there.data == encode_ring(keys.ring)
    other = Keychain(keys.unlocked, keep=lambda _data, _before: True, load=lambda: encode_ring(keys.unlocked.ring))
    change_ring(bare, keys, lambda known: rotate(known, random=os.urandom))
    assert keys.keys.epoch == 2
    assert other.keys.epoch == 1
    sync_ring(bare, other)
    assert other.keys == keys.keys
    # A remote that lags behind gets it.
    bare.put(RING_KEY, there.data)
    sync_ring(bare, keys)
    assert (found := bare.get(RING_KEY)) is not None
    assert found.data == encode_ring(keys.ring)


def test_what_is_sealed_by_a_later_key_is_read_at_once(remote: SealedRemote, bare: Remote, keys: Keychain) -> None:
    """A reader that runs would see damage until it is started again."""
    sync_ring(bare, keys)
    running = SealedRemote(
        bare, Keychain(keys.unlocked, keep=lambda _data, _before: True, load=lambda: encode_ring(old))
    )
    old = keys.ring
    change_ring(bare, keys, lambda known: rotate(known, random=os.urandom))
    remote.put("p/0/1", SECRET)
    assert running.get_range("p/0/1", 0, 4) == SECRET[:4]


def test_a_removed_key_is_told(bare: Remote, keys: Keychain) -> None:
    """Its owner would be told that the bucket is damaged."""
    sync_ring(bare, keys)
    bob, slot = add_slot(keys.unlocked, b"bob", label="bob", now=1, random=os.urandom, cost=CHEAP)
    keys.take(bob)
    of_bob = Keychain(unlock(bob.ring, b"bob"), keep=lambda _data, _before: True, load=lambda: encode_ring(bob.ring))
    assert of_bob.unlocked.slot == slot.id
    change_ring(bare, keys, lambda known: remove_slot(known, slot.id, random=os.urandom))
    with pytest.raises(NotPermitted, match=r"bob.*was removed"):
        sync_ring(bare, of_bob)


def test_two_that_change_it_at_once(bare: Remote, keys: Keychain) -> None:
    """One of two new passphrases would be lost, though both were told that it opens the store."""
    sync_ring(bare, keys)
    other = Keychain(keys.unlocked, keep=lambda _data, _before: True, load=lambda: encode_ring(keys.ring))
    raced: list[str] = []

    def add(mine: Keychain, label: str) -> None:
        def change(known: Unlocked) -> Unlocked:
            raced.append(label)
            if raced == ["first"]:
                add(other, "second")  # another machine is quicker
            return add_slot(known, label.encode(), label=label, now=1, random=os.urandom, cost=CHEAP)[0]

        change_ring(bare, mine, change)

    add(keys, "first")
    assert [slot.label for slot in keys.ring.slots] == ["test", "second", "first"]
    assert raced == ["first", "second", "first"]


def apart(bare: Remote, keys: Keychain) -> Keychain:
    """Another machine, with what both knew before either changed it."""
    sync_ring(bare, keys)
    return keychain(keys.unlocked)


def labels(keys: Keychain) -> list[str]:
    return [slot.label for slot in keys.ring.slots]


def test_two_homes_that_got_passphrases_apart(bare: Remote, keys: Keychain) -> None:
    """After a promotion that one of both didn't hear of, neither would push to the other's remote again."""
    other = apart(bare, keys)
    change_ring(bare, keys, lambda known: added(known, "there"))
    other.take(added(other.unlocked, "here"))
    sync_ring(bare, other)
    assert sorted(labels(other)) == ["here", "test", "there"]
    sync_ring(bare, keys)
    assert keys.ring == other.ring
    change_ring(bare, keys, lambda known: added(known, "more"))
    sync_ring(bare, other)
    assert other.ring == keys.ring


def test_a_later_ring_does_not_replace_a_key_that_it_lacks(bare: Remote, keys: Keychain) -> None:
    """All that was sealed by that key would be lost with it."""
    other = apart(bare, keys)
    change_ring(bare, keys, lambda known: rotate(known, random=os.urandom))
    SealedRemote(bare, keys).put("p/0/1", SECRET)
    other.take(added(added(other.unlocked, "one"), "two"))
    assert other.ring.serial > keys.ring.serial
    remote = SealedRemote(bare, other)
    sync_ring(remote, other)
    assert other.keys == keys.keys
    assert remote.get_range("p/0/1", 0, 4) == SECRET[:4]
    assert labels(other) == ["test"], "it isn't known who was removed there"


def test_who_only_reads_and_writes_all_the_same(bare: Remote, keys: Keychain) -> None:
    """A name that is removed there would be sealed by a key that nobody there has, since both count as late."""
    other = apart(bare, keys)
    change_ring(bare, keys, lambda known: added(known, "there"))
    other.take(rotate(other.unlocked, random=os.urandom))
    remote = SealedRemote(bare, other)
    meet_ring(remote, other)
    remote.put("tags/m/v1", b"removed")
    clone = keychain(unlock(ring_at(bare), PASSPHRASE))
    assert (found := SealedRemote(bare, clone).get("tags/m/v1")) is not None
    assert found.data == b"removed"


def test_another_thread_meets_another_keyring(bare: Remote, keys: Keychain, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sealed next would be sealed by a key that this remote hasn't."""
    elsewhere = MemoryRemote(Bucket())
    sync_ring(elsewhere, keys)
    there, other = apart(bare, keys), apart(bare, keys)
    change_ring(bare, there, lambda known: added(known, "there"))
    change_ring(elsewhere, other, lambda known: rotate(known, random=os.urandom))
    meet, met = keys.meet, list[bytes]()

    def slow(data: bytes) -> None:
        met.append(data)
        if len(met) == 1:
            sync_ring(elsewhere, keys)
        meet(data)

    monkeypatch.setattr(keys, "meet", slow)
    sync_ring(bare, keys)
    assert keys.keys.epoch == 2, "the other thread was quicker"
    assert ring_at(bare) == keys.ring


def test_two_homes_that_began_keys_apart(bare: Remote, keys: Keychain) -> None:
    """The same, and no ring has both."""
    other = apart(bare, keys)
    change_ring(bare, keys, lambda known: rotate(known, random=os.urandom))
    there = bare.get(RING_KEY)
    for _ in range(2):
        other.take(rotate(other.unlocked, random=os.urandom))
        before = other.ring
        with pytest.raises(Conflict, match="two places") as caught:
            sync_ring(bare, other)
        assert "artstore clone" in str(caught.value.hint)
        assert other.ring == before
    assert (found := bare.get(RING_KEY)) is not None
    assert there is not None
    assert found.data == there.data


def test_a_stranger_s_ring(bare: Remote, keys: Keychain) -> None:
    """Somebody with the bucket would have us seal by his keys."""
    bare.put(RING_KEY, encode_ring(rotate(unlocked(), random=os.urandom).ring))
    before = keys.unlocked
    with pytest.raises(Conflict, match="other keys"):
        sync_ring(bare, keys)
    older = encode_ring(unlocked().ring)
    bare.put(RING_KEY, older)
    later = keychain(rotate(before, random=os.urandom))
    with pytest.raises(Conflict, match="other keys"):
        sync_ring(bare, later)
    assert (found := bare.get(RING_KEY)) is not None
    assert found.data == older
    bare.put(RING_KEY, b"garbage")
    with pytest.raises(Corrupt, match="keys/ring"):
        sync_ring(bare, keys)
    assert keys.unlocked is before


def test_an_older_ring_is_not_taken_back(bare: Remote, keys: Keychain) -> None:
    """Who can write the bucket would bring a removed passphrase back."""
    first = sync_ring(bare, keys)
    change_ring(bare, keys, lambda known: rotate(known, random=os.urandom))
    newest = keys.ring
    bare.put(RING_KEY, first.data)
    sync_ring(bare, keys)
    assert keys.ring == newest


@pytest.mark.parametrize("how", ["put", "create", "swap"])
def test_a_remote_that_lags_behind_gets_the_keyring_first(bare: Remote, keys: Keychain, how: str) -> None:
    """What is sealed by a key that nobody there has would be lost with the machine that has it."""
    remote = SealedRemote(bare, keys)
    sync_ring(remote, keys)
    remote.put("sets/aa", b"before")
    keys.take(rotate(keys.unlocked, random=os.urandom))  # while this remote was out of reach
    match how:
        case "put":
            remote.put("sets/aa", SECRET)
        case "create":
            assert remote.create("tags/m/v1", SECRET) is not None
        case _:
            found = remote.get("sets/aa")
            assert found is not None
            assert remote.swap("sets/aa", SECRET, found.etag) is not None
    there = bare.get(RING_KEY)
    assert there is not None
    assert there.data == encode_ring(keys.ring)
