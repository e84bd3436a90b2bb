"""Runs the command as a user does: in this process where that makes no difference, as a process where it does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from artstore.cli import main


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Its one JSON document."""
        document: dict[str, Any] = json.loads(self.out)
        return document

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Run = Callable[..., Answer]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home without a store; the working folder is in it."""
    for kind in ("DATA", "STATE", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / "xdg" / kind.lower()))
    for name in ("ARTSTORE_HOME", "ARTSTORE_MOUNT", "CI", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ARTSTORE_AUTHOR", "Ada")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path


@pytest.fixture
def run(home: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run one command line in this process."""

    def run(*args: str | Path, code: int | None = 0) -> Answer:
        capfd.readouterr()
        got = main([str(arg) for arg in args])
        out, err = capfd.readouterr()
        if code is not None:
            assert got == code, f"exit {got}: {out}{err}"
        assert "Traceback" not in err
        return Answer(got, out, err)

    return run


@pytest.fixture
def model(home: Path) -> Path:
    """A folder as people have them, 1.3 MB in four files, one link."""
    folder = home / "work" / "llama"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 4096 + os.urandom(250_000))
    (folder / "config.json").write_text('{"layers": 2}\n')
    (folder / "tokenizer" / "vocab.txt").write_text("a\nb\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "latest").symlink_to("model.safetensors")
    return folder


@pytest.fixture
def two_versions(run: Run, model: Path) -> Path:
    """The model as llama/v1, then with another config and one file more as llama/v2."""
    run("commit", model, "-m", "first")
    (model / "config.json").write_text('{"layers": 3}\n')
    (model / "added.txt").write_text("new\n")
    run("commit", model, "--metric", "loss=0.25", "--param", "lr=3e-4")
    return model
