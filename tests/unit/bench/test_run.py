"""The whole benchmark at a tiny scale, with the tools of this machine, through its command line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from artstore_bench import main
from artstore_bench.command import Toolbox
from artstore_bench.corpus import ensure
from artstore_bench.peers import NAMES, SUBJECT, peers
from artstore_bench.questions import questions_for
from artstore_bench.questions.kernel import ask as ask_kernel
from artstore_bench.results import Document, Run
from artstore_bench.session import LiveTree, Session
from artstore_bench.suite import SUBJECTS

SCALE = 0.001


def quiet(_: str) -> None:
    """Progress is of no interest here."""


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    """A work folder in which artstore can't be found, for what doesn't depend on it."""
    hidden = tmp_path / "work" / "tools" / "bin" / SUBJECT
    hidden.parent.mkdir(parents=True)
    hidden.write_text("#!/bin/sh\nexit 1\n")
    hidden.chmod(0o755)
    return tmp_path / "work"


def ask_all(name: str, subject: str, folder: Path, *, question: str | None = None, scale: float = SCALE) -> list[Run]:
    """One repetition of one tool on one tiny corpus."""
    corpus = ensure(subject, folder=folder / "corpora", scale=scale, tell=quiet)
    live = LiveTree(folder / "run" / "data", corpus, settle_s=0.0)
    toolbox = Toolbox(folder)
    session = Session(peers(toolbox)[name], live, toolbox, 0, subject)
    session.begin()
    found = [ask(session) for ask in questions_for(question or subject, versions=len(corpus.manifests))]
    session.clear()
    assert [path.name for path in live.path.parent.iterdir()] == ["data"]
    return found


def test_cp_through_all_questions(tmp_path: Path) -> None:
    """The method itself, with a tool that does nothing clever: every version is stored whole."""
    first, again, second, checkout = ask_all("cp", "model", tmp_path)
    assert [run.question for run in (first, again, second, checkout)] == ["first", "again", "v2", "checkout"]
    for run in (first, again, second):
        assert run.added_bytes is not None
        assert run.added_bytes >= run.input_bytes * 0.99
    assert first.stored_bytes is not None
    assert second.stored_bytes is not None
    assert second.stored_bytes > 2.9 * first.stored_bytes
    assert checkout.added_bytes == 0
    assert all(run.wall_s > 0 for run in (first, again, second, checkout))


def test_a_corpus_without_second_version_asks_three_questions(tmp_path: Path) -> None:
    """There is no version 2 of the small files, and that is not an error."""
    assert [run.question for run in ask_all("cp", "small", tmp_path)] == ["first", "again", "checkout"]


def test_each_peer_found_here_restores_what_it_was_given(tmp_path: Path) -> None:
    """An adapter that drives its tool wrongly would publish figures of something else."""
    found = [name for name, peer in peers(Toolbox(tmp_path)).items() if peer.version() is not None and name in NAMES]
    assert "cp" in found
    for name in found:
        # The checkout compares every byte and raises ToolFailed if one is wrong.
        assert len(ask_all(name, "dataset", tmp_path / name)) == 4


def test_artstore_is_driven_through_its_command_line(tmp_path: Path) -> None:
    """The subject of all this: an option renamed there must be renamed here."""
    first, again, second, _ = ask_all(SUBJECT, "dataset", tmp_path, scale=0.01)
    assert first.stored_bytes is not None
    assert first.stored_bytes < first.input_bytes * 0.9
    for run in (again, second):
        assert run.added_bytes is not None
        assert run.added_bytes < first.stored_bytes / 2


def test_artstore_recognises_known_data_and_stores_nothing(tmp_path: Path) -> None:
    """The question is about reading; a dry run that wrote would be another one."""
    (known,) = ask_all(SUBJECT, "model", tmp_path, question="known")
    assert known.question == "known"
    assert known.added_bytes is not None
    assert known.added_bytes < known.input_bytes / 10  # An index may touch a page; the data isn't written again.


def test_command_line_writes_everything(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`artstore bench` is run by people who then open the files it names."""
    options = ["--corpus", "small", "--peers", "cp,tar-zstd", "--scale", str(SCALE), "--repeat", "2", "--json"]
    assert main([*options, "--workdir", str(workdir), "--out", str(workdir / "out")]) == 0
    printed = msgspec.json.decode(capsys.readouterr().out.encode(), type=Document)
    written = msgspec.json.decode((workdir / "out" / "results.json").read_bytes(), type=Document)
    assert printed == written
    assert [run.repetition for run in written.runs if run.tool == "cp" and run.question == "first"] == [0, 1]
    assert written.scale == SCALE
    assert written.machine["cores"]
    assert (workdir / "out" / "results.md").read_text().startswith("# artstore and its peers")
    assert not (workdir / "run" / "small").exists()


def test_tables_are_printed_for_people(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json the answer is a table on stdout, and progress stays off it."""
    options = ["--corpus", "small", "--peers", "cp", "--scale", str(SCALE), "--repeat", "1", "--workdir", str(workdir)]
    assert main(options) == 0
    shown = capsys.readouterr()
    assert "first s" in shown.out
    assert "small · 1/1 · cp" in shown.err
    assert "small · 1/1 · cp" not in shown.out


def test_list_names_tools_and_versions(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before a run of an hour one wants to see what will take part."""
    assert main(["--list", "--workdir", str(workdir)]) == 0
    shown = capsys.readouterr().out
    assert "cp (GNU coreutils)" in shown
    assert all(name in shown for name in ("model", "dataset", "small", "edits", SUBJECT))


@pytest.mark.parametrize(
    "options", [["--corpus", "huge"], ["--peers", "tape"], ["--repeat", "0"], ["--scale", "2"], ["--corpus", ""]]
)
def test_bad_options_are_usage_errors(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A typo must not start an hour of work."""
    assert main(options) == 2
    assert options[0] in capsys.readouterr().err


def test_a_broken_peer_does_not_stop_the_others(workdir: Path) -> None:
    """One bad release of one peer must not cost the figures of all."""
    broken = workdir / "tools" / "bin" / "restic"
    broken.write_text('#!/bin/sh\n[ "$1" = version ] && echo restic 0 && exit 0\necho out of luck\nexit 3\n')
    broken.chmod(0o755)
    options = ["--corpus", "small", "--peers", "restic,cp", "--scale", str(SCALE), "--repeat", "1"]
    assert main([*options, "--workdir", str(workdir), "--out", str(workdir / "out")]) == 0
    document = msgspec.json.decode((workdir / "out" / "results.json").read_bytes(), type=Document)
    (failure,) = document.failures
    assert (failure.tool, "out of luck" in failure.message) == ("restic", True)
    assert {run.question for run in document.runs if run.tool == "cp"} == {"first", "again", "checkout"}


def test_kernel_is_asked_on_its_own() -> None:
    """The figure is bytes over seconds of the cut alone."""
    run = ask_kernel(0, buffer_bytes=4 << 20)
    assert (run.corpus, run.question, run.input_bytes) == ("kernel", "kernel", 4 << 20)
    assert run.wall_s > 0
    assert SUBJECTS[-1] == "kernel"
