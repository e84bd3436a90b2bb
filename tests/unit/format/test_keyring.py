"""The keyring: who has a passphrase opens it, who was removed doesn't, and nobody else changes it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec
import pytest

from artstore import limits
from artstore.errors import Conflict, Corrupt, NewerFormat, NotFound, NotPermitted, UsageError
from artstore.format.cipher import Gcm, Stretching, wrap
from artstore.format.ids import checksum
from artstore.format.keyring import Unlocked, add_slot, join, new_ring, remove_slot, reopen, rotate, unlock
from artstore.format.ring import Ring, decode_ring, encode_ring

CHEAP = Stretching(8, 1, 1)
# Written before the private half of a slot was bound to the store's keys: alice's, and bob's.


def ring(passphrase: bytes = b"alice's", label: str = "alice") -> Unlocked:
    return new_ring(passphrase, label=label, now=1, random=os.urandom, cost=CHEAP)


def with_bob(known: Unlocked) -> Unlocked:
    return add_slot(known, b"bob's", label="bob", now=2, random=os.urandom, cost=CHEAP)[0]


def stored(known: Unlocked) -> Ring:
    """As another machine reads it."""
    return decode_ring(encode_ring(known.ring))


def test_a_passphrase_opens_it() -> None:
    """Nobody could open the store, or anybody."""
    made = ring()
    found = unlock(stored(made), b"alice's")
    assert found.keys == made.keys
    assert found == made
    with pytest.raises(NotPermitted, match="wrong"):
        unlock(stored(made), b"bob's")
    assert ring().keys.root != made.keys.root
    assert len({made.keys.ids, made.keys.cache, made.keys.root, made.keys.epochs[0], made.keys.names[:32]}) == 5


def test_what_randomness_makes_of_it() -> None:
    """Another release would derive other keys from the same ring. docs/format.md has these."""
    numbers = iter(range(1, 1000))

    def counted(size: int) -> bytes:
        return bytes([next(numbers)]) * size

    made = new_ring(b"alice's", label="alice", now=1, random=counted, cost=CHEAP)
    keys = made.keys
    assert keys.root == b"\1" * 32
    assert keys.epochs == (b"\2" * 32,)
    assert keys.ids.hex() == "425a1835c557246c7a24f45caaee27535058f6433178b99bdfae96f2c932baf9"
    assert keys.names.hex() == (
        "cda1565889bbc578df7438783c57d355d44ee7f77b77fa2fb2a56252cdfb35d1"
        "1b22170bdd0f728033740ffa1456f4440a46a5218c77a50885ac2b68a8882776"
    )
    assert keys.cache.hex() == "4f06706b47daa4e0e2d14fb34eee3720d8ea7de89dd25796d83273de3fc22623"
    assert keys.fingerprint.hex() == "ef832a805a9f9a77de6218428068dcf2"
    assert made.ring.slots[0].private.hex() == (
        "0606060606060606060606062097008db924589316c053f852acdeded4e76163"
        "8b7fce9df81c95d1a89befa19a87f368a6d3dd6658255f2bbb9ac74d"
    )


def test_several_passphrases() -> None:
    """A team would share one, and change it for all when one of them leaves."""
    alice = ring()
    both = with_bob(alice)
    assert both.ring.serial == 2
    bob = unlock(stored(both), b"bob's")
    assert bob.keys == alice.keys
    assert unlock(stored(both), b"alice's").keys == alice.keys
    alone = remove_slot(bob, alice.slot, random=os.urandom)
    assert [slot.label for slot in alone.ring.slots] == ["bob"]
    with pytest.raises(NotPermitted):
        unlock(stored(alone), b"alice's")
    assert alone.keys.epochs[0] == alice.keys.epochs[0], "what is there can be read"
    assert alone.keys.epoch == 2, "what comes is sealed by a key that alice never had"
    assert unlock(stored(alone), b"bob's") == alone


def test_who_was_removed_does_not_open_what_comes() -> None:
    """Somebody who left, with a copy of the old keyring, would read what is written afterwards."""
    alice = ring()
    both = with_bob(alice)
    alone = remove_slot(unlock(stored(both), b"bob's"), alice.slot, random=os.urandom)
    with pytest.raises(NotPermitted, match="removed"):
        reopen(alice, stored(alone))
    # She has her private key, and each slot as it stands in the new ring: none was wrapped for her.
    for slot in alone.ring.slots:
        with pytest.raises((Corrupt, NotPermitted)):
            reopen(alice, msgspec.structs.replace(alone.ring, slots=[msgspec.structs.replace(slot, id=alice.slot)]))


def test_a_running_process_takes_up_a_later_ring() -> None:
    """It could not read what others write once the keys were rotated, or would ask for the passphrase again."""
    alice = ring()
    later = rotate(with_bob(alice), random=os.urandom)
    found = reopen(alice, stored(later))
    assert found.keys == later.keys
    assert found.keys.epoch == 2
    assert reopen(found, stored(alice)) is found, "an older one isn't taken"
    assert reopen(found, stored(later)) is found
    with pytest.raises(Conflict, match="other keys"):
        reopen(alice, stored(ring()))


def serial(known: Unlocked) -> int:
    return known.ring.serial


def labels(known: Unlocked) -> list[str]:
    return [slot.label for slot in known.ring.slots]


def with_carol(known: Unlocked) -> Unlocked:
    return add_slot(known, b"carol's", label="carol", now=3, random=os.urandom, cost=CHEAP)[0]


def without(known: Unlocked, label: str) -> Unlocked:
    slot = next(slot for slot in known.ring.slots if slot.label == label)
    return remove_slot(known, slot.id, random=os.urandom)


def joined(known: Unlocked, other: Unlocked) -> Unlocked:
    return join(known, stored(other), random=os.urandom)


def test_the_later_of_two_rings_is_what_both_have() -> None:
    """It would be sealed anew, and later, at each contact."""
    first = ring()
    made = with_bob(first)
    for later in (with_carol(made), rotate(made, random=os.urandom), without(made, "bob")):
        assert joined(made, later) == later
        assert joined(later, made) is later
    assert joined(made, made).ring == made.ring
    bob = unlock(stored(made), b"bob's")
    assert joined(bob, first) is bob, "who came later has more"


def test_passphrases_that_were_added_in_two_places() -> None:
    """One of them would be lost, though its owner was told that it opens the store."""
    made = ring()
    here, there = with_bob(made), with_carol(made)
    for one, other in ((here, there), (there, here), (with_bob(here), there), (there, with_bob(here))):
        both = joined(one, other)
        assert serial(both) == max(serial(one), serial(other)) + 1
        assert both.keys == made.keys
        for passphrase in (b"alice's", b"bob's", b"carol's"):
            assert unlock(stored(both), passphrase).keys == made.keys
        assert joined(one, both) == both, "each of both takes it up"
        assert joined(other, both) == both
        assert reopen(one, both.ring) == both


def test_a_passphrase_that_was_removed_in_one_place() -> None:
    """It would open what comes, because another place hadn't heard of that when it changed something else."""
    made = with_bob(ring())
    here, there = without(made, "bob"), with_carol(made)
    for both in (joined(here, there), joined(there, here), joined(with_carol(there), here)):
        assert labels(both) == ["alice"], "what the other one lacks may have been removed"
        assert both.keys == here.keys
        with pytest.raises(NotPermitted):
            unlock(stored(both), b"bob's")
    for ours in (there, with_carol(there)):
        bob = unlock(stored(ours), b"bob's")
        assert serial(bob) >= serial(here)
        with pytest.raises(NotPermitted, match="one of them only"):
            join(bob, stored(here), random=os.urandom)


