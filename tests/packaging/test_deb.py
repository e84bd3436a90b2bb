"""What goes into the packages: the lock's versions, the licences; and the .deb, built and tried in a fresh root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = ROOT / "requirements.lock"
DEB = ROOT / "packaging" / "deb"


def run(*command: str | Path, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=timeout_s
    )


def locked(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `packaging/locked.py`."""
    return run(sys.executable, ROOT / "packaging" / "locked.py", *arguments)


def test_pins_name_every_version_of_the_lock() -> None:
    """A version that is missing there is installed as something nobody tested."""
    pins = locked("pins", LOCK).stdout.splitlines()
    blocks = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if "==" in line]
    assert len(pins) == len(blocks)
    assert [pin for pin in pins if pin.startswith("zstandard==")] == [
        f"zstandard=={version('zstandard')} ; sys_platform == 'linux'"
    ]
    assert not [pin for pin in pins if "\\" in pin or "--hash" in pin]


def test_a_package_comes_with_all_of_its_hashes() -> None:
    """Without a hash any file of that name would be installed."""
    text = locked("only", LOCK, "PyFuse3", "lmdb").stdout
    assert [line.split("==")[0] for line in text.splitlines() if "==" in line] == ["lmdb", "pyfuse3"]
    assert all(line.startswith("    --hash=sha256:") for line in text.splitlines() if "==" not in line)
    assert text.count("pyfuse3==") == 1


def test_what_the_lock_lacks_is_refused() -> None:
    """A new dependency that isn't locked must stop the build, not slip in."""
    refused = locked("only", LOCK, "lmdb", "no-such-package")
    assert refused.returncode == 1
    assert "requirements.lock has no no-such-package" in refused.stderr


def test_a_report_of_pip_selects_from_the_lock(tmp_path: Path) -> None:
    """The package must hold what pip found to be needed, and artstore itself is not in the lock."""
    report = tmp_path / "report.json"
    items = [("artstore", True), ("Markdown-It_Py", False), ("msgspec", False)]
    report.write_text(
        json.dumps({"install": [{"metadata": {"name": name}, "is_direct": direct} for name, direct in items]})
    )
    text = locked("report", LOCK, report).stdout
    assert [line.split("==")[0] for line in text.splitlines() if "==" in line] == ["markdown-it-py", "msgspec"]


def test_the_copyright_file_names_every_package_and_its_licence() -> None:
    """Who passes the package on owes the authors their terms."""
    site = Path(pytest.__file__).resolve().parent.parent
    text = run(sys.executable, DEB / "copyright.py", site).stdout
    stanzas = text.split("\n\n")
    for name, licence in (("lmdb", "OLDAP-2.8"), ("msgspec", "BSD-3-Clause"), ("click", "BSD-3-Clause")):
        own = [stanza for stanza in stanzas if f"Copyright: the authors of {name} {version(name)}" in stanza]
        assert len(own) == 1
        assert f"License: {licence}" in own[0]
        assert f"*/site-packages/{name}/*" in own[0]
    assert "License: UNKNOWN" not in text


@pytest.mark.long
@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("debootstrap") is None or not Path("/usr/bin/apt-get").exists(),
    reason="needs root, debootstrap and Debian or Ubuntu",
)
def test_the_deb_works_in_a_fresh_root_and_leaves_the_store(tmp_path: Path) -> None:
    """A package that was never installed is one that doesn't install."""
    built = run(DEB / "build.sh", tmp_path, timeout_s=1200)
    assert built.returncode == 0, built.stderr
    deb = built.stdout.strip()
    for options in ([], ["--units"]):
        tried = run(DEB / "try.sh", *options, deb, timeout_s=1200)
        assert tried.returncode == 0, tried.stdout + tried.stderr
        assert "the package stands its trial" in tried.stdout
