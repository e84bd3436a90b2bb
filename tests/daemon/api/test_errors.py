"""What goes wrong, as HTTP tells it and as the client raises it."""

from __future__ import annotations

import logging

import pytest

from artstore import Store
from artstore import errors as ours
from artstore.errors import Ambiguous, ArtstoreError
from artstore_daemon.api import views
from artstore_daemon.api.errors import PROBLEM, STATUSES, status_of
from tests.daemon.api.serving import Serving

KINDS = [kind for kind in vars(ours).values() if isinstance(kind, type) and issubclass(kind, ArtstoreError)]
STATUS = {
    "error": 500,
    "usage": 400,
    "bad_name": 400,
    "ambiguous": 400,
    "bad_input": 400,
    "changing": 400,
    "unsafe": 400,
    "newer_format": 409,
    "not_found": 404,
    "not_permitted": 403,
    "conflict": 409,
    "corrupt": 500,
    "unopened": 500,
    "erased": 410,
    "remote": 502,
    "busy": 503,
    "no_space": 507,
    "interrupted": 503,
}


def made(kind: type[ArtstoreError]) -> ArtstoreError:
    """One of a kind."""
    return Ambiguous("ab", ["abc", "abd"]) if kind is Ambiguous else kind("it went wrong", hint="do this")


def test_each_error_has_its_status() -> None:
    """What only the caller can mend would look like a fault of the server, or the other way round."""
    assert {kind.code: status_of(made(kind)) for kind in KINDS} == STATUS


def test_no_row_of_the_table_is_dead() -> None:
    """A row behind that of its base would never be used."""
    for number, (kind, _) in enumerate(STATUSES):
        assert not [before for before, _ in STATUSES[:number] if issubclass(kind, before)], kind


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_out_as_it_went_in(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, kind: type[ArtstoreError]
) -> None:
    """`artstore watch now` would end with another code than without a daemon."""
    error = made(kind)

    def fail(_: Store) -> None:
        raise error

    monkeypatch.setattr(views, "refs", fail)
    answer = serving.ask("GET", "/v1/refs")
    assert (answer.status, answer.headers["content-type"]) == (STATUS[kind.code], PROBLEM)
    assert answer.json == {
        "type": f"urn:artstore:{kind.code}",
        "title": kind.code.replace("_", " "),
        "status": STATUS[kind.code],
        "detail": error.message,
        "code": kind.code,
        "exit_code": kind.exit_code,
        "hint": error.hint,
    }
    with pytest.raises(ArtstoreError) as caught:
        serving.client.get("/v1/refs")
    raised = caught.value
    assert type(raised) is kind
    assert (str(raised), raised.message, raised.hint) == (str(error), error.message, error.hint)
    assert (raised.code, raised.exit_code) == (error.code, error.exit_code)


def test_a_bug_is_logged_once_and_told_nobody(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asks would read our insides, and whoever reads the log would count two bugs."""

    def fail(_: Store) -> None:
        raise RuntimeError("an inside")

    monkeypatch.setattr(views, "refs", fail)
    answer = serving.ask("GET", "/v1/refs")
    assert (answer.status, answer.json["code"], answer.json["exit_code"]) == (500, "bug", 70)
    assert b"an inside" not in answer.body
    assert serving.client.get("/healthz") == "ok\n", "the others are still answered"
    serving.end()
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [(record.getMessage(), record.exc_info is not None) for record in told] == [("GET '/v1/refs' broke", True)]


def test_what_is_nowhere_is_a_problem_too(serving: Serving) -> None:
    """A program would have to read HTML."""
    for path in ("/", "/v1", "/v1/status/", "/v2/status", "/v1/watches/none", "/v1/follows/none"):
        answer = serving.ask("GET", path)
        assert (answer.status, answer.headers["content-type"]) == (404, PROBLEM), path
    answer = serving.ask("DELETE", "/v1/status", {"content-type": "application/json"})
    assert (answer.status, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


def test_a_later_daemon_tells_of_what_this_client_does_not_know(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line would break over it rather than show it."""
    error = ArtstoreError("a new kind of trouble", hint="wait")
    error.code, error.exit_code = "brand_new", 11

    def fail(_: Store) -> None:
        raise error

    monkeypatch.setattr(views, "refs", fail)
    with pytest.raises(ArtstoreError, match="a new kind of trouble; wait") as caught:
        serving.client.get("/v1/refs")
    assert (caught.value.code, caught.value.exit_code) == ("brand_new", 11)
