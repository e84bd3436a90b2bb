"""The policies of packaging/iam, tried on a real service: what they allow is enough, and none of it can be spared."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from botocore.exceptions import ClientError

from artstore import Store, limits, wiring
from artstore.errors import ArtstoreError, NotPermitted
from artstore.format.remote import (
    GC_KEY,
    GcState,
    Pin,
    RemoteSet,
    all_keys,
    decode_remote,
    encode_remote,
    set_key,
)
from artstore.model import RemotePlace
from artstore.store.remote.selftest import check_remote
from artstore.testing.sealing import PASSPHRASE, unlocked
from artstore.wiring import reaching
from tests.encrypting import as_seen_by
from tests.machines import noise
from tests.remotes import IAM, Landlord, Statement, bucket_of, client_of, policy

if TYPE_CHECKING:
    from tests.e2e.conftest import Run


SECRET = "open sesame"


class Right(NamedTuple):
    """One action on one resource of a policy."""

    statement: int
    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.action} {self.resource.partition('BUCKET')[2] or 'bucket'}"


def rights(name: str) -> list[Right]:
    """All that a policy allows, one by one."""
    statements: list[Statement] = json.loads((IAM / f"{name}.json").read_text())["Statement"]
    return [
        Right(number, action, resource)
        for number, statement in enumerate(statements)
        for action in statement["Action"]
        for resource in statement["Resource"]
    ]


def without(name: str, right: Right, place: RemotePlace) -> list[Statement]:
    """A policy that lacks one right."""
    statements = copy.deepcopy(policy(name, place))
    whole = policy(name, place)[right.statement]
    kept = json.loads((IAM / f"{name}.json").read_text())["Statement"][right.statement]["Resource"].index(
        right.resource
    )
    del statements[right.statement]["Resource"][kept]
    if not statements[right.statement]["Resource"]:
        del statements[right.statement]
    assert whole not in statements
    return statements


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is versioned."""
    made = tmp_path / "folder"
    made.mkdir()
    (made / "weights").write_bytes(noise(3 << 20))
    (made / "config").write_bytes(b"{}")
    return made


@pytest.fixture
def origin(landlord: Landlord, tmp_path: Path, folder: Path) -> Iterator[Store]:
    """The store of who made the remote, and has pushed m/v1 there as m/production."""
    with Store.init(tmp_path / "origin") as store:
        store.add_remote("origin", landlord.place)
        store.commit(folder, tag="m/v1")
        store.set_alias("m/production", "m/v1")
        store.push()
        yield store


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read_all(place: RemotePlace, path: Path, folder: Path) -> None:
    """Everything a reader does."""
    store, result = Store.clone(place, path / "clone")
    with store:
        assert not result.conflicts
        assert store.open("m/v1", "config").read() == b"{}"
        store.checkout("m/v1", path / "out")
        assert contents(path / "out") == contents(folder)
        store.fetch()
        store.pull()
        assert store.check(data=True).is_sound
        assert store.check_at_remote(data=True).is_sound
        told = store.remote_status(ask=True)
        assert told is not None
        assert (told.only_here, told.only_there, told.differing) == ([], [], [])
        store.evict()
        store.remove_remote("origin")
        store.add_remote("origin", place)


def write_all(place: RemotePlace, path: Path, folder: Path) -> None:
    """Everything a writer does, beside what a reader does."""
    with ExitStack() as stack:
        if (path / "writer").exists():
            store = stack.enter_context(Store.open(path / "writer"))
            store.fetch()
        else:
            store = stack.enter_context(Store.clone(place, path / "writer")[0])
        (folder / "config").write_bytes(b"another")
        if "m/v2" not in {tag.name for tag in store.tags()}:
            store.commit(folder, tag="m/v2")
        store.push()
        store.set_alias("m/production", "m/v2")
        store.rollback("m/production")
        store.set_alias("m/new", "m/v2")
        store.push()


def set_up(place: RemotePlace, path: Path) -> None:
    """Make the remote, and try it out."""
    with ExitStack() as stack:
        there = path / "set-up"
        store = stack.enter_context(Store.open(there) if there.exists() else Store.init(there))
        if not store.remotes():
            store.add_remote("origin", place)
        mirroring = stack.enter_context(Store.open(path / "m") if (path / "m").exists() else Store.init(path / "m"))
        if not mirroring.remotes():
            mirroring.add_remote("home", RemotePlace(url=f"file://{path / 'home'}"))
        if not mirroring.mirrors():
            mirroring.add_mirror("mirror", place)
        remote = reaching.open_remote(place)
        assert [finding for finding in check_remote(remote, writers=4, rounds=2) if not finding.ok] == []
        remote.close()