def test_who_can_not_open_a_ring_does_not_replace_it() -> None:
    """It may have what the later one lacks: a key, with what was sealed by it; a passphrase, or the removal of one."""
    made = with_bob(ring())
    carol = unlock(stored(with_carol(with_bob(made))), b"carol's")
    rotated_too = unlock(stored(with_carol(rotate(made, random=os.urandom))), b"carol's")
    bob = unlock(stored(rotate(rotate(made, random=os.urandom), random=os.urandom)), b"bob's")
    for ours, theirs in (
        (carol, rotate(made, random=os.urandom)),
        (carol, with_carol(made)),
        (rotated_too, rotate(made, random=os.urandom)),
        (bob, without(made, "bob")),
    ):
        assert serial(ours) > serial(theirs)
        with pytest.raises(NotPermitted, match="one of them only"):
            join(ours, stored(theirs), random=os.urandom)
    for ours in (carol, rotated_too, bob):
        assert joined(ours, made) is ours, "it was made from that"


def test_keys_that_were_begun_in_two_places() -> None:
    """One number would name two keys: what was sealed by one of them is lost if the other one replaces it."""
    made = ring()
    here, there = (rotate(made, random=os.urandom) for _ in range(2))
    later = rotate(here, random=os.urandom)
    for one, other in ((here, there), (later, there), (there, later), (with_bob(here), there)):
        with pytest.raises(Conflict, match="two places"):
            joined(one, other)
    with pytest.raises(Conflict, match="two places"):
        reopen(there, later.ring)


