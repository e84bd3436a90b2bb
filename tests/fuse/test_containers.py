"""docs/containers.md without a container engine: what its options ask the kernel for is asked for here."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.fuse.conftest import Mounted

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
UNIT = ROOT / "packaging" / "systemd" / "artstore-mount.service"
HOST = """
set -eu
artstore() { "$PYTHON" -P -m artstore "$@"; }
look() { echo "$1" >&7; read -r seen <&8; echo "$seen"; }   # asks the container
mount --bind host host
mount --make-shared host
mkdir -p host/mnt root/models
artstore mount host/mnt --allow-other >&2
mkfifo ask answer
unshare -m --propagation slave sh container.sh <ask >answer &
exec 7>ask 8<answer
"""
# As `-v SOURCE:/models:ro,rslave`: bound with what is mounted in it, made a slave, made read-only; then chroot.
CONTAINER = """
set -eu
for folder in bin lib lib64 usr; do
    if [ -L /$folder ]; then cp -P /$folder root/; continue; fi
    if [ -d /$folder ]; then mkdir root/$folder; mount --bind /$folder root/$folder; fi
done
mount --rbind "$SOURCE" root/models
mount --make-{propagation} root/models
mount -o remount,bind,{access} root/models
exec chroot root sh -c 'while read -r line; do sh -c "$line" 2>&1 | tr "\\n" " "; echo; done'
"""


@pytest.fixture
def versions(unmounted: Mounted) -> Mounted:
    """Two versions, `m/production` is the first one."""
    if os.geteuid():
        pytest.skip("NOT TESTED: only root can play a container")
    source = unmounted.path.parent / "source"
    source.mkdir()
    for number in (1, 2):
        (source / "file").write_text(f"content {number}")
        unmounted.run("commit", source, "--tag", f"m/v{number}")
    unmounted.run("alias", "set", "m/production", "v1")
    return unmounted


def play(place: Mounted, script: str, source: str = "host") -> list[str]:
    """Run the host's script beside a container that has `source` at /models; what both say."""
    documented = re.search(r"-v /srv/artstore:/models:(\w+),(\w+) ", DOCUMENT)
    assert documented is not None
    access, propagation = documented.groups()
    work = place.path.parent / "work"
    (work / "host").mkdir(parents=True)
    (work / "container.sh").write_text(CONTAINER.format(access=access, propagation=propagation))
    (work / "host.sh").write_text(HOST + script + "\nexec 7>&-\nwait\nartstore umount host/mnt >&2\n")
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "host.sh"],
        cwd=work,
        env={**place.env, "PYTHON": sys.executable, "SOURCE": source},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.strip() for line in done.stdout.splitlines()]


def test_a_container_sees_the_mount(versions: Mounted) -> None:
    """It reads versions and follows aliases wherever the mount is shown, and can change nothing."""
    said = play(
        versions,
        """
look 'ls /models/mnt/versions/m'
look 'cat /models/mnt/versions/m/v1/file'
look 'cat /models/mnt/aliases/m/production/file'
look 'realpath /models/mnt/aliases/m/production'
artstore alias set m/production v2 >&2
look 'sleep 1.2; cat /models/mnt/aliases/m/production/file'
look 'touch /models/mnt/versions/new'
look 'touch /models/new'
""",
    )
    assert said[:4] == ["v1 v2", "content 1", "content 1", "/models/mnt/versions/m/v1"]
    assert "content 2" in said
    assert ["Read-only file system" in line for line in said[-2:]] == [True, True]


def test_a_container_sees_the_next_mount_too(versions: Mounted) -> None:
    """After a crash or an upgrade the container must not have to be started again: `rslave`, and the folder above."""
    said = play(
        versions,
        """
look 'cat /models/mnt/versions/m/v1/file'
artstore umount host/mnt >&2
look 'ls /models/mnt | wc -l'
artstore mount host/mnt --allow-other >&2
look 'cat /models/mnt/versions/m/v2/file'
""",
    )
    assert said == ["content 1", "0", "content 2"]


def test_a_single_alias_is_for_ever(versions: Mounted) -> None:
    """The document warns of it: what is bound is what the link led to when the container started."""
    said = play(
        versions,
        """
look 'cat /models/file'
artstore alias set m/production v2 >&2
look 'sleep 1.2; cat /models/file'
""",
        source="host/mnt/aliases/m/production",
    )
    assert (said[0], said[-1]) == ("content 1", "content 1")
    assert "-v /srv/artstore/mnt/aliases/llama/production:/model` is resolved once" in DOCUMENT


def test_the_first_process_of_a_container(versions: Mounted) -> None:
    """`--foreground` as process 1: it collects what ends below it, and its stop takes the mount away."""
    point = versions.path
    inner = 'exec "$PYTHON" -P -m artstore mount "$POINT" --foreground'
    process = subprocess.Popen(
        ["unshare", "-m", "-p", "-f", "--mount-proc", "--kill-child=TERM", "sh", "-c", inner],
        env={**versions.env, "PYTHON": sys.executable, "POINT": str(point)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    versions.started.append(process)
    assert process.stdout is not None
    assert "is mounted at" in process.stdout.readline()
    (first,) = children(process.pid)
    (server,) = children(first)
    seen = Path(f"/proc/{first}/root{point}/versions/m/v1/file")
    assert seen.read_text() == "content 1"
    os.kill(server, 9)
    assert versions.within(5, lambda: [child for child in children(first) if child != server] and seen.exists())
    assert len(children(first)) == 1, "the helper of the killed server must have been collected"
    os.kill(first, 15)
    assert process.wait(20) == 0


def children(process: int) -> list[int]:
    """The processes that it started, or inherited."""
    try:
        return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except FileNotFoundError:
        return []


def test_without_fuse_a_checkout(versions: Mounted) -> None:
    """The third way of the document; started again it writes nothing."""
    model = versions.path.parent / "model"
    first = versions.run("checkout", "m/production", model, "--json").document
    again = versions.run("checkout", "m/production", model, "--json").document
    assert (model / "file").read_text() == "content 1"
    assert (first["written_bytes"], again["written_bytes"]) == (9, 0)


def test_the_unit_is_as_documented() -> None:
    """Who copies the unit, or the part that the document shows, must get a service that starts."""
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names have capitals
    unit.read_string(UNIT.read_text(encoding="utf-8"))
    shown = configparser.ConfigParser(interpolation=None)
    shown.optionxform = str  # type: ignore[assignment,method-assign]  # the same
    (block,) = re.findall(r"```ini\n(.*?)```", DOCUMENT, re.DOTALL)
    shown.read_string(block)
    assert dict(shown["Service"]).items() <= dict(unit["Service"]).items()
    words = unit["Service"]["ExecStart"].split()
    assert words[0] == "%h/.local/bin/artstore"
    assert words[1:] == ["mount", "%h/artstore", "--foreground"]
    verify = shutil.which("systemd-analyze")
    if verify is not None:
        told = subprocess.run([verify, "--user", "verify", UNIT], capture_output=True, text=True, check=False).stderr
        assert "Unknown" not in told, told