def test_a_reader_reads(landlord: Landlord, origin: Store, tmp_path: Path, folder: Path) -> None:
    """Who deploys models would need the rights of who makes them."""
    read_all(landlord.let_in("reader", policy("reader", landlord.place)), tmp_path, folder)


def test_a_reader_is_refused_the_rest(
    landlord: Landlord, origin: Store, run: Run, tmp_path: Path, folder: Path
) -> None:
    """He would believe to have moved an alias, or not know whom to ask for what."""
    place = landlord.let_in("reader", policy("reader", landlord.place))
    before = landlord.listed()
    run("clone", place.url, "--endpoint", place.endpoint or "", "--profile", "reader")
    (folder / "config").write_bytes(b"another")
    run("commit", folder, "--tag", "m/v2")
    assert run("status", "--remote", "--json").document["remote"]["only_here"] == ["m/v2"]
    for words in (
        ["push"],
        ["alias", "set", "m/production", "v2"],
        ["rm", "m/v1", "--remote", "origin", "--yes"],
        ["remote", "check"],
    ):
        told = run(*words, code=4).err
        assert "AccessDenied" in told
        assert "s3:PutObject" in told
        assert "docs/remote.md" in told
    assert landlord.listed() == before
    assert run("resolve", "m/production").out == run("resolve", "m/v1").out
    assert [line.split()[0] for line in run("list", "-q").lines] == ["m/production", "m/v1", "m/v2"]
    assert run("checkout", "m/v2", tmp_path / "out").code == 0
    assert contents(tmp_path / "out") == contents(folder)


def test_a_writer_writes(landlord: Landlord, origin: Store, tmp_path: Path, folder: Path) -> None:
    """He would need the rights of who owns the bucket."""
    place = landlord.let_in("writer", policy("writer", landlord.place))
    read_all(place, tmp_path, folder)
    write_all(place, tmp_path, folder)
    with Store.open(tmp_path / "writer") as store:
        assert store.remove_at_remote("m/v2", remote="origin").removed == ["m/v2"]
    assert landlord.listed("pins/") == []


