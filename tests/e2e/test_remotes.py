"""`artstore remote`, as a user types it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artstore.errors import NotFound
from artstore.model import RemotePlace, Written
from artstore.ports import Remote
from artstore.wiring import reaching

if TYPE_CHECKING:
    from tests.e2e.conftest import Run

Place = Callable[[str], RemotePlace]
SECRET = "testsecret"


def config(home: Path) -> str:
    """The store's settings as they are written."""
    return (home / "xdg" / "data" / "artstore" / "config.toml").read_text()


def test_add_list_remove(run: Run, home: Path) -> None:
    """The first steps with a second disk."""
    run("init")
    assert "no remote" in run("remote", "list").err
    assert run("remote", "add", "nas", f"file://{home}/nas").lines == [
        f"nas is a remote now, the home: file://{home}/nas"
    ]
    assert "decides its own names" in run("remote", "add", "usb-2", f"file://{home}/usb").out
    assert "a mirror" in run("remote", "add", "eu", f"file://{home}/eu", "--mirror").out
    assert [line.split()[:3] for line in run("remote", "list").lines] == [
        ["nas", f"file://{home}/nas", "home"],
        ["usb-2", f"file://{home}/usb", "other"],
        ["eu", f"file://{home}/eu", "mirror"],
    ]
    assert run("remote", "remove", "eu").code == 0
    assert (home / "nas" / "format").exists()
    assert run("remote", "list", "-q").lines == ["nas", "usb-2"]
    assert run("remote", "remove", "nas", "--json").document["removed"] is True
    assert (home / "nas" / "format").exists(), "nothing there is touched"
    (item,) = run("remote", "list", "--json").document["remotes"]
    assert (item["name"], item["home"]) == ("usb-2", True)
    assert run("remote", "add", "nas", f"file://{home}/nas").code == 0


def test_s3(run: Run, home: Path, remote_place: Place) -> None:
    """A bucket of a service of one's own; what is secret is nowhere in the store."""
    place = remote_place("moto")
    run("remote", "add", "origin", place.url, "--endpoint", place.endpoint or "", "--region", "eu-west-1")
    written = config(home)
    assert place.url in written
    assert SECRET not in written
    assert "testaccess" not in written
    (item,) = run("remote", "list", "--json").document["remotes"]
    assert (item["endpoint"], item["region"], item["single_writer"]) == (place.endpoint, "eu-west-1", False)
    assert "endpoint" in run("remote", "list").out
    told = run("remote", "check", "--json").document
    assert told["usable"]
    # moto looks and then writes, without a lock: now and then two win, which is what the check is for.
    assert {trial["ok"] for trial in told["trials"] if not trial["name"].startswith("racing")} == {True}


@pytest.mark.parametrize("kind", ["folder", "ceph"])
def test_check(run: Run, remote_place: Place, kind: str) -> None:
    """What a place promises is tried out by racing writers, and said in a line each."""
    place = remote_place(kind)
    run("remote", "add", "origin", place.url, *(["--endpoint", place.endpoint] if place.endpoint else []))
    lines = run("remote", "check", "origin").lines
    assert lines[-1] == "origin: any number of machines may write"
    assert [line.split()[0] for line in lines[:-1]] == ["ok"] * 7


def overwrite(remote: Remote, key: str, data: bytes, etag: str) -> Written:
    """A swap that doesn't know of conditions."""
    return remote.put(key, data)


