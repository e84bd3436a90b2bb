"""What the API is for: what programs and dashboards do with it."""

from __future__ import annotations

import logging
import os
import socket
import stat
from pathlib import Path

import pytest

from artstore import Store
from artstore.errors import Conflict, NotFound, NotPermitted, UsageError
from artstore.model import RemotePlace
from artstore_daemon import settings
from artstore_daemon.api.tokens import token_of
from artstore_daemon.client import Client, NotRunning
from artstore_daemon.logs import without_secrets
from tests.daemon.api.serving import JSON, Serving, until
from tests.daemon.live import spec


def test_watches(serving: Serving, store: Store, folder: Path) -> None:
    """A program could not do what a person does with `artstore watch`."""
    client = serving.client
    body = {"artifact": "a/b", "folder": str(folder), "settle_s": 0.3, "every_s": 60.0}
    made = client.post("/v1/watches", body)
    assert [item["artifact"] for item in made["watches"]] == ["a/b"]
    assert settings.watches(store.path)["a/b"].folder == str(folder)
    (folder / "file").write_bytes(b"1")
    until(lambda: client.get("/v1/watches/a/b")["last_tag"] == "a/b/v1")
    client.patch("/v1/watches/a/b", {"paused": True})
    until(lambda: client.get("/v1/watches/a/b")["how"] == "paused")
    client.patch("/v1/watches/a/b", {"paused": False})
    assert client.post("/v1/watches/a/b/now") == {"names": ["a/b"]}
    assert client.get("/v1/status")["watches"][0]["folder"] == str(folder)
    client.delete("/v1/watches/a/b")
    assert client.get("/v1/watches") == {"watches": []}
    assert settings.watches(store.path) == {}


def test_follows(serving: Serving, store: Store, folder: Path, tmp_path: Path) -> None:
    """The same of `artstore follow`."""
    (folder / "file").write_bytes(b"1")
    store.commit(folder, artifact="m")
    store.set_alias("m/production", "m/v1")
    client = serving.client
    client.post("/v1/follows", {"alias": "m/production", "to": str(tmp_path / "served"), "poll_s": 0.1})
    until(lambda: client.get("/v1/follows/m/production")["current"])
    assert (tmp_path / "served" / "file").read_bytes() == b"1"
    assert client.post("/v1/follows/m/production/now") == {"names": ["m/production"]}
    client.delete("/v1/follows/m/production")
    assert client.get("/v1/follows") == {"follows": []}
    assert store.followed() == {}


def test_versions_and_refs(serving: Serving, store: Store, folder: Path) -> None:
    """A dashboard would have to run a command for each version."""
    for number in range(1, 8):
        (folder / "file").write_bytes(b"%d" % number)
        store.commit(folder, artifact="m", params={"lr": 0.1}, metrics={"loss": number})
    store.set_alias("m/production", "m/v3")
    client = serving.client
    seen: list[str] = []
    after = ""
    while True:
        page = client.get(f"/v1/versions?artifact=m&limit=3&after={after}")
        seen += [item["tag"] for item in page["versions"]]
        after = page["next"]
        if after is None:
            break
    assert seen == [f"m/v{number}" for number in range(1, 8)]
    one = client.get("/v1/versions/m/production")
    assert (one["tags"], one["metrics"], one["params"], one["here"]) == (["m/v3"], {"loss": 3}, {"lr": 0.1}, True)
    assert client.get("/v1/refs")["aliases"] == [{"alias": "m/production", "id": one["id"], "moves": 1}]


def test_events(serving: Serving, store: Store, folder: Path) -> None:
    """Who wants to know when a version is there would have to ask again and again, or miss one."""
    settings.add_watch(store.path, spec("m", folder))
    client = serving.client
    client.post("/v1/reload")
    events = client.events()
    for number in range(1, 4):
        (folder / "file").write_bytes(b"%d" % number)
        assert next(events)["name"] == f"m/v{number}"
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(serving.socket)
    connection.sendall(b"GET /v1/events HTTP/1.1\r\nhost: x\r\nlast-event-id: 2\r\n\r\n")
    said = b""
    while b"data: " not in said:
        said += connection.recv(4096)
    assert b"id: 3\n" in said
    assert b"id: 2\n" not in said
    connection.close()