def test_a_later_ring_that_lacks_a_key_is_not_taken_up() -> None:
    """What was sealed here by that key would be lost."""
    made = ring()
    here, there = rotate(made, random=os.urandom), with_carol(with_bob(made))
    assert reopen(here, there.ring) is here, "it opens all that the other one opens"
    assert joined(here, there).keys == here.keys


def test_a_ring_that_is_too_far_ahead() -> None:
    """Who was removed, and may write the bucket, would make one behind whose serial nobody can change keys."""
    made = ring()
    for ahead in (limits.KEYRING_STEPS_MAX + 1, limits.KEYRING_SERIAL_MAX):
        forged = msgspec.structs.replace(with_bob(made).ring, serial=serial(made) + ahead)
        with pytest.raises(Conflict, match="ahead"):
            join(made, forged, random=os.urandom)
        with pytest.raises(Conflict, match="ahead"):
            reopen(made, forged)
    for impossible in (0, limits.KEYRING_SERIAL_MAX + 1):
        with pytest.raises(Corrupt):
            decode_ring(encode_ring(msgspec.structs.replace(made.ring, serial=impossible)))


def test_what_may_not_be_removed() -> None:
    """A store would be locked for ever."""
    alice = ring()
    with pytest.raises(UsageError, match="opened the store with"):
        remove_slot(alice, alice.slot, random=os.urandom)
    with pytest.raises(NotFound, match="00000000"):
        remove_slot(alice, bytes(4), random=os.urandom)


@pytest.mark.parametrize(
    ("passphrase", "label"), [(b"", "x"), (b"x" * 1025, "x"), (b"x", "x" * 201), (b"x", "a\nb"), (b"x", "\x1b[1m")]
)
def test_what_can_not_be_one(passphrase: bytes, label: str) -> None:
    """A terminal would be written to, or an empty answer lock a store."""
    with pytest.raises(UsageError):
        ring(passphrase, label)