def damage_a_pack(place: RemotePlace) -> str:
    """Flip a bit of the largest pack; its key."""
    client, bucket = client_of(place), bucket_of(place)
    found = client.list_objects_v2(Bucket=bucket, Prefix="some/prefix/p/")["Contents"]
    key: str = max(found, key=lambda each: each["Size"])["Key"]
    data = bytearray(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    data[len(data) // 2] ^= 1
    client.put_object(Bucket=bucket, Key=key, Body=bytes(data))
    client.close()
    return key.removeprefix("some/prefix/")


@pytest.mark.parametrize("collects", [False, True])
def test_a_writer_repairs(landlord: Landlord, origin: Store, tmp_path: Path, collects: bool) -> None:
    """Whoever has what a bucket lost would need an owner's rights; who may collect, too, takes damage out of use."""
    place = landlord.let_in("writer", policy("writer", landlord.place))
    store, _ = Store.clone(place, tmp_path / "writer", full=True)
    key = damage_a_pack(landlord.place)
    with store:
        assert [problem.key for problem in store.check_at_remote(data=True).problems] == [key]
        if collects:
            landlord.let_in("writer", [*policy("writer", landlord.place), *policy("collector", landlord.place)])
        done = store.repair_at_remote()
        assert done.is_sound
        assert (done.replaced, done.listed) == ([key], [key] if collects else [])
        assert any("artstore gc --remote" in note and "s3:PutObject" in note for note in done.notes) != collects
        assert store.check_at_remote(data=True).is_sound
    assert landlord.listed("pins/") == []


def test_a_reader_repairs_his_own_store_alone(landlord: Landlord, origin: Store, tmp_path: Path, folder: Path) -> None:
    """He would have to ask for more rights to get back what he lost; and be told of the right that is missing there."""
    place = landlord.let_in("reader", policy("reader", landlord.place))
    store, _ = Store.clone(place, tmp_path / "reader", full=True)
    with store:
        for path in (tmp_path / "reader" / "packs").rglob("*.pack"):
            path.unlink()
        store.repair(store.check())
        assert store.repair_from_remotes().hurt == []
        store.checkout("m/v1", tmp_path / "out")
        assert contents(tmp_path / "out") == contents(folder)
        damage_a_pack(landlord.place)
        assert not store.check_at_remote(data=True).is_sound
        with pytest.raises(NotPermitted, match="s3:PutObject"):
            store.repair_at_remote()


def test_a_writer_copies_to_a_mirror(landlord: Landlord, origin: Store, tmp_path: Path) -> None:
    """Each pusher would need the rights of who sets mirrors up; who has no more can't promote, and is told."""
    home = RemotePlace(url=f"file://{tmp_path / 'home'}")
    with Store.init(tmp_path / "pusher") as store:
        store.add_remote("home", home)
        store.commit(tmp_path / "folder", tag="n/v1")
        store.set_alias("n/production", "n/v1")
        store.push()
        with Store.init(tmp_path / "owner") as owner:
            owner.add_remote("home", home)
            owner.add_mirror("mirror", landlord.place)
        store.add_mirror("mirror", landlord.let_in("writer", policy("writer", landlord.place)))
        told = store.push(to="mirror")
        assert sorted(told.written) == ["n/production", "n/v1"]
        assert sorted(each.name for each in told.conflicts) == ["m/production", "m/v1"], "it had names of its own"
        with pytest.raises(NotPermitted, match="mirror-of"):
            store.promote("mirror")
    assert landlord.listed("pins/") == []


def test_a_writer_can_not_destroy(landlord: Landlord, origin: Store, tmp_path: Path) -> None:
    """One stolen key would cost all versions."""
    place = landlord.let_in("writer", policy("writer", landlord.place))
    client, bucket = client_of(place), bucket_of(place)
    other = client_of(landlord.place)
    other.put_object(Bucket=bucket, Key="elsewhere/x", Body=b"x")
    prefix = "some/prefix/"
    tries: list[Callable[[], Any]] = [
        *(lambda key=key: client.delete_object(Bucket=bucket, Key=prefix + key) for key in landlord.listed()),
        *(
            lambda key=key: client.put_object(Bucket=bucket, Key=prefix + key)
            for key in ("format", "gc/state", "mirror-of", "q")
        ),
        lambda: client.put_object(Bucket=bucket, Key="elsewhere/x"),
        lambda: client.get_object(Bucket=bucket, Key="elsewhere/x"),
        lambda: client.list_objects_v2(Bucket=bucket),
        lambda: client.list_objects_v2(Bucket=bucket, Prefix="elsewhere/"),
        lambda: client.get_bucket_policy(Bucket=bucket),
        lambda: client.put_bucket_policy(Bucket=bucket, Policy="{}"),
        lambda: client.delete_bucket_policy(Bucket=bucket),
        lambda: client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}),
        lambda: client.delete_bucket(Bucket=bucket),
    ]
    for attempt in tries:
        with pytest.raises(ClientError) as caught:
            attempt()
        assert caught.value.response.get("Error", {}).get("Code") == "AccessDenied"


@pytest.mark.plain("an encrypted one takes one right more: the next test")
def test_a_remote_is_set_up(landlord: Landlord, tmp_path: Path, folder: Path) -> None:
    """The first `remote add`, and `remote check`, would need an owner's rights."""
    allowed = [*policy("writer", landlord.place), *policy("setup", landlord.place)]
    set_up(landlord.let_in("first", allowed), tmp_path)
    assert landlord.listed("check/") == []


