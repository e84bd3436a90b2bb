"""Numbers: the same for the same thing, never one for two things that the kernel knows."""

from __future__ import annotations

import errno
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.model import Content, Entry, Form, Kind
from artstore_fuse import nodes
from artstore_fuse.nodes import ROOT_INODE, Node, Nodes, PlaceNode, Top, place_key, tree_key


def place(numbers: Nodes, name: bytes) -> PlaceNode:
    """The node of a folder of names."""
    found = numbers.find(place_key(Kind.DIR, (name,)), lambda inode: PlaceNode(inode, Kind.DIR, (name,)))
    assert isinstance(found, PlaceNode)
    return found


def empty() -> Nodes:
    """A kernel that knows the root."""
    return Nodes(PlaceNode(ROOT_INODE, Kind.DIR, ()))


def refused(numbers: Nodes, inode: int) -> bool:
    """Whether a number means nothing."""
    try:
        numbers.get(inode)
    except OSError as error:
        return error.errno == errno.ESTALE
    return False


def test_known_until_forgotten_as_often_as_told() -> None:
    """The kernel counts what it was told; one time too few and a file in use would be gone."""
    numbers = empty()
    node = place(numbers, b"a")
    assert refused(numbers, node.inode)  # found, but not told to anybody
    for _ in range(3):
        numbers.remember(place(numbers, b"a"))
    numbers.forget(node.inode, 2)
    assert numbers.get(node.inode) is place(numbers, b"a") is numbers.known(place_key(Kind.DIR, (b"a",)))
    numbers.forget(node.inode, 1)
    assert refused(numbers, node.inode)
    assert numbers.known(place_key(Kind.DIR, (b"a",))) is None
    assert place(numbers, b"a").inode == node.inode  # the same number again
    numbers.forget(node.inode, 1)  # what isn't known can't be forgotten, nor can the root
    numbers.forget(ROOT_INODE, 100)
    assert len(numbers) == 1


def one_number(key: Hashable) -> int:
    """The worst of all hashes; at the end of the numbers, so that the next one is at their beginning."""
    del key
    return (1 << 62) - 1


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans())))
def test_no_number_is_given_twice(steps: list[tuple[int, bool]]) -> None:
    """Were all hashes the same, each thing would still have a number of its own as long as it's known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nodes, "number_of", one_number)
        numbers, counts = empty(), dict.fromkeys(range(6), 0)
        inodes: dict[int, int] = {}
        for which, more in steps:
            if more:
                node = place(numbers, b"%d" % which)
                assert node.inode > ROOT_INODE
                assert not counts[which] or node.inode == inodes[which]
                assert node.inode not in {inodes[other] for other in counts if counts[other] and other != which}
                numbers.remember(node)
                inodes[which] = node.inode
                counts[which] += 1
            elif counts[which]:
                numbers.forget(inodes[which], 1)
                counts[which] -= 1
            known = [which for which in counts if counts[which]]
            assert len(numbers) == 1 + len(known)
            for which in known:
                found = numbers.get(inodes[which])
                assert isinstance(found, PlaceNode)
                assert found.path == (b"%d" % which,)


def entry(name: bytes, seed: int, kind: Kind = Kind.FILE) -> Entry:
    """A file of one chunk."""
    return Entry(name, kind, 1, Content(Form.CHUNK, bytes([seed]) * 32), 1)


def test_what_makes_a_thing_another() -> None:
    """Its name, what it is, what it holds, where it stands, in which version."""
    top = Top(b"v" * 32, "m/v1", 7)
    folder = Node(5000, entry(b"d", 9, Kind.DIR), None, top)
    other = Node(6000, entry(b"d", 9, Kind.DIR), None, top)
    keys = [
        tree_key(folder, entry(b"a", 1), top),
        tree_key(folder, entry(b"b", 1), top),
        tree_key(folder, entry(b"a", 2), top),
        tree_key(folder, entry(b"a", 1, Kind.EXEC), top),
        tree_key(other, entry(b"a", 1), top),
        tree_key(None, entry(b"", 1), top),
        tree_key(None, entry(b"", 1), Top(b"w" * 32, "m/v1", 7)),
        tree_key(None, entry(b"", 1), Top(b"v" * 32, "m/v2", 7)),
    ]
    assert len(set(keys)) == len(keys)
    assert tree_key(folder, entry(b"a", 1), top) == keys[0]


def test_path() -> None:
    """As people write it, within the version."""
    top = Top(b"v" * 32, "m/v1", 7)
    root = Node(5000, entry(b"", 9, Kind.DIR), None, top)
    below = Node(5001, entry(b"d", 9, Kind.DIR), root, top)
    assert (root.path, below.path, Node(5002, entry(b"f", 1), below, top).path) == (b"", b"d", b"d/f")
