"""The units, the autostart entry and the scripts, as far as they can be judged without installing them."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
UNITS = ROOT / "packaging" / "systemd"
AUTOSTART = ROOT / "packaging" / "autostart" / "artstore-daemon.desktop"
SCRIPTS = sorted([*(ROOT / "packaging").rglob("*.sh"), ROOT / "packaging" / "deb" / "postinst", ROOT / ".ci" / "run"])
# Each gives a service a view of the file systems of its own, where mounts that come later don't show, or refuses setgid
# folders, which shared stores have.
HARMFUL = (
    "Private",
    "Protect",
    "ReadOnly",
    "ReadWrite",
    "Inaccessible",
    "BindPaths",
    "TemporaryFile",
    "RestrictSUIDSGID",
)


def settings(path: Path) -> list[tuple[str, str, str]]:
    """(section, key, value) of a unit, in order; a key may come again."""
    found: list[tuple[str, str, str]] = []
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.append((section, key, value))
    return found


def test_the_daemon_is_kept_running_and_can_be_stopped() -> None:
    """A daemon that dies or hangs unnoticed versions nothing."""
    unit = {key: value for _, key, value in settings(UNITS / "artstore-daemon.service")}
    wanted = {
        "Type": "notify",
        "ExecStart": "/usr/bin/artstore daemon run",
        "WatchdogSec": "60",
        "Restart": "on-failure",
        "StartLimitIntervalSec": "300",
        "StartLimitBurst": "5",
        "TimeoutStopSec": "30",
        "KillMode": "mixed",
        "NoNewPrivileges": "yes",
    }
    assert {key: unit.get(key) for key in wanted} == wanted


def test_what_starting_again_cannot_mend_is_not_tried_again() -> None:
    """Without a store a service would start every two seconds for as long as the machine runs."""
    for path in UNITS.glob("*.service"):
        unit = {key: value for _, key, value in settings(path)}
        wanted = "2 3 4 6" if "daemon" in path.name else "2 3 4"  # 6: a setting in config.toml that makes no sense
        assert unit["RestartPreventExitStatus"] == wanted, path.name
        assert (unit["StartLimitIntervalSec"], unit["StartLimitBurst"]) == ("300", "5"), path.name


def test_no_unit_hides_mounts_or_refuses_shared_stores() -> None:
    """A disk that is mounted later must show in a watched folder, and a shared store's folders are setgid."""
    for path in UNITS.glob("*.service"):
        assert not [key for _, key, _ in settings(path) if key.startswith(HARMFUL)], path.name


def test_a_store_elsewhere_is_served_alike() -> None:
    """What was mended in one unit must not stay broken in the other."""
    own = ("Description", "ExecStart", "EnvironmentFile")
    one, other = (
        [setting for setting in settings(UNITS / name) if setting[1] not in own]
        for name in ("artstore-daemon.service", "artstore-daemon@.service")
    )
    assert one == other
    assert ("Service", "ExecStart", "/usr/bin/artstore --store %f daemon run") in settings(
        UNITS / "artstore-daemon@.service"
    )


def test_the_socket_is_for_its_user_alone() -> None:
    """Who may connect may have anything committed and read."""
    unit = settings(UNITS / "artstore-daemon.socket")
    assert ("Socket", "ListenStream", "%t/artstore/daemon.sock") in unit
    assert ("Socket", "SocketMode", "0600") in unit
    assert ("Socket", "DirectoryMode", "0700") in unit


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_every_unit(tmp_path: Path) -> None:
    """A setting that systemd doesn't know is passed over, with all that was expected of it."""
    for path in UNITS.iterdir():
        text = path.read_text(encoding="utf-8")
        for program in ("/usr/bin/artstore", "%h/.local/bin/artstore"):
            text = text.replace(program, sys.executable)  # which is there
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    names = [path.name.replace("@.", "@data-art.") for path in UNITS.iterdir()]
    said = subprocess.run(
        ["systemd-analyze", "--user", "verify", "--man=no", *(str(tmp_path / name) for name in names)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (said.returncode, said.stderr) == (0, "")


def test_nothing_starts_by_itself_at_login() -> None:
    """Who installs a package has not asked for a program that runs all the time."""
    entry = configparser.ConfigParser(interpolation=None)
    entry.read(AUTOSTART, encoding="utf-8")
    assert entry["Desktop Entry"]["Hidden"] == "true"
    assert entry["Desktop Entry"]["Exec"] == "artstore daemon start"


@pytest.mark.skipif(shutil.which("desktop-file-validate") is None, reason="desktop-file-utils is not installed")
def test_the_autostart_entry_is_valid() -> None:
    """A desktop passes over an entry that it can't read."""
    subprocess.run(["desktop-file-validate", str(AUTOSTART)], check=True, timeout=60)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_stop_at_the_first_failure(script: Path) -> None:
    """A step that failed unnoticed makes a package that is broken."""
    lines = script.read_text(encoding="utf-8").splitlines()
    strict = {"set -euo pipefail", "set -e"} & set(lines)
    assert strict or script.name == "try-user.sh"  # which bash reads from its standard input, with these set
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=60)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say() -> None:
    """A name without quotes removes another folder than was meant."""
    said = subprocess.run(["shellcheck", *map(str, SCRIPTS)], capture_output=True, text=True, check=False, timeout=120)
    assert said.stdout == ""
