"""Errors become exit codes and words: one total table."""

from __future__ import annotations

import errno
import os

import click
import pytest

from artstore import errors
from artstore.cli.rim import EXIT_BUG, problem_of, run

DOCUMENTED: dict[type[errors.ArtstoreError], int] = {
    errors.UsageError: 2, errors.BadName: 2, errors.Ambiguous: 2, errors.BadInput: 2, errors.Changing: 2,
    errors.Unsafe: 2, errors.NewerFormat: 2, errors.NotFound: 3, errors.NotPermitted: 4, errors.Conflict: 5,
    errors.Corrupt: 6, errors.Unopened: 6, errors.Erased: 6, errors.RemoteError: 7, errors.Busy: 8, errors.NoSpace: 9,
    errors.Interrupted: 130,
}  # fmt: skip


def every_error(kind: type[errors.ArtstoreError] = errors.ArtstoreError) -> set[type[errors.ArtstoreError]]:
    return {kind}.union(*map(every_error, kind.__subclasses__()))


def test_every_error_of_ours_has_its_exit_code() -> None:
    """Scripts branch on exit codes; a new error without one would look like success or like `differs`."""
    ours = {kind for kind in every_error() if kind.__module__ == "artstore.errors"}
    assert ours == {errors.ArtstoreError, *DOCUMENTED}
    for kind, code in DOCUMENTED.items():
        assert kind.exit_code == code
    assert problem_of(errors.Ambiguous("x", ["a", "b"])).exit_code == 2
    assert len({kind.code for kind in ours}) == len(ours)


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (errno.ENOSPC, 9), (errno.EDQUOT, 9), (errno.EACCES, 4), (errno.EROFS, 4), (errno.ENOENT, 3), (errno.EIO, 6),
        (errno.EMFILE, 8), (errno.ECONNREFUSED, 7), (errno.EISDIR, 2), (errno.EEXIST, 5), (errno.ENOPROTOOPT, EXIT_BUG),
    ],
)  # fmt: skip
def test_what_the_system_refuses_is_told_with_its_path(
    code: int, exit_code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]
) -> None:
    """A full disk that no adapter met must still not look like a bug, nor hide where it happened."""
    monkeypatch.setenv("XDG_STATE_HOME", os.fspath(tmp_path))
    problem = problem_of(OSError(code, os.strerror(code), "/some/file"))
    assert problem.exit_code == exit_code
    assert "/some/file" in problem.message


def test_usage_errors_name_the_help_of_their_command() -> None:
    """Who misspells an option is one command away from the right one."""
    context = click.Context(
        click.Command("diff"), info_name="diff", parent=click.Context(click.Command("artstore"), info_name="artstore")
    )
    problem = problem_of(click.UsageError("No such option: --x.", context))
    assert (problem.exit_code, problem.message) == (2, "No such option: --x")
    assert problem.hint == "see `artstore diff --help`"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["comit"], "there is no `artstore comit`: did you mean 'commit'? see `artstore --help`"),
        (["alias", "sett"], "there is no `artstore alias sett`: did you mean 'set'? see `artstore alias --help`"),
        (["log", "--jsn"], "there is no option --jsn: did you mean --json? see `artstore log --help`"),
        (["completion"], "Missing argument 'bash|zsh|fish'. Choose from: bash, zsh, fish; see `artstore completion -"),
        (["gc", "--keep-last", "x"], "Invalid value for '--keep-last': 'x' is not a valid whole number; see `artstore"),
    ],
)  # fmt: skip
def test_a_slip_is_answered_in_one_line(words: list[str], told: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Who mistypes must see what was meant, and not a list broken over lines."""
    assert run(words) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith(f"artstore: {told}")


def test_out_of_memory_is_no_bug() -> None:
    """The machine is too small, which the user can mend."""
    assert problem_of(MemoryError()).exit_code == 8


def test_a_bug_without_a_place_for_its_report_is_still_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a read-only home the error must not be lost to a second error."""
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    problem = problem_of(ValueError("first\nsecond"))
    assert (problem.exit_code, problem.message) == (EXIT_BUG, "this is a bug: ValueError: first")
    assert problem.hint == "please report it"
