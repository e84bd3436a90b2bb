"""The service that all tools are measured against, and a bucket of it for as long as one tool is asked."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import artstore_bench
from artstore.testing import ceph
from artstore_bench.command import Command, Toolbox
from artstore_bench.method import measure
from artstore_bench.mounts.processes import family

# Of the machine's own account nothing is used. The checksums are those that all services take, for all tools alike.
ENVIRONMENT: Final[Mapping[str, str]] = {
    "AWS_ACCESS_KEY_ID": ceph.ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": ceph.SECRET_KEY,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket that nobody else uses; `environment`: what a process needs to use it, which is said in no other way."""

    name: str
    endpoint: str
    environment: Mapping[str, str]


def nobody() -> list[int]:
    """The processes of a service that is none of its own."""
    return []


def keep(_: str) -> None:
    """What a service that ends with its test does to its buckets."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running one. `remove` takes a bucket with all in it; `pids`: its processes, whose work isn't other people's."""

    endpoint: str
    toolbox: Toolbox
    remove: Callable[[str], None] = keep
    pids: Callable[[], list[int]] = nobody
    environment: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)

    @contextlib.contextmanager
    def bucket(self) -> Generator[Bucket]:
        """A new bucket, which is removed afterwards: the service keeps everything in memory."""
        name = f"b-{uuid.uuid4()}"
        made = Bucket(name, self.endpoint, self.environment)
        measure([worker("create", made)], toolbox=self.toolbox, log=self.toolbox.folder / "logs" / "remote-bucket.log")
        try:
            yield made
        finally:
            self.remove(name)


def worker(action: str, bucket: Bucket, *paths: Path) -> Command:
    """A process of `artstore_bench.remotes.worker`."""
    return module("worker", (action, bucket.endpoint, bucket.name, *map(str, paths)), bucket.environment)


def module(name: str, arguments: tuple[str, ...], environment: Mapping[str, str]) -> Command:
    """A process of a module beside this one, which sees the same packages as this process."""
    root = str(Path(artstore_bench.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    argv = (sys.executable, "-P", "-m", f"artstore_bench.remotes.{name}", *arguments)
    return Command(argv, environment={**environment, "PYTHONPATH": path})


def version(toolbox: Toolbox) -> str | None:
    """What Ceph calls itself, or None if it isn't on this machine."""
    return toolbox.first_line(["ceph", "--version"]) if ceph.is_installed() else None


@contextlib.contextmanager
def running(toolbox: Toolbox) -> Generator[Service]:
    """A Ceph of one node, on loopback, in memory. RuntimeError if it doesn't come up."""
    folder = toolbox.folder / "run" / "ceph"
    with ceph.shared(folder) as url:
        yield Service(
            url,
            toolbox,
            remove=lambda name: ceph.remove_bucket(folder, name),
            pids=lambda: family(ceph.node(folder)),
        )
