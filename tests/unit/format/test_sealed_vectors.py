"""Known answers of encryption, read out of docs/format.md: another program that was made by it opens what we seal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from artstore.format.cipher import derive, mask
from artstore.format.ids import Ids
from artstore.format.keyring import Unlocked, unlock
from artstore.format.ring import decode_ring, encode_ring
from artstore.format.sealed import Segments, open_object, parse_header, seal_object
from artstore.store.sealed import SealedRemote
from artstore.testing.memory_remote import Bucket, MemoryRemote
from artstore.testing.sealing import keychain

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "format.md").read_text(encoding="utf-8")
HELLO, PACK = b"hello", bytes(range(16))


def section(title: str) -> str:
    """What stands under a heading."""
    _, _, rest = TEXT.partition(f"\n{title}\n")
    assert rest, f"docs/format.md has no {title}"
    return re.split(r"\n#+ ", rest)[0]


def rows(title: str) -> dict[str, str]:
    """Tables of two columns: what, and the value in backquotes."""
    return dict(re.findall(r"^\| (.+) \| `([^`|]+)` \|$", section(title), re.MULTILINE))


@pytest.fixture(scope="module")
def opened() -> Unlocked:
    """The keyring of the document."""
    block = re.search(r"```text\n([0-9a-f\n]+)```", section("### Vectors"))
    assert block is not None
    data = bytes.fromhex(block[1].replace("\n", ""))
    ring = decode_ring(data)
    assert encode_ring(ring) == data
    return unlock(ring, b"alice's")


def test_the_keyring(opened: Unlocked) -> None:
    """A keyring that was made by the document would not open."""
    assert opened.keys.root == b"\1" * 32
    assert opened.keys.epochs == (b"\2" * 32,)
    told = section("## Keyring")
    for key in (opened.keys.ids, opened.keys.cache, opened.keys.fingerprint):
        assert key.hex() in told


def test_sealed_objects() -> None:
    """The same of a pack."""
    epoch, salt, name = bytes(range(32)), bytes(range(16)), b"p/0/00000001"
    found = rows("## Sealed objects")
    told = {bytes.fromhex(re.sub(r"^nothing$|`", "", what)): value for what, value in found.items()}
    assert told.keys() == {b"", HELLO}
    for data, value in told.items():
        sealed = seal_object(data, epoch=1, epoch_key=epoch, salt=salt, name=name)
        assert sealed[32:].hex() == value
        assert open_object(sealed, Segments(epoch, parse_header(sealed), name)) == data
        key = derive(epoch, info=b"artstore 2026 sealed object 1" + sealed[:32] + name)
        assert (key.hex() in section("## Sealed objects")) == (data == HELLO)


def test_what_follows_from_the_keyring(opened: Unlocked) -> None:
    """Names at a remote would not be found again, a cache not be read, and all ids be others."""
    keys, ids = opened.keys, Ids(opened.keys.ids)
    cached = derive(keys.cache, info=b"artstore 2026 cached pack 1" + PACK)
    assert rows("### Vectors") == {
        "`tags/resnet50/v3` at a remote": placed(opened, "tags/resnet50/v3"),
        "`aliases/resnet50/production` at a remote": placed(opened, "aliases/resnet50/production"),
        "the key of the cached pack `000102…0f`": cached.hex(),
        "`68656c6c6f` in it, from byte 100 on": mask(cached, HELLO, offset=100).hex(),
        "id of the chunk `68656c6c6f`": ids.chunk(HELLO).hex(),
        "id of a tree page of these bytes": ids.tree_page(HELLO).hex(),
        "id of a recipe page": ids.recipe_page(HELLO).hex(),
        "id of a version": ids.version(HELLO).hex(),
        "id of a move": ids.move(HELLO).hex(),
        "mark of the ids": ids.mark.hex(),
    }


def placed(opened: Unlocked, key: str) -> str:
    """Where a remote of these keys puts an object; it is listed under its own name."""
    bucket = Bucket()
    remote = SealedRemote(MemoryRemote(bucket), keychain(opened))
    remote.put(key, b"")
    assert [found.key for found in remote.list("")] == [key]
    (there,) = MemoryRemote(bucket).list("")
    return there.key


def test_a_stretch_of_the_cache_s_key_stream(opened: Unlocked) -> None:
    """What was kept from one place on would not be read from another."""
    data = bytes(range(200))
    whole = mask(opened.keys.cache, data, offset=1000)
    for start in range(0, 200, 7):
        assert mask(opened.keys.cache, data[start:], offset=1000 + start) == whole[start:]


@pytest.mark.parametrize("folder", ["tags/", "aliases/"])
def test_each_flipped_bit_of_a_name_is_refused(opened: Unlocked, folder: str) -> None:
    """Who can write the bucket would make names that we take for ours, or turn a tag into an alias."""
    bucket = Bucket()
    bare = MemoryRemote(bucket)
    remote = SealedRemote(bare, keychain(opened))
    remote.put(f"{folder}m/v1", b"")
    (there,) = bare.list("")
    name = there.key.removeprefix(folder)
    bare.delete(there.key)
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    strange = {folder + name[:at] + alphabet[alphabet.index(name[at]) ^ 1] + name[at + 1 :] for at in range(len(name))}
    strange.add({"tags/": "aliases/", "aliases/": "tags/"}[folder] + name)
    for key in strange:
        bare.put(key, b"")
    shown = {found.key for found in remote.list("")}
    assert shown == strange, "as they lie there, under no name of ours"
