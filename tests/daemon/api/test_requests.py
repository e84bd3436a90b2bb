"""What may be asked: pages, bodies, parameters, each within its bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from artstore import Store, limits
from artstore.errors import Conflict
from artstore_daemon import settings
from artstore_daemon.api import encoding
from tests.daemon.api.serving import JSON, Serving, body_of, until


@pytest.fixture
def tags(store: Store, folder: Path) -> list[str]:
    """Versions of three artifacts, by name."""
    made: list[str] = []
    for artifact, count in (("a", 3), ("a-b", 1), ("b/c", 4)):
        for number in range(1, count + 1):
            (folder / "file").write_text(f"{artifact} {number}")
            store.commit(folder, artifact=artifact)
            made.append(f"{artifact}/v{number}")
    return sorted(made)


def walk(serving: Serving, query: str) -> list[list[str]]:
    """The pages of versions, as whoever follows `next` sees them."""
    pages: list[list[str]] = []
    after: str | None = ""
    while after is not None:
        told = serving.client.get(f"/v1/versions?{query}&after={after}")
        pages.append([item["tag"] for item in told["versions"]])
        after = told["next"]
    return pages


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 9, 1000])
def test_pages_are_whole_and_do_not_overlap(serving: Serving, tags: list[str], limit: int) -> None:
    """A dashboard would show a version twice, or never."""
    pages = walk(serving, f"limit={limit}")
    assert [tag for page in pages for tag in page] == tags
    assert all(len(page) == limit for page in pages[:-1])
    assert len(pages) == -(-len(tags) // limit), "no page is empty"


def test_pages_go_on_while_versions_come_and_go(serving: Serving, store: Store, tags: list[str]) -> None:
    """The page behind a tag that was removed meanwhile would begin anew."""
    first = serving.client.get("/v1/versions?artifact=b/c&limit=2")
    assert [item["tag"] for item in first["versions"]] == tags[4:6]
    store.tag("b/c/v9", "b/c/v4")
    store.remove(first["next"])
    rest = serving.client.get(f"/v1/versions?artifact=b/c&after={first['next']}")
    assert [item["tag"] for item in rest["versions"]] == ["b/c/v3", "b/c/v4", "b/c/v9"]
    assert serving.client.get("/v1/versions?artifact=nothing") == {"versions": [], "next": None}


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=1.0",
        "limit=",
        "limit=%D9%A3",
        "limit=" + "9" * 5000,
        "limits=5",
        "after=x&limit=x",
    ],
)
def test_pages_are_bounded(serving: Serving, query: str) -> None:
    """One request would hold all names of a store in memory, or be misunderstood in silence."""
    answer = serving.ask("GET", f"/v1/versions?{query}")
    assert (answer.status, answer.json["code"]) == (400, "usage")
    assert len(answer.json["detail"]) < 300


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"artifact": "m"}',
        b'{"artifact": "m", "folder": 1}',
        b'{"artifact": "m", "folder": "relative"}',
        b'{"artifact": "m", "folder": "/tmp/\\u0000"}',
        b'{"artifact": "m", "folder": "/tmp/\\ud800"}',
        b'{"artifact": "m", "folder": "/\xff"}',
        b'{"artifact": "", "folder": "/tmp"}',
        b'{"artifact": "../m", "folder": "/tmp"}',
        b'{"artifact": "m", "folder": "/tmp", "settle_s": 0}',
        b'{"artifact": "m", "folder": "/tmp", "settle_s": NaN}',
        b'{"artifact": "m", "folder": "/tmp", "settle_s": 1e300}',
        b'{"artifact": "m", "folder": "/tmp", "keep_last": 0}',
        b'{"artifact": "m", "folder": "/tmp", "settle_s": 9, "every_s": 3}',
        b'{"artifact": "m", "folder": "/tmp", "only": "25:00-26:00"}',
        b'{"artifact": "m", "folder": "/tmp", "each": "a\\u0000"}',
        b'{"artifact": "m", "folder": "/tmp", "unknown": 1}',
        b'{"artifact": "m", "folder": "/tmp", "push": "origin"}',
    ],
)
def test_a_watch_that_makes_no_sense(serving: Serving, store: Store, body: bytes) -> None:
    """It would be written to the config, and the daemon would break over it at each start."""
    before = Path(store.path, "config.toml").read_bytes()
    answer = serving.ask("POST", "/v1/watches", JSON, body)
    assert (answer.status, answer.json["exit_code"]) == (400, 2), answer.body
    assert Path(store.path, "config.toml").read_bytes() == before


@pytest.mark.parametrize(
    "more",
    [{"to": "relative"}, {"to": ""}, {"to": "/a\0b"}, {"hook": "a\0b"}, {"poll_s": -1}, {"alias": "m"}, {"x": 1}],
)
def test_a_follower_that_makes_no_sense(serving: Serving, store: Store, more: dict[str, object]) -> None:
    """A relative path would be one of the daemon's own folder: the link would appear at `/`."""
    assert serving.ask("POST", "/v1/follows", JSON, body_of({"alias": "m/p", **more})).status == 400
    assert settings.follows(store.path) == {}