def test_an_encrypted_remote_is_set_up(landlord: Landlord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody but an owner could make one; and who may only push could change who opens it."""
    monkeypatch.setenv("ARTSTORE_PASSPHRASE", PASSPHRASE.decode())
    wiring.init(str(tmp_path / "sealed"), unlocked=unlocked())
    allowed = [*policy("writer", landlord.place), *policy("setup", landlord.place)]
    with Store.open(tmp_path / "sealed") as store:
        with pytest.raises(NotPermitted, match="keys/ring"):
            store.add_remote("origin", landlord.let_in("first", allowed))
        keys = policy("keys", landlord.place)
        store.add_remote("origin", landlord.let_in("first", [*allowed, *keys]))
        store.rotate_keys()
        landlord.let_in("first", policy("writer", landlord.place))
        (tmp_path / "f").mkdir()
        (tmp_path / "f" / "a").write_bytes(b"a")
        store.commit(tmp_path / "f", tag="m/v1")
        assert store.push().written == ["m/v1"]
        with pytest.raises(NotPermitted, match="keys/ring"):
            store.rotate_keys()


def refused(act: Callable[[], None], right: Right) -> ArtstoreError:
    """The error of something that can't be done without a right."""
    with pytest.raises(NotPermitted) as caught:
        act()
    error = caught.value
    assert error.exit_code == 4
    assert right.action in str(error), str(error)
    assert "docs/remote.md" in str(error)
    return error


@pytest.mark.parametrize("right", rights("reader"), ids=str)
def test_a_reader_needs_each_right(
    landlord: Landlord, origin: Store, tmp_path: Path, folder: Path, right: Right
) -> None:
    """A policy that allows more than is needed isn't least."""
    place = landlord.let_in("reader", without("reader", right, landlord.place))
    refused(lambda: read_all(place, tmp_path, folder), right)


@pytest.mark.parametrize("right", rights("writer"), ids=str)
def test_a_writer_needs_each_right(
    landlord: Landlord, origin: Store, tmp_path: Path, folder: Path, right: Right
) -> None:
    """The same; and who gets the right later goes on where he was refused."""
    place = landlord.let_in("writer", without("writer", right, landlord.place))
    error = refused(lambda: write_all(place, tmp_path, folder), right)
    key = right.resource.partition("PREFIX/")[2].rstrip("*")
    assert f"{place.url}/{key}" in str(error)
    landlord.let_in("writer", policy("writer", landlord.place))
    write_all(place, tmp_path, folder)
    whole, result = Store.clone(landlord.place, tmp_path / "whole", full=True)
    with whole:
        assert not result.conflicts
        assert whole.check(data=True).is_sound
        assert whole.resolve("m/new").version == whole.resolve("m/v2").version
        whole.checkout("m/v2", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(folder)


@pytest.mark.plain("it takes one right more")
@pytest.mark.parametrize("right", rights("setup"), ids=str)
def test_setting_up_needs_each_right(landlord: Landlord, tmp_path: Path, right: Right) -> None:
    """The same."""
    allowed = [*policy("writer", landlord.place), *without("setup", right, landlord.place)]
    place = landlord.let_in("first", allowed)
    refused(lambda: set_up(place, tmp_path), right)
    landlord.let_in("first", [*policy("writer", landlord.place), *policy("setup", landlord.place)])
    set_up(place, tmp_path)


@pytest.fixture
def garbage(landlord: Landlord, origin: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make some, which goes after a second; a repack rewrites everything."""
    monkeypatch.setattr(limits, "REMOTE_PIN_S", 0)
    monkeypatch.setattr(limits, "REMOTE_SMALL_PACK_BYTES", 1 << 30)
    monkeypatch.setattr(limits, "REMOTE_SMALL_PACKS_MIN", 1)
    (folder / "weights").write_bytes(noise(1 << 20, 2))
    origin.commit(folder, tag="m/v2")
    origin.push()
    origin.remove_at_remote("m/v2", remote="origin")
    remote = as_seen_by(origin, reaching.open_remote(landlord.place))
    found = remote.get(GC_KEY)
    assert found is not None
    remote.put(GC_KEY, encode_remote(msgspec.structs.replace(decode_remote(GcState, found.data), grace=1)))
    remote.put("pins/0123", encode_remote(Pin([])))
    remote.close()


def needed(landlord: Landlord, origin: Store) -> set[str]:
    """What the set of the one version with a name says by now."""
    remote = as_seen_by(origin, reaching.open_remote(landlord.place))
    found = remote.get(set_key(origin.resolve("m/v1").version))
    remote.close()
    assert found is not None
    return set(all_keys(decode_remote(RemoteSet, found.data)))


def collect(place: RemotePlace, path: Path, runs: int = 3) -> None:
    """Everything a collector does."""
    with ExitStack() as stack:
        there = path / "collector"
        store = stack.enter_context(Store.open(there) if there.exists() else Store.clone(place, there)[0])
        with store.remote_repack() as job:
            job.run(job.plan())
        for _ in range(runs):
            time.sleep(2.1)  # the service tells whole seconds
            store.remote_gc()


@pytest.mark.usefixtures("garbage")
def test_a_collector_collects(landlord: Landlord, origin: Store, tmp_path: Path) -> None:
    """Whoever runs it daily would need an owner's rights; on a real service."""
    place = landlord.let_in("collector", policy("collector", landlord.place))
    before = needed(landlord, origin)
    collect(place, tmp_path)
    assert {key for kind in ("p/", "m/", "x/") for key in landlord.listed(kind)} == needed(landlord, origin)
    assert before.isdisjoint(needed(landlord, origin))
    assert landlord.listed("pins/") == []
    whole, _ = Store.clone(landlord.place, tmp_path / "whole", full=True)
    with whole:
        assert whole.check(data=True).is_sound


@pytest.mark.long
@pytest.mark.usefixtures("garbage")
@pytest.mark.parametrize("right", rights("collector"), ids=str)
def test_a_collector_needs_each_right(landlord: Landlord, origin: Store, tmp_path: Path, right: Right) -> None:
    """The same; and who gets the right later goes on where he was refused."""
    place = landlord.let_in("collector", without("collector", right, landlord.place))
    refused(lambda: collect(place, tmp_path), right)
    landlord.let_in("collector", policy("collector", landlord.place))
    collect(place, tmp_path)
    assert {key for kind in ("p/", "m/", "x/") for key in landlord.listed(kind)} == needed(landlord, origin)


# --- keys of an encrypted store


@pytest.fixture
def sealed(landlord: Landlord, tmp_path: Path, folder: Path) -> Iterator[Store]:
    """The store of who made an encrypted remote, and has pushed m/v1 there as m/production."""
    with Store.init(tmp_path / "origin", encrypt=SECRET) as store:
        store.add_remote("origin", landlord.place)
        store.commit(folder, tag="m/v1")
        store.set_alias("m/production", "m/v1")
        store.push()
        yield store


def change_keys(place: RemotePlace, path: Path) -> None:
    """Everything that whoever changes keys does."""
    with ExitStack() as stack:
        there = path / "keys"
        if there.exists():
            store = stack.enter_context(Store.open(there, passphrase=SECRET))
        else:
            store = stack.enter_context(Store.clone(place, there, passphrase=SECRET)[0])
        added = store.add_key("another", label="another")
        store.rotate_keys()
        assert added.id is not None
        assert store.remove_key(added.id).unreached == ()


def test_who_changes_keys(landlord: Landlord, sealed: Store, tmp_path: Path, folder: Path) -> None:
    """Whoever takes a passphrase away would need the rights of who makes models, or a writer exchange the keyring."""
    writer = landlord.let_in("writer", policy("writer", landlord.place))
    store, _ = Store.clone(writer, tmp_path / "writer", passphrase=SECRET)
    with store:
        store.commit(folder, tag="m/v2")
        store.push()
        with pytest.raises(NotPermitted, match="keys/ring") as caught:
            store.rotate_keys()
        assert "s3:PutObject" in str(caught.value)
        assert store.context.keychain is not None
        assert store.context.keychain.keys.epoch == 1, "nothing has changed"
        client = client_of(writer)
        with pytest.raises(ClientError, match="AccessDenied"):
            client.put_object(Bucket=bucket_of(writer), Key="some/prefix/keys/ring", Body=b"x")
        client.close()
        change_keys(
            landlord.let_in("keys", [*policy("reader", landlord.place), *policy("keys", landlord.place)]), tmp_path
        )
        store.commit(folder, tag="m/v3")
        store.push()
        assert store.context.keychain.keys.epoch == 3
    whole, _ = Store.clone(landlord.place, tmp_path / "whole", full=True, passphrase=SECRET)
    with whole:
        assert whole.check(data=True).is_sound
        assert {tag.name for tag in whole.tags()} == {"m/v1", "m/v2", "m/v3"}


@pytest.mark.long
@pytest.mark.parametrize("right", rights("keys"), ids=str)
def test_changing_keys_needs_each_right(landlord: Landlord, sealed: Store, tmp_path: Path, right: Right) -> None:
    """A policy that allows more than is needed isn't least."""
    allowed = [*policy("reader", landlord.place), *without("keys", right, landlord.place)]
    place = landlord.let_in("keys", allowed)
    refused(lambda: change_keys(place, tmp_path), right)
    landlord.let_in("keys", [*policy("reader", landlord.place), *policy("keys", landlord.place)])
    change_keys(place, tmp_path)
