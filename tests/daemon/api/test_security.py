"""Who is answered: rules, tokens, and pages in browsers that try."""

from __future__ import annotations

import logging
import os
import socket
import stat
from pathlib import Path

import pytest

from artstore import Store
from artstore.errors import NotPermitted
from artstore_daemon.api.routes import ROUTES
from artstore_daemon.api.security import (
    CHANGING,
    OF_A_PAGE,
    REFUSALS,
    UNKNOWN,
    WRONG_HOST,
    WRONG_KIND,
    Gate,
    Refusal,
    refuse,
)
from artstore_daemon.api.tokens import token_of
from tests.daemon.api.serving import JSON, Serving, body_of
from tests.daemon.live import WAIT_S

GATE = Gate("secret", 80)
GOOD = {"host": "127.0.0.1:80", "authorization": "Bearer secret"}
CASES: list[tuple[str, str, dict[str, str], Refusal | None]] = [
    ("GET", "/v1/status", GOOD, None),
    ("GET", "/v1/status", {**GOOD, "host": "LOCALHOST:80"}, None),
    ("GET", "/v1/status", {**GOOD, "host": "[::1]:80"}, None),
    ("GET", "/v1/status", {**GOOD, "sec-fetch-site": "none"}, None),
    ("GET", "/v1/status", {**GOOD, "sec-fetch-site": "same-origin"}, None),
    ("GET", "/v1/status", {"authorization": "Bearer secret"}, WRONG_HOST),
    ("GET", "/v1/status", {**GOOD, "host": "127.0.0.1"}, WRONG_HOST),
    ("GET", "/v1/status", {**GOOD, "host": "127.0.0.1:81"}, WRONG_HOST),
    ("GET", "/v1/status", {**GOOD, "host": "127.0.0.1.evil.example:80"}, WRONG_HOST),
    ("GET", "/v1/status", {**GOOD, "host": "evil.example:80"}, WRONG_HOST),
    ("GET", "/v1/status", {**GOOD, "origin": "http://127.0.0.1:80"}, OF_A_PAGE),
    ("GET", "/v1/status", {**GOOD, "origin": "null"}, OF_A_PAGE),
    ("GET", "/v1/status", {**GOOD, "sec-fetch-site": "cross-site"}, OF_A_PAGE),
    ("GET", "/v1/status", {**GOOD, "sec-fetch-site": "same-site"}, OF_A_PAGE),
    ("GET", "/v1/status", {"host": "127.0.0.1:80"}, UNKNOWN),
    ("GET", "/v1/status", {**GOOD, "authorization": ""}, UNKNOWN),
    ("GET", "/v1/status", {**GOOD, "authorization": "Bearer "}, UNKNOWN),
    ("GET", "/v1/status", {**GOOD, "authorization": "Bearer secre"}, UNKNOWN),
    ("GET", "/v1/status", {**GOOD, "authorization": "Bearer secrets"}, UNKNOWN),
    ("GET", "/v1/status", {**GOOD, "authorization": "Basic secret"}, UNKNOWN),
    ("GET", "/v1/status", {**GOOD, "authorization": "Bearer s\xe9cret"}, UNKNOWN),
    ("GET", "/healthz", {"host": "127.0.0.1:80"}, None),
    ("GET", "/healthz", {"host": "evil.example:80"}, WRONG_HOST),
    ("GET", "/healthz", {"host": "127.0.0.1:80", "origin": "null"}, OF_A_PAGE),
    ("POST", "/v1/stop", {**GOOD, **JSON}, None),
    ("POST", "/v1/stop", {**GOOD, "content-type": "Application/JSON; charset=utf-8"}, None),
    ("POST", "/v1/stop", GOOD, WRONG_KIND),
    ("DELETE", "/v1/watches/m", GOOD, WRONG_KIND),
    ("PATCH", "/v1/watches/m", {**GOOD, "content-type": "text/plain"}, WRONG_KIND),
    ("POST", "/v1/watches", {**GOOD, "content-type": "application/x-www-form-urlencoded"}, WRONG_KIND),
    ("POST", "/v1/watches", {**GOOD, "content-type": "text/plain; application/json"}, WRONG_KIND),
    ("POST", "/v1/watches", {**GOOD, "content-type": "application/json-not"}, WRONG_KIND),
]


@pytest.mark.parametrize(("method", "path", "headers", "expected"), CASES)
def test_each_case_is_decided_on_purpose(
    method: str, path: str, headers: dict[str, str], expected: Refusal | None
) -> None:
    """A page, or another user of the machine, would get in by the one case that nobody thought of."""
    assert refuse(GATE, method, path, headers) == expected


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", {"host": "x", "origin": "y"}, None),
        ("POST", {}, None),
        ("POST", {"content-length": "0"}, None),
        ("POST", {"content-length": "2", **JSON}, None),
        ("POST", {"content-length": "2"}, WRONG_KIND),
        ("POST", {"content-length": "0", "content-type": "multipart/form-data"}, WRONG_KIND),
        ("POST", {"transfer-encoding": "chunked"}, WRONG_KIND),
    ],
)
def test_on_the_socket_its_rights_have_decided(method: str, headers: dict[str, str], expected: Refusal | None) -> None:
    """`curl --unix-socket` would need a token that only its owner could read anyway."""
    assert refuse(None, method, "/v1/watches", headers) == expected


