"""The tools that move data to a bucket and back, beside artstore: what each is asked to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Protocol

from artstore_bench.command import Command, Toolbox
from artstore_bench.remotes.service import Bucket, worker

PUSH: Final = ("push", "fetch")  # of the files that artstore has stored, byte for byte
BACKUP: Final = ("backup", "restore")  # of the folder itself


class Replica(Protocol):
    """One tool. `questions`: what sending and fetching are called, which says what is sent."""

    @property
    def name(self) -> str:
        """How `--peers` names it."""
        ...

    @property
    def questions(self) -> tuple[str, str]:
        """PUSH or BACKUP."""
        ...

    def version(self) -> str | None:
        """What it calls itself, or None if it is not on this machine."""
        ...

    def prepare(self, bucket: Bucket, place: Path) -> Sequence[Command]:
        """Make a repository, where there is such a thing; not timed. `place`: a folder for its caches."""
        ...

    def send(self, bucket: Bucket, place: Path, source: Path) -> Sequence[Command]:
        """All of a folder."""
        ...

    def fetch(self, bucket: Bucket, place: Path, target: Path) -> Sequence[Command]:
        """Put it into a folder that is there and empty."""
        ...


@dataclass(frozen=True, slots=True)
class Boto3:
    """`upload_file` and `download_file` for each file, with the defaults of s3transfer; nothing is verified."""

    toolbox: Toolbox
    name: str = "boto3"
    questions: tuple[str, str] = PUSH

    def version(self) -> str | None:
        """That of the environment in which this runs, which is what artstore uses."""
        try:
            return f"boto3 {metadata.version('boto3')}, s3transfer {metadata.version('s3transfer')}"
        except metadata.PackageNotFoundError:
            return None

    def prepare(self, bucket: Bucket, place: Path) -> Sequence[Command]:
        """Nothing."""
        return ()

    def send(self, bucket: Bucket, place: Path, source: Path) -> Sequence[Command]:
        """A process of ours."""
        return [worker("upload", bucket, source)]

    def fetch(self, bucket: Bucket, place: Path, target: Path) -> Sequence[Command]:
        """The same."""
        return [worker("download", bucket, target)]


@dataclass(frozen=True, slots=True)
class Aws:
    """`aws s3 cp --recursive`."""

    toolbox: Toolbox
    name: str = "aws"
    questions: tuple[str, str] = PUSH

    def version(self) -> str | None:
        """The first line of `aws --version`."""
        return self.toolbox.first_line(["aws", "--version"])

    def prepare(self, bucket: Bucket, place: Path) -> Sequence[Command]:
        """Nothing."""
        return ()

    def send(self, bucket: Bucket, place: Path, source: Path) -> Sequence[Command]:
        """All files at once, ten parts in flight."""
        return [self._copy(bucket, str(source), f"s3://{bucket.name}/")]

    def fetch(self, bucket: Bucket, place: Path, target: Path) -> Sequence[Command]:
        """The same."""
        return [self._copy(bucket, f"s3://{bucket.name}/", str(target))]

    def _copy(self, bucket: Bucket, source: str, target: str) -> Command:
        argv = ("aws", "--endpoint-url", bucket.endpoint, "s3", "cp", "--recursive", "--only-show-errors")
        return Command((*argv, source, target), environment=bucket.environment)


@dataclass(frozen=True, slots=True)
class Restic:
    """A repository in the bucket, default compression, a cache of its own."""

    toolbox: Toolbox
    name: str = "restic"
    questions: tuple[str, str] = BACKUP

    def version(self) -> str | None:
        """The first line of `restic version`."""
        return self.toolbox.first_line(["restic", "version"])

    def prepare(self, bucket: Bucket, place: Path) -> Sequence[Command]:
        """`restic init`."""
        return [self._command(bucket, place, "init")]

    def send(self, bucket: Bucket, place: Path, source: Path) -> Sequence[Command]:
        """`restic backup .` in the folder."""
        return [self._command(bucket, place, "backup", ".", cwd=source)]

    def fetch(self, bucket: Bucket, place: Path, target: Path) -> Sequence[Command]:
        """`restic restore`, with another cache, as on another machine."""
        return [self._command(bucket, place / "elsewhere", "restore", "latest", "--target", str(target))]

    def _command(self, bucket: Bucket, place: Path, *arguments: str, cwd: Path | None = None) -> Command:
        repository = f"s3:{bucket.endpoint}/{bucket.name}/restic"
        base = ("restic", "--quiet", "--repo", repository, "--cache-dir", str(place / "cache"))
        return Command((*base, *arguments), cwd, {**bucket.environment, "RESTIC_PASSWORD": "bench"})


@dataclass(frozen=True, slots=True)
class Rclone:
    """`rclone copy` of the folder as it is: an object for each file."""

    toolbox: Toolbox
    name: str = "rclone"
    questions: tuple[str, str] = BACKUP

    def version(self) -> str | None:
        """The first line of `rclone version`."""
        return self.toolbox.first_line(["rclone", "version"])

    def prepare(self, bucket: Bucket, place: Path) -> Sequence[Command]:
        """Nothing."""
        return ()

    def send(self, bucket: Bucket, place: Path, source: Path) -> Sequence[Command]:
        """To a folder of the bucket."""
        return [self._copy(bucket, str(source), f"peer:{bucket.name}/raw")]

    def fetch(self, bucket: Bucket, place: Path, target: Path) -> Sequence[Command]:
        """And from there."""
        return [self._copy(bucket, f"peer:{bucket.name}/raw", str(target))]

    def _copy(self, bucket: Bucket, source: str, target: str) -> Command:
        settings: Mapping[str, str] = {
            "RCLONE_CONFIG": "",
            "RCLONE_CONFIG_PEER_TYPE": "s3",
            "RCLONE_CONFIG_PEER_PROVIDER": "Ceph",
            "RCLONE_CONFIG_PEER_ENV_AUTH": "true",
            "RCLONE_CONFIG_PEER_ENDPOINT": bucket.endpoint,
        }
        return Command(("rclone", "copy", source, target), environment={**bucket.environment, **settings})


def replicas(toolbox: Toolbox) -> dict[str, Replica]:
    """Every tool by name; whether one is on this machine its `version` tells."""
    found: list[Replica] = [Boto3(toolbox), Aws(toolbox), Restic(toolbox), Rclone(toolbox)]
    return {tool.name: tool for tool in found}