def test_a_place_for_one_writer(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where several writers win at once that is found, said and kept, until it is found mended."""
    from artstore.adapters.remote_folder import FolderRemote

    run("remote", "add", "nas", f"file://{home}/nas")
    with monkeypatch.context() as patch:
        patch.setattr(FolderRemote, "swap", overwrite)
        told = run("remote", "check")
        assert "FAILED" in told.out
        assert told.lines[-1] == "nas: only one machine may write to it"
    assert "one writer" in run("remote", "list").out
    assert run("remote", "check", "-q").lines == ["nas"]
    assert "one writer" not in run("remote", "list").out
    assert "single_writer" not in config(home)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["add", "nas", "{home}/nas"], 2, "did you mean file://"),
        (["add", "nas", "ftp://x/y"], 2, "write s3://BUCKET/PREFIX or file:///FOLDER"),
        (["add", "nas", "file:///none/there/nas"], 3, "is its disk mounted?"),
        (["add", "a b", "file://{home}/nas"], 2, "no name of a remote"),
        (["add", "-x", "file://{home}/nas"], 2, ""),
        (["add", "nas", "file://{home}"], 5, "is not empty"),
        (["add", "first", "file://{home}/other"], 5, "there is a remote first already"),
        (["add", "second", "file://{home}/first/"], 5, "is the remote first already"),
        (["add", "x", "s3://bucket", "--profile", "none"], 4, "none"),
        (["remove", "none"], 3, "there is no remote 'none'"),
        (["check", "none"], 3, "there are first"),
        (["lst"], 2, "did you mean 'list'?"),
    ],
)
def test_what_is_refused(run: Run, home: Path, remote_place: Place, words: list[str], code: int, told: str) -> None:
    """One line that says what is wrong, and what to do; nothing is noted."""
    run("remote", "add", "first", f"file://{home}/first")
    before = config(home)
    answer = run("remote", *[word.format(home=home) for word in words], code=code)
    assert told in answer.err
    assert config(home) == before


def test_credentials_that_are_wrong_or_missing(run: Run, remote_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told names what AWS's tools read."""
    place = remote_place("ceph")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    words = ("remote", "add", "origin", place.url, "--endpoint", place.endpoint or "")
    assert "AWS_SECRET_ACCESS_KEY" in run(*words, code=4).err
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "--profile" in run(*words, code=4).err


def test_a_profile(run: Run, remote_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoint and credentials of a profile of the AWS files: nothing else has to be said."""
    place = remote_place("ceph")
    (tmp_path / "aws").write_text(
        f"[profile lab]\nregion = us-east-1\nendpoint_url = {place.endpoint}\n"
        f"aws_access_key_id = testaccess\naws_secret_access_key = {SECRET}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    run("remote", "add", "origin", place.url, "--profile", "lab")
    assert "profile lab" in run("remote", "list").out
    assert run("remote", "check").lines[-1] == "origin: any number of machines may write"


def test_without_boto3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders work without it; a bucket says what to install."""
    import sys

    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "artstore.adapters.s3", raising=False)
    monkeypatch.delitem(sys.modules, "artstore.adapters.s3.remote", raising=False)
    monkeypatch.delitem(sys.modules, "artstore.adapters.s3.client", raising=False)
    assert "pip install 'artstore[s3]'" in run("remote", "add", "origin", "s3://bucket/x", code=3).err
    with pytest.raises(NotFound):
        reaching.open_remote(RemotePlace(url="s3://bucket"))


def test_what_a_later_release_has_written_stays(run: Run, home: Path) -> None:
    """Going back to this release for a day must not lose settings."""
    run("remote", "add", "nas", f"file://{home}/nas")
    path = home / "xdg" / "data" / "artstore" / "config.toml"
    path.write_text(path.read_text() + "speed = 9\n")
    run("remote", "add", "usb", f"file://{home}/usb")
    run("config", "set", "compression.level", "5")
    assert "speed = 9" in path.read_text()
    assert run("remote", "list", "-q").lines == ["nas", "usb"]
    path.write_text(path.read_text().replace("url = ", "uri = "))
    assert "each table in remotes has a url" in run("remote", "list", code=6).err


@pytest.mark.parametrize("kind", ["moto", "ceph", "tls"])
def test_from_one_machine_to_another(run: Run, two_versions: Path, home: Path, remote_place: Place, kind: str) -> None:
    """The main way: push here, clone there, go on, pull."""
    place = remote_place(kind)
    there = ["--endpoint", place.endpoint or "", *(["--ca", place.ca] if place.ca else [])]
    run("alias", "set", "llama/production", "v1")
    run("remote", "add", "origin", place.url, *there)
    pushed = run("push", "--json").document
    assert sorted(pushed["written"]) == ["llama/production", "llama/v1", "llama/v2"]
    assert pushed["packs"] >= 2
    assert pushed["packs"] < pushed["puts"] < pushed["requests"], "what wrote something is counted apart"
    other = ("--store", home / "other")
    assert "is a store now" in run(*other, "clone", place.url, *there).out
    assert run(*other, "list", "-q").out == run("list", "-q").out
    run(*other, "checkout", "llama/v2", home / "out")
    assert (home / "out" / "config.json").read_bytes() == (two_versions / "config.json").read_bytes()
    run(*other, "alias", "set", "llama/production", "v2", "--local")
    assert run(*other, "push", "-q").lines == ["llama/production"]
    assert "llama/production is here now" in run("pull").out
    assert run("resolve", "llama/production").out == run("resolve", "llama/v2").out
    assert run("push").lines[0].startswith("0 names written, 3 unchanged · nothing to send")
    assert run("pull", "llama/v1", "--json").document["unchanged"] == ["llama/v1"]


def test_a_certificate_that_nobody_vouches_for(run: Run, home: Path, remote_place: Place) -> None:
    """A service of one's own would look as if the network were gone."""
    place = remote_place("tls")
    run("init")
    before = config(home)
    told = run("remote", "add", "origin", place.url, "--endpoint", place.endpoint or "", code=7).err
    assert "certificate" in told
    assert "--ca FILE" in told
    assert config(home) == before
    run("remote", "add", "origin", place.url, "--endpoint", place.endpoint or "", "--ca", place.ca or "")
    assert f"ca {place.ca}" in run("remote", "list").out


def test_status(run: Run, two_versions: Path, home: Path) -> None:
    """One line says whether anything is still to be pushed; --remote asks the other side, too."""
    assert "none set up" in run("status").out
    assert "no remote" in run("status", "--remote", code=3).err
    run("remote", "add", "nas", f"file://{home}/nas")
    assert f"nas file://{home}/nas: 2 names to push" in run("status").out
    run("push")
    assert "nothing to push" in run("status").out
    other = ("--store", home / "other")
    run(*other, "clone", f"file://{home}/nas")
    assert "nothing to push" in run(*other, "status").out
    run(*other, "alias", "set", "llama/production", "v1")
    run(*other, "push")
    assert "1 name to pull" in run("status", "--remote").out
    run("pull")
    run("alias", "set", "llama/production", "v2", "--local")
    told = run("status", "--remote", "--json").document["remote"]
    assert (told["only_here"], told["only_there"], told["differing"]) == ([], [], ["llama/production"])
    assert run("status", "--json").document["remote"]["only_here"] == ["llama/production"]


def test_conflicts_are_told(run: Run, two_versions: Path, home: Path) -> None:
    """Exit 5, which name, and why; the others went."""
    run("remote", "add", "nas", f"file://{home}/nas")
    run("push")
    other = ("--store", home / "other")
    run(*other, "init")
    run(*other, "remote", "add", "nas", f"file://{home}/nas")
    (two_versions / "config.json").write_text("another")
    run(*other, "commit", two_versions, "--tag", "llama/v1")
    run(*other, "commit", two_versions, "--tag", "llama/mine", "-m", "mine")
    told = run(*other, "push", code=5)
    assert "llama/v1 was left alone: there it names version" in told.err
    assert "llama/mine is there now" in told.out
    told = run(*other, "pull", "--json", code=5)
    assert [each["name"] for each in told.document["conflicts"]] == ["llama/v1"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["push"], 3, "this store has no remote"),
        (["push", "--to", "none"], 3, "there is no remote 'none'"),
        (["push", "--all", "x"], 2, "exclude each other"),
        (["pull", "--from", "none"], 3, "there is no remote 'none'"),
        (["clone", "{home}/nas"], 2, "did you mean file://"),
        (["--store", "{home}/new", "clone", "file://{home}/nas"], 3, "nothing was pushed there"),
        (["clone", "file://{home}/nas"], 5, "is a store already"),
        (["clone"], 2, "URL"),
    ],
)
def test_what_does_not_travel(run: Run, home: Path, words: list[str], code: int, told: str) -> None:
    """One line that says what is wrong, and what to do."""
    run("init")
    assert told in run(*[word.format(home=home) for word in words], code=code).err
    assert not (home / "new").exists()


def test_a_clone_that_ends_early(run: Run, two_versions: Path, home: Path) -> None:
    """What came stays, and it is said how to go on."""
    run("remote", "add", "nas", f"file://{home}/nas")
    run("push")
    (pack,) = sorted((home / "nas" / "p").glob("*/*1"))[:1]
    whole = pack.read_bytes()
    pack.write_bytes(whole[:-1])
    other = ("--store", home / "other")
    told = run(*other, "clone", "--full", f"file://{home}/nas", code=6).err
    assert "is damaged" in told
    assert f"`artstore --store {home}/other pull` goes on" in told
    pack.write_bytes(whole)
    run(*other, "pull")
    assert run(*other, "list", "-q").out == run("list", "-q").out