def test_whatever_changes_something_is_known_to() -> None:
    """A route that is added with another method would be open to forms."""
    assert {route.method for route in ROUTES} - {"GET"} <= CHANGING
    assert len({each.status for each in REFUSALS}) == len({each.code for each in REFUSALS}) == len(REFUSALS)


def test_a_gate_tells_no_token() -> None:
    """A traceback in a bug report would let others in."""
    assert "secret" not in repr(GATE)
    with pytest.raises(AssertionError):
        Gate("", 80)


@pytest.mark.parametrize("left", ["", "\n", "abc", "x" * 42])
def test_a_token_that_was_cut_off_is_made_anew(tmp_path: Path, left: str) -> None:
    """After a full disk an empty token would be right: everybody on the machine would be let in."""
    path = tmp_path / "token"
    path.write_text(left)
    path.chmod(0o600)
    made = token_of(str(path))
    assert len(made) >= 43
    assert token_of(str(path)) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_others_could_have_put_there_is_no_token(tmp_path: Path) -> None:
    """Whoever plants a token knows it."""
    good = tmp_path / "good"
    token_of(str(good))
    link, pipe, folder, open_to_all = (tmp_path / name for name in ("link", "pipe", "folder", "open"))
    link.symlink_to(good)
    os.mkfifo(pipe, 0o600)
    folder.mkdir(mode=0o700)
    open_to_all.write_text(good.read_text())
    open_to_all.chmod(0o604)
    for path in (link, pipe, open_to_all):
        with pytest.raises(NotPermitted, match="others can read or replace"):
            token_of(str(path))
    with pytest.raises((NotPermitted, IsADirectoryError)):
        token_of(str(folder))


def test_a_token_others_can_read_stops_it(store: Store, place: Path) -> None:
    """A daemon that begins all the same would answer to all of them."""
    (place / "token").write_text("x" * 43)
    (place / "token").chmod(0o644)
    with pytest.raises(BaseExceptionGroup) as caught, Serving(store, place):
        pass
    assert caught.group_contains(NotPermitted)
    assert [each.name for each in place.iterdir()] == ["token"], "what it has made is gone"


def test_a_page_gets_nowhere(serving: Serving, folder: Path) -> None:
    """A page that somebody looks at would have his home directory pushed to a bucket of its own."""
    body = body_of({"artifact": "m", "folder": str(folder)})
    forms = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "text/plain;x=json")
    for kind in forms:
        assert serving.ask("POST", "/v1/watches", {"content-type": kind}, body).status == 415
    for method, path in (("POST", "/v1/stop"), ("POST", "/v1/reload"), ("DELETE", "/v1/watches/m")):
        assert serving.ask(method, path, {"content-type": forms[0]}).status == 415
        assert serving.ask(method, path).status == 415, "what a page may send without a type of its own"
        assert serving.ask(method, path, {**JSON, "origin": "https://evil.example"}).status == 403
        assert serving.ask(method, path, {**JSON, "host": f"evil.example:{serving.port}"}).status == 421
    preflight = serving.ask("OPTIONS", "/v1/watches", {"origin": "https://evil.example"})
    assert (preflight.status, preflight.headers.get("access-control-allow-origin")) == (403, None)
    assert serving.client.get("/v1/watches") == {"watches": []}


def test_no_other_protocol_leads_round_the_gate(serving: Serving) -> None:
    """WebSockets know no same-origin rule, and HTTP/2 writes its headers otherwise."""
    begun = f"GET /v1/status HTTP/1.1\r\nhost: evil.example:{serving.port}\r\nconnection: upgrade\r\n"
    socket_key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    for more, told in (
        (f"upgrade: websocket\r\n{socket_key}", b"HTTP/1.1 403"),
        ("upgrade: h2c\r\nhttp2-settings: \r\n", b'"code":"wrong_host"'),
    ):
        with socket.create_connection(("127.0.0.1", serving.port), timeout=WAIT_S) as connection:
            connection.sendall(f"{begun}{more}\r\n".encode())
            said = b""
            while told not in said:
                piece = connection.recv(4096)
                assert piece, said
                said += piece
        assert b'"store_id"' not in said


def test_who_has_no_token_is_told_how_to_come_in(serving: Serving) -> None:
    """A program of HTTP's looks there for what it lacks."""
    answer = serving.ask("GET", "/v1/status", {"authorization": "Bearer wrong"})
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json["code"] == "unauthorized"


def test_the_token_is_told_nowhere(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    """A log or an error that goes into a bug report would let others in."""
    token = serving.token
    with caplog.at_level(logging.DEBUG):
        told = [
            serving.ask("GET", "/v1/status"),
            serving.ask("GET", "/v1/status", {"authorization": f"Bearer x{token}"}),
            serving.ask("GET", "/v1/status", {"host": "evil"}),
            serving.ask("GET", "/v1/versions?limit=x"),
            serving.ask("GET", "/metrics"),
            serving.ask("GET", "/openapi.json"),
            serving.ask("POST", "/v1/watches", JSON, b"{"),
        ]
    assert all(token.encode() not in answer.body for answer in told)
    assert token not in caplog.text
    assert all(token not in str(vars(record)) for record in caplog.records)