def test_nobody_is_asked_all_the_time(serving: Serving, store: Store, folder: Path, tmp_path: Path) -> None:
    """A pause of a nanosecond would keep a core, and a remote, busy."""
    client = serving.client
    client.post("/v1/follows", {"alias": "m/p", "to": f"{tmp_path}/x/../served", "poll_s": 1e-9})
    client.post("/v1/watches", {"artifact": "m", "folder": str(folder), "poll_s": 1e-9})
    assert settings.follows(store.path)["m/p"].poll_s == limits.FOLLOW_POLL_S_MIN
    assert settings.follows(store.path)["m/p"].to == str(tmp_path / "served")
    assert settings.watches(store.path)["m"].poll_s == limits.WATCH_LOOK_S


def test_a_body_is_bounded_to_the_byte(serving: Serving) -> None:
    """A document of just that size would be refused, or one of any size held in memory."""
    most = limits.API_BODY_BYTES_MAX
    document = b'{"artifact": "m", "folder": "/nowhere"}'
    assert serving.ask("POST", "/v1/watches", JSON, document.ljust(most)).json["code"] == "not_found"
    answer = serving.ask("POST", "/v1/watches", JSON, document.ljust(most + 1))
    assert (answer.status, answer.json["detail"]) == (400, "the body has more than 1048576 bytes")


def test_a_body_without_end_is_hung_up_on(serving: Serving) -> None:
    """Whoever never ends would be listened to for ever."""
    head = (
        b"POST /v1/watches HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    piece = b"10000\r\n" + b" " * (1 << 16) + b"\r\n"
    sent = 0
    with serving.connect(head) as endless:
        try:
            while sent < 64 * limits.API_BODY_BYTES_MAX:
                endless.sendall(piece)
                sent += len(piece)
        except OSError:  # it has hung up
            pass
    assert sent < 32 * limits.API_BODY_BYTES_MAX


def test_a_body_that_stops_half_way_holds_nobody_up(serving: Serving, folder: Path) -> None:
    """One client that lost its network would keep the others waiting."""
    head = b"POST /v1/watches HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n"
    hanging = [serving.connect(head + b'{"arti') for _ in range(limits.API_CALLS_MAX + 2)]
    client = serving.client
    assert client.post("/v1/watches", {"artifact": "m", "folder": str(folder)})["watches"]
    for each in hanging:
        each.close()
    assert client.get("/v1/status")["watches"]


def test_names_that_are_no_text_are_shown(serving: Serving, folder: Path) -> None:
    """One file with a name from an old disk would hide the whole status."""
    client = serving.client
    client.post("/v1/watches", {"artifact": "m", "folder": str(folder)})
    client.patch("/v1/watches/m", {"paused": True})
    until(lambda: client.get("/v1/watches/m")["how"] == "paused")
    watching = serving.call(lambda: serving.daemon.watchings[0])
    watching.status.kept = ["caf\udce9"]
    watching.status.error = "caf\udce9 is open for writing"
    item = client.get("/v1/status")["watches"][0]
    assert (item["as_before"], item["error"]) == (["caf\\xe9"], "caf\\xe9 is open for writing")
    assert encoding.encode({"a": [{"caf\udce9": 1.5}]}) == b'{"a":[{"caf\\\\xe9":1.5}]}'


def test_a_version_is_told_as_it_was_recorded(serving: Serving, store: Store, folder: Path) -> None:
    """A dashboard would compare other numbers than those of the training."""
    (folder / "file").write_text("1")
    store.commit(folder, artifact="m", metrics={"loss": 1e300, "steps": 3}, labels={"note": "ü", "no": None})
    told = serving.client.get("/v1/versions/m")
    assert (told["metrics"], told["labels"]) == ({"loss": 1e300, "steps": 3}, {"note": "ü", "no": None})
    assert serving.client.get("/v1/versions/m/v1~0")["id"] == told["id"]
    assert serving.client.get(f"/v1/versions/{told['id'][:8]}")["id"] == told["id"]


def test_names_that_end_like_what_is_done(serving: Serving, folder: Path) -> None:
    """An artifact called `x/now` could be watched and never be seen or removed."""
    client = serving.client
    client.post("/v1/watches", {"artifact": "x/now", "folder": str(folder)})
    assert client.get("/v1/watches/x/now")["artifact"] == "x/now"
    assert client.post("/v1/watches/x/now/now") == {"names": ["x/now"]}
    client.patch("/v1/watches/x/now", {"paused": True})
    until(lambda: client.get("/v1/watches/x/now")["how"] == "paused")
    client.delete("/v1/watches/x/now")
    assert client.get("/v1/watches") == {"watches": []}


def test_what_is_paused_is_not_committed_now(serving: Serving, folder: Path) -> None:
    """It would be promised, and nothing would come of that."""
    client = serving.client
    client.post("/v1/watches", {"artifact": "m", "folder": str(folder)})
    client.patch("/v1/watches/m", {"paused": True})
    with pytest.raises(Conflict, match="m is paused"):
        client.post("/v1/watches/m/now")
    assert serving.call(serving.daemon.commit_now) == []
