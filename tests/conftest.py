"""What tests of all kinds share: hypothesis without clocks, remotes, and `--encrypted`.

How long an example takes is the machine's affair, and bench/ measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from artstore.model import RemotePlace
from tests import encrypting
from tests.remotes import (
    ENVIRONMENT,
    Landlord,
    ceph_server,
    moto_server,
    new_bucket,
    new_certificate,
    new_folder,
    over_tls,
    tls_server,
)

settings.register_profile("artstore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("artstore")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--encrypted` runs the tests on encrypted stores."""
    parser.addoption(encrypting.OPTION, action="store_true", help="stores that tests make are encrypted")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What can't be asked of encrypted stores is left out."""
    if config.getoption(encrypting.OPTION):
        encrypting.skip(items)


@pytest.fixture(autouse=True)
def _as_encrypted(request: pytest.FixtureRequest) -> Iterator[None]:
    """Stores that a test makes are encrypted, if that was asked for; before any other fixture makes one."""
    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption(encrypting.OPTION):
            encrypting.begin(patch)
        yield


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """The certificate of the service that is reached over TLS; made when asked for."""
    made: list[Path] = []

    def make() -> Path:
        if not made:
            made.append(new_certificate(tmp_path_factory.mktemp("tls") / "service"))
        return made[0]

    return make


@pytest.fixture(scope="session")
def ceph_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the Ceph of this run lies, be it started or not."""
    folder = tmp_path_factory.getbasetemp()
    if folder.name.startswith("popen-"):  # a worker's; its parent is that of the run
        folder = folder.parent
    return folder / "ceph"


@pytest.fixture(scope="session")
def services(ceph_folder: Path, certificate: Callable[[], Path]) -> Iterator[Callable[[str], str]]:
    """The URL of an S3 service: "moto" in this process, "ceph" for all processes of this run; begun when asked for.

    "tls" is the same Ceph over TLS.
    """
    running: dict[str, str] = {}
    with ExitStack() as stack:

        def service(kind: str) -> str:
            if kind not in running:
                running[kind] = stack.enter_context(start(kind))
            return running[kind]

        def start(kind: str) -> AbstractContextManager[str]:
            if kind == "tls":
                return tls_server(service("ceph"), certificate())
            return moto_server() if kind == "moto" else ceph_server(ceph_folder)

        yield service


@pytest.fixture
def remote_place(
    services: Callable[[str], str],
    certificate: Callable[[], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], RemotePlace]:
    """A new, empty place for a remote: in a "folder", or in a bucket of "moto", "ceph" or "tls"."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

    def place(kind: str) -> RemotePlace:
        if kind == "folder":
            return new_folder(tmp_path)
        if kind == "tls":
            return over_tls(new_bucket(services("ceph")), services("tls"), certificate())
        return new_bucket(services(kind))

    return place


@pytest.fixture
def landlord(
    remote_place: Callable[[str], RemotePlace], ceph_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Landlord:
    """Who owns a new bucket of a real service, and lets others in."""
    made = Landlord(remote_place("ceph"), ceph_folder, tmp_path / "aws-credentials")
    made.credentials.touch()
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(made.credentials))
    return made