def test_metrics_and_health(serving: Serving, store: Store, folder: Path, tmp_path: Path) -> None:
    """Nobody would be called when a folder hasn't become a version for a week."""
    store.add_remote("origin", RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    settings.add_watch(store.path, spec("m", folder, push=("origin",)))
    client = serving.client
    client.post("/v1/reload")
    (folder / "file").write_bytes(b"1")
    until(lambda: 'artstore_watch_commits_total{artifact="m"} 1' in client.get("/metrics"))
    lines = client.get("/metrics").splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert all(len(line.rpartition(" ")) == 3 and float(line.rpartition(" ")[2]) >= 0 for line in samples)
    assert any(line.startswith('artstore_push_waiting{artifact="m",remote="origin"} ') for line in samples)
    assert len({line.split()[2] for line in lines if line.startswith("# TYPE")}) == sum("# TYPE" in x for x in lines)
    assert client.get("/healthz") == "ok\n"


def test_problems(serving: Serving, folder: Path, tmp_path: Path) -> None:
    """A program would have to read prose to know what to do."""
    client = serving.client
    body = {"artifact": "m", "folder": str(folder)}
    client.post("/v1/watches", body)
    with pytest.raises(Conflict, match="is made of"):
        client.post("/v1/watches", body)
    with pytest.raises(NotFound, match="isn't watched"):
        client.get("/v1/watches/other")
    wrongs: list[object] = [{"artifact": "x"}, {**body, "more": 1}, {**body, "folder": "relative"}, []]
    wrongs.append({**body, "settle_s": -1})
    for wrong in wrongs:
        with pytest.raises(UsageError):
            client.post("/v1/watches", wrong)
    with pytest.raises(UsageError, match="limit is a number from 1 to 1000"):
        client.get("/v1/versions?limit=5000")
    with pytest.raises(UsageError, match="no parameter"):
        client.get("/v1/versions?limits=5")
    answer = serving.ask("GET", "/v1/versions/nothing")
    assert answer.status == 404
    said = answer.json
    assert (said["code"], said["exit_code"], said["status"]) == ("not_found", 3, 404)
    assert serving.ask("GET", "/nowhere").status == 404
    assert serving.ask("PUT", "/v1/status").status == 405
    with pytest.raises(NotRunning, match="no daemon answers"):
        Client(str(tmp_path / "none")).get("/v1/status")


def test_who_has_no_token_is_refused(serving: Serving) -> None:
    """Every user of the machine could make versions, or end the daemon."""
    for token in ("", "Bearer ", "Bearer wrong", f"Basic {serving.token}", f"Bearer {serving.token[:-1]}"):
        answer = serving.ask("GET", "/v1/status", {"authorization": token})
        assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    assert serving.ask("GET", "/v1/status").status == 200
    assert serving.ask("GET", "/healthz", {"authorization": ""}).status == 200


def test_the_token_is_its_owners_alone(tmp_path: Path) -> None:
    """Whoever can read it is let in."""
    path = tmp_path / "token"
    made = token_of(str(path))
    assert len(made) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token_of(str(path)) == made
    path.chmod(0o640)
    with pytest.raises(NotPermitted, match="others can read"):
        token_of(str(path))
    os.rename(path, tmp_path / "other")
    path.symlink_to(tmp_path / "other")
    with pytest.raises(NotPermitted):
        token_of(str(path))


def test_no_secret_is_logged(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    """A log that is sent with a bug report would let others in."""
    with caplog.at_level(logging.DEBUG):
        serving.ask("GET", "/v1/status")
        serving.ask("GET", "/v1/nothing", {"authorization": f"Bearer {serving.token}x"})
        serving.ask("POST", "/v1/watches", JSON, serving.token.encode())
    assert serving.token not in caplog.text
    for text in (
        "Authorization: Bearer abc.def",
        "AWS_SECRET_ACCESS_KEY=abc/def",
        '{"token": "abc.def"}',
        "s3://key:abc.def@host/bucket",
        "password = abc.def",
        "Authorization: Basic abcdef==",
        "https://host/bucket/key?X-Amz-Signature=abc",
        "redis://:abc@host",
        "PASSWD=abc",
        "secret: abc",
        "api_key=abc",
    ):
        assert "abc" not in without_secrets(text), text
    assert without_secrets("version m/v1: 3 files") == "version m/v1: 3 files"
