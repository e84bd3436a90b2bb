"""The OpenAPI document: that it tells of what there is, and that what there is keeps to it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from artstore import Store
from artstore.model import RemotePlace
from artstore_daemon.api import openapi, reference
from artstore_daemon.api.routes import ROUTES
from tests.daemon.api.serving import JSON, Serving
from tests.daemon.live import WAIT_S

# The daemon's own thread uses `random`, for the pauses between its attempts, while examples are drawn on this one.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"
)
ROOT = Path(__file__).resolve().parents[3]
# The one never ends, the other ends the daemon: they have tests of their own.
SPECIAL = ("/v1/events", "/v1/stop")
# What there is, so that not all requests are for what isn't.
NAMES = {
    "artifact": ["m", "x/now"],
    "alias": ["m/production", "m/staging"],
    "revision": ["m", "m/v1", "m/v2~1", "m/production", "m/production@{1}", "m~9", "n", "m/v1:file", "00000000"],
}


@pytest.fixture
def full(serving: Serving, store: Store, folder: Path, tmp_path: Path) -> Serving:
    """A daemon that has something to tell of everything."""
    for number in (1, 2):
        (folder / "file").write_text(str(number))
        store.commit(folder, artifact="m", params={"lr": 0.1, "name": "x"}, metrics={"loss": number})
        store.set_alias("m/production", f"m/v{number}")
    store.add_remote("origin", RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    client = serving.client
    client.post("/v1/watches", {"artifact": "m", "folder": str(folder), "push": ["origin"], "settle_s": 0.1})
    client.post("/v1/follows", {"alias": "m/production", "to": str(tmp_path / "served"), "poll_s": 1.0})
    return serving


def test_it_tells_of_all_routes() -> None:
    """A program that is made from it would lack what it needs."""
    told = openapi.document()
    assert {(path, method) for path, item in told["paths"].items() for method in item} == {
        (route.path, route.method.lower()) for route in ROUTES
    }
    operations = [operation for item in told["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(ROUTES)


def test_it_is_what_is_served(serving: Serving) -> None:
    """Whoever reads it from another release would be misled."""
    assert serving.client.get("/openapi.json") == openapi.document()


def test_the_reference_is_that_of_the_tables() -> None:
    """Documents that are written by hand go stale; run `python -m artstore_daemon.api.reference`."""
    assert (ROOT / reference.REFERENCE).read_text(encoding="utf-8") == reference.reference()


def examples_of(full: Serving, *, valid: bool) -> set[tuple[str, int]]:
    """Ask what the document allows, or what it forbids; the operations with the statuses they were answered with."""
    # Any: most of its types are its plugins' own.
    schemathesis: Any = importlib.import_module("schemathesis")
    checks = schemathesis.checks
    wanted = [
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        *([] if valid else [checks.negative_data_rejection]),
    ]
    mode = schemathesis.GenerationMode.POSITIVE if valid else schemathesis.GenerationMode.NEGATIVE
    headers = {"authorization": f"Bearer {full.token}", **JSON}
    seen: set[tuple[str, int]] = set()

    def ask(case: Any, choice: int) -> None:
        for name, known in NAMES.items():
            if valid and name in case.path_parameters and choice < len(known):
                case.path_parameters[name] = known[choice]
        answer = case.call(base_url=f"http://127.0.0.1:{full.port}", headers=headers, timeout=WAIT_S)
        seen.add((case.operation.label, answer.status_code))
        case.validate_response(answer, checks=wanted)

    limited = examples(
        max_examples=20,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    document = openapi.document()
    for route in ROUTES:
        if route.path in SPECIAL or not (valid or route.body or route.query):
            del document["paths"][route.path][route.method.lower()]
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        cases = found.ok().as_strategy(generation_mode=mode)
        limited(given(case=cases, choice=st.integers(0, 9))(ask))()
    return seen


def test_what_it_allows_is_answered_as_it_says(full: Serving) -> None:
    """A program that keeps to the document would meet an answer that it can't read."""
    seen = examples_of(full, valid=True)
    told = {f"{route.method} {route.path}" for route in ROUTES if route.method == "GET" and route.path not in SPECIAL}
    assert {label for label, status in seen if status == 200} >= told, "each was there to be told of"


def test_what_it_forbids_is_refused(full: Serving) -> None:
    """A program with a mistake would be understood in some way, or meet a bug of ours."""
    seen = examples_of(full, valid=False)
    assert len({label for label, _ in seen}) == 4
    assert {status for _, status in seen} <= {400, 404}
