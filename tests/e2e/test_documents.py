"""Every command's JSON is what the reference says, field by field."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from artstore.cli.commands.setup import completion_script
from artstore.cli.reference import COMPLETIONS, DOCUMENTS, REFERENCE, leaves, reference

if TYPE_CHECKING:
    from tests.e2e.conftest import Run

ROOT = Path(__file__).parent.parent.parent
LINES = {
    "watch add": "watch add mnt",
    "watch list": "watch list",
    "watch remove": "watch remove watched",
    "watch pause": "watch pause watched",
    "watch resume": "watch resume watched",
    "watch now": "watch now watched",
    "follow": "follow llama/production",
    "init": "init new",
    "commit": "commit llama --param x=1",
    "check-ignore": "check-ignore --root llama llama/config.json",
    "status": "status",
    "list": "list",
    "log": "log",
    "show": "show llama",
    "ls": "ls -R llama",
    "diff": "diff llama",
    "du": "du",
    "checkout": "checkout llama out",
    "path": "path llama --mount mnt",
    "mounts": "mounts",
    "resolve": "resolve llama",
    "tag": "tag llama/best v1",
    "alias set": "alias set llama/staging v1",
    "alias log": "alias log llama/production",
    "alias list": "alias list",
    "alias rm": "alias rm llama/production -y",
    "rollback": "rollback llama/production",
    "rm": "rm other/spare -y",
    "gc": "gc -n",
    "check": "check --data",
    "repair": "repair",
    "purge": "purge config.json --all-versions -y",
    "doctor": "doctor",
    "push": "push",
    "fetch": "fetch",
    "pull": "pull",
    "prefetch": "prefetch llama",
    "evict": "evict --all",
    "clone": "--store {home}/cloned clone file://{home}/nas",
    "remote add": "remote add usb file://{home}/usb",
    "remote list": "remote list",
    "remote check": "remote check nas",
    "remote remove": "remote remove nas",
    "remote promote": "remote promote eu --yes",
    "remote settle": "remote settle eu llama/v1 --yes",
    "config list": "config list",
    "config get": "config get compression.level",
    "config set": "config set compression.level 5",
    "config shared": "config shared {group}",
}
ON_A_MOUNT = {"mount", "umount"}  # tests/fuse/test_mount_command.py
BY_A_DAEMON = {"daemon start", "daemon stop", "daemon status"}  # tests/daemon/test_service.py
IN_AN_ENCRYPTED_STORE = {"key list", "key add", "key remove", "key rotate"}  # test_encryption.py
PLAIN = {"cat", "completion", "bench", "daemon logs", "daemon run", "key remember", "key forget"}


def test_each_command_has_its_document() -> None:
    """A new command without a documented schema would be noticed by nobody else."""
    names = {name for name, _ in leaves()}
    assert names == set(DOCUMENTS) | PLAIN
    assert set(LINES) | ON_A_MOUNT | BY_A_DAEMON | IN_AN_ENCRYPTED_STORE == set(DOCUMENTS)


@pytest.mark.parametrize("name", LINES)
def test_json_is_as_documented(name: str, run: Run, two_versions: Path, home: Path) -> None:
    """A script that was written from docs/cli.md must meet exactly these fields."""
    import grp
    import os

    run("tag", "other/spare", "llama/v1")
    run("alias", "set", "llama/production", "v1")
    run("alias", "set", "llama/production", "v2")
    (home / "work" / "mnt" / "ids" / run("resolve", "llama/v2").out.strip()).mkdir(parents=True)
    run("remote", "add", "nas", f"file://{home}/nas")
    if name in ("remote promote", "remote settle"):
        run("push")
        run("remote", "add", "eu", f"file://{home}/eu", "--mirror")
    run("watch", "add", "llama", "--artifact", "watched")
    line = LINES[name].format(home=home, group=grp.getgrgid(os.getgid()).gr_name)
    out = run(*line.split(), "--json").out
    document = msgspec.json.decode(out, type=DOCUMENTS[name][0])
    assert out.startswith("{")
    assert document.schema.startswith("artstore/")  # type: ignore[attr-defined]  # each of them has one


def test_undo_is_as_documented(run: Run, two_versions: Path) -> None:
    """The second document of gc."""
    run("rm", "llama/v1", "-y")
    msgspec.json.decode(run("gc", "--undo", "--json").out, type=DOCUMENTS["gc"][1])


def test_reference_and_completions_are_those_of_the_commands() -> None:
    """Documents that are written by hand go stale; run `python -m artstore.cli.reference`."""
    assert (ROOT / REFERENCE).read_text(encoding="utf-8") == reference()
    for path, shell in COMPLETIONS.items():
        assert (ROOT / path).read_text(encoding="utf-8") == completion_script(shell)


def test_a_shell_completes_commands_options_and_names(
    run: Run, two_versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TAB after `artstore show ll` must find llama/v1, and never print an error."""

    def complete(words: str, number: int) -> str:
        monkeypatch.setenv("_ARTSTORE_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(number))
        return run(code=None).out

    assert "commit" in complete("artstore comm", 1)
    assert "llama/v1" in complete("artstore show lla", 2)
    assert "--exit-code" in complete("artstore diff --ex", 2)
    assert complete("artstore --store /nowhere show lla", 4).strip() == ""