def test_there_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong passphrase would take minutes."""
    monkeypatch.setattr(limits, "KEY_SLOTS_MAX", 1)
    with pytest.raises(UsageError, match="already"):
        with_bob(ring())
    monkeypatch.setattr(limits, "KEY_EPOCHS_MAX", 1)
    with pytest.raises(UsageError, match="changed"):
        rotate(ring(), random=os.urandom)


def test_each_flipped_bit_is_refused() -> None:
    """A damaged keyring would be written over the good copies."""
    data = encode_ring(with_bob(ring()).ring)
    for at in range(8 * len(data)):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises((Corrupt, NewerFormat)):
            decode_ring(bytes(changed))


def test_nobody_without_the_keys_changes_it() -> None:
    """Who can write the bucket would let himself in, or have us seal by a key of his."""
    alice = ring()
    both = with_bob(alice)
    for wrong in _changed(both.ring):
        data = encode_ring(wrong)  # its checksum is right
        with pytest.raises((Corrupt, NotPermitted, Conflict)):
            _ = unlock(decode_ring(data), b"alice's"), reopen(alice, decode_ring(data))


def _changed(good: Ring) -> Iterator[Ring]:
    replace = msgspec.structs.replace
    mallory = ring(b"mallory's", "mallory").ring
    yield replace(good, serial=good.serial + 1)
    yield replace(good, slots=good.slots[:1])
    yield replace(good, slots=good.slots[::-1])
    yield replace(good, slots=[*good.slots, mallory.slots[0]])
    yield replace(good, slots=[replace(good.slots[0], label="root"), *good.slots[1:]])
    yield replace(good, slots=[replace(good.slots[0], cost=Stretching(16, 1, 1)), *good.slots[1:]])
    yield replace(good, slots=[replace(slot, public=mallory.slots[0].public) for slot in good.slots])
    yield replace(good, sealed=mallory.sealed)
    yield replace(mallory, keys=good.keys, serial=9)
    yield replace(mallory, serial=9)


def test_a_new_clone_takes_no_keys_of_others() -> None:
    """Who can write the bucket would wrap keys of his own for alice, whose next clone would seal by them."""
    alice, mallory = ring(), ring(b"mallory's", "mallory")
    # What he has of hers is what lies in the bucket; anybody can wrap for a public key.
    slot = alice.ring.slots[0]
    secrets, master, nonce = (1, [mallory.keys.root, list(mallory.keys.epochs)]), bytes(32), bytes(12)
    wrapped = wrap(master, public=slot.public, info=b"artstore 2026 keyring 1 " + slot.id)
    for keys in (mallory.ring.keys, alice.ring.keys):
        forged = Ring(1, keys, [msgspec.structs.replace(slot, master=wrapped)], b"")
        bound = encode_ring(forged)[:-16]
        sealed = nonce + Gcm(master).seal(nonce, msgspec.msgpack.encode(secrets), bound=bound)
        with pytest.raises((NotPermitted, Corrupt)):
            unlock(decode_ring(encode_ring(msgspec.structs.replace(forged, sealed=sealed))), b"alice's")


@pytest.mark.parametrize("size", [0, 1, 7, 11, 200])
@pytest.mark.parametrize("field", ["id", "salt", "public", "private", "master"])
def test_parts_of_a_slot_of_other_sizes(field: str, size: int) -> None:
    """Who can write the bucket would end a clone in a traceback."""
    good = ring().ring
    wrong = msgspec.structs.replace(good, slots=[msgspec.structs.replace(good.slots[0], **{field: bytes(size)})])
    with pytest.raises(Corrupt, match="makes no sense"):
        decode_ring(encode_ring(wrong))


def test_parts_of_a_ring_of_other_sizes() -> None:
    """The same."""
    good = ring().ring
    for wrong in (msgspec.structs.replace(good, sealed=bytes(28)), msgspec.structs.replace(good, keys=bytes(15))):
        with pytest.raises(Corrupt, match="makes no sense"):
            decode_ring(encode_ring(wrong))


def test_keys_are_kept_out_of_logs() -> None:
    """A message, a traceback with its values, or a failed assertion would have them."""
    known = with_bob(ring())
    shown = repr(known) + repr(known.keys) + str(known)
    for secret in (known.private, known.keys.root, *known.keys.epochs):
        assert repr(secret) not in shown
        assert secret.hex() not in shown


def test_a_ring_that_asks_for_too_much_is_not_believed() -> None:
    """Who can write the bucket would take all of a machine's memory."""
    good = ring().ring
    for cost in (Stretching(1 << 40, 1, 1), Stretching(8, 1 << 30, 1), Stretching(8, 1, 0), Stretching(1, 1, 1)):
        wrong = msgspec.structs.replace(good, slots=[msgspec.structs.replace(good.slots[0], cost=cost)])
        with pytest.raises(Corrupt, match="makes no sense"):
            decode_ring(encode_ring(wrong))
    for wrong in (msgspec.structs.replace(good, slots=[]), msgspec.structs.replace(good, serial=0)):
        with pytest.raises(Corrupt, match="makes no sense"):
            decode_ring(encode_ring(wrong))


def test_a_later_format_is_told_from_damage() -> None:
    """An old release would call a good keyring damaged."""
    body = bytearray(encode_ring(ring().ring)[:-16])
    body[1] = 3
    with pytest.raises(NewerFormat):
        decode_ring(bytes(body) + checksum(bytes(body))[:16])
