"""`artstore bench remote` at a tiny scale, against an S3 service in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

import artstore
import artstore_bench
from artstore import limits
from artstore_bench.charts import draw
from artstore_bench.command import Command, Toolbox
from artstore_bench.corpus import Corpus, ensure
from artstore_bench.method import Sample, ToolFailed
from artstore_bench.mounts.processes import Used
from artstore_bench.peers import REMOTE_NAMES, SUBJECT
from artstore_bench.remotes.lab import Lab, others_share
from artstore_bench.remotes.report import TITLES, remote_tables
from artstore_bench.remotes.service import ENVIRONMENT, Bucket, Service
from artstore_bench.remotes.suite import RemoteSuite
from artstore_bench.remotes.tools import BACKUP, PUSH, Boto3, Replica, replicas
from artstore_bench.results import SCHEMA, Document, Failure, Run, Summary, summarise
from artstore_bench.targets import TARGETS, Figure, judge
from tests.remotes import moto_server

SCALE = 0.001


def quiet(_: str) -> None:
    """Progress is of no interest here."""


@dataclass
class Findings:
    """Where answers and failures go."""

    runs: list[Run] = field(default_factory=list[Run])
    failures: list[Failure] = field(default_factory=list[Failure])


@dataclass(frozen=True)
class Broken:
    """A tool that ends with an error."""

    name: str = "broken"
    questions: tuple[str, str] = BACKUP

    def version(self) -> str:
        return "broken 1"

    def prepare(self, bucket: Bucket, place: Path) -> Sequence[Command]:
        return ()

    def send(self, bucket: Bucket, place: Path, source: Path) -> Sequence[Command]:
        return [Command(("sh", "-c", "echo out of luck >&2; exit 3"))]

    def fetch(self, bucket: Bucket, place: Path, target: Path) -> Sequence[Command]:
        return ()


@dataclass(frozen=True)
class Forgetful(Broken):
    """A tool that brings nothing back."""

    name: str = "forgetful"

    def send(self, bucket: Bucket, place: Path, source: Path) -> Sequence[Command]:
        return [Command(("true",))]

    def fetch(self, bucket: Bucket, place: Path, target: Path) -> Sequence[Command]:
        return [Command(("true",))]


@pytest.fixture
def toolbox(tmp_path: Path) -> Toolbox:
    """A work folder whose `artstore` is the one under test, wherever it is installed."""
    roots = ":".join(str(Path(str(package.__file__)).parents[1]) for package in (artstore, artstore_bench))
    program = tmp_path / "work" / "tools" / "bin" / SUBJECT
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{roots}" exec "{sys.executable}" -P -m artstore "$@"\n')
    program.chmod(0o755)
    return Toolbox(tmp_path / "work")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as url:
        yield url


def corpus(toolbox: Toolbox, name: str) -> Corpus:
    return ensure(name, folder=toolbox.folder / "corpora", scale=SCALE, tell=quiet)


@pytest.mark.long
def test_all_questions_are_answered(toolbox: Toolbox, endpoint: str, tmp_path: Path) -> None:
    """The figures that are published: none may be missing, and a tool that fails has none and stops no other one."""
    findings, removed = Findings(), list[str]()
    service = Service(endpoint, toolbox, remove=removed.append)
    before = corpus(toolbox, "model").manifests["v1"]
    suite = RemoteSuite(service, toolbox, findings, quiet)
    tools: list[Replica] = [Boto3(toolbox), Broken(), Forgetful()]
    suite.run(tools, whole=corpus(toolbox, "model"), many=corpus(toolbox, "small"), repeat=1, saved=lambda: None)
    told = {failure.tool: failure.message for failure in findings.failures}
    assert told.keys() == {"broken", "forgetful"}
    assert "out of luck" in told["broken"]
    assert "fetched 4 files wrongly" in told["forgetful"]
    asked = {run.question: run for run in findings.runs if run.tool == SUBJECT}
    assert asked.keys() == TITLES.keys()
    theirs = {run.question: run for run in findings.runs if run.tool == "boto3"}
    assert tuple(theirs) == PUSH
    for question, run in theirs.items():
        assert run.input_bytes == asked[question].input_bytes, "the same bytes are compared"
    for question in ("push", "backup", "many", "changed", "many-changed"):
        assert 0 < (asked[question].puts or 0) < (asked[question].requests or 0)
        assert (asked[question].moved_bytes or 0) > 0
    assert (asked["changed"].moved_bytes or 0) < (asked["push"].moved_bytes or 0)
    assert len(set(removed)) == 7, "each has a bucket of its own, which is removed"
    assert not (toolbox.folder / "run" / "remote").exists()
    assert corpus(toolbox, "model").manifests["v1"] == before, "a changed file is no file of the corpus"
    rows = summarise(findings.runs)
    assert [table.title.split(":")[0] for table in remote_tables(rows)] == ["Remote", "Remote"]
    assert [path.name for path in draw(document(findings), tmp_path)] == ["chart-remote.svg", "chart-remote.png"]


def test_a_little_of_a_big_file_is_counted_from_outside(toolbox: Toolbox, endpoint: str) -> None:
    """What it asks for is seen."""
    findings = Findings()
    suite = RemoteSuite(Service(endpoint, toolbox), toolbox, findings, quiet)
    suite.peek(corpus(toolbox, "model"), 1)
    assert findings.failures == []
    (run,) = findings.runs
    assert run.question == "peek"
    assert run.requests is not None
    assert run.moved_bytes is not None
    assert run.requests > 0
    assert run.moved_bytes > 0


def test_secrets_are_in_the_environment_alone(toolbox: Toolbox, tmp_path: Path) -> None:
    """Everybody on a machine can read a command line."""
    bucket = Bucket("b", "http://127.0.0.1:1", ENVIRONMENT)
    secrets = (ENVIRONMENT["AWS_SECRET_ACCESS_KEY"], ENVIRONMENT["AWS_ACCESS_KEY_ID"])
    tools = replicas(toolbox)
    assert tuple(tools) == REMOTE_NAMES
    for tool in tools.values():
        commands = [
            *tool.prepare(bucket, tmp_path),
            *tool.send(bucket, tmp_path, tmp_path),
            *tool.fetch(bucket, tmp_path, tmp_path),
        ]
        for command in commands:
            assert not any(secret in word for word in command.argv for secret in secrets)
            assert command.environment["AWS_SECRET_ACCESS_KEY"] in secrets
            assert command.environment["AWS_CONFIG_FILE"] == "/dev/null"


def test_the_services_work_is_not_other_peoples() -> None:
    """On loopback the service takes half of the machine: every run would count as disturbed."""
    sample = Sample(wall_s=10.0, user_s=1.0, system_s=0.0, rss_bytes=1, others_share=0.6)
    assert others_share(sample, Used(8.0, 2.0), cores=2) == pytest.approx(0.1)
    assert others_share(sample, Used(20.0, 0.0), cores=2) == 0.0


def test_what_artstore_tells_is_read_from_its_last_document(toolbox: Toolbox, tmp_path: Path) -> None:
    """A commit that is timed along with the push prints something, too."""
    lab = Lab(Service("", toolbox), toolbox, tmp_path, SUBJECT, 0)
    run = answer("backup")
    lab.log("backup").parent.mkdir(parents=True)
    lab.log("backup").write_text('{"requests": 1}\nnote\n{"requests": 9, "puts": 3, "sent_bytes": 70, "packs": 1}\n')
    told = lab.told(run)
    assert (told.requests, told.puts, told.moved_bytes) == (9, 3, 70)
    lab.log("backup").write_text("nothing to send\n")
    with pytest.raises(ToolFailed, match="no document"):
        lab.told(run)


@pytest.mark.parametrize(("puts", "expected"), [(44, "floor"), (45, "missed")])
def test_puts_are_judged_by_the_bytes(puts: int, expected: str) -> None:
    """Twenty full packs allow 1.2 PUTs each, and any push twenty."""
    found = judge(summarise([answer("many", puts=puts, moved=20 * limits.PACK_BYTES_TARGET)]))
    (line,) = [line for line in found if line.figure == Figure.PUT_SHARE]
    assert line.verdict == expected


@pytest.mark.parametrize(("wall_s", "expected"), [(11.7, "floor"), (11.8, "missed")])
def test_the_same_bytes_are_judged_by_speed(wall_s: float, expected: str) -> None:
    """0.85 times as fast is a time of 1.18."""
    found = judge(summarise([answer("push", wall_s=wall_s), answer("push", tool="boto3", wall_s=10.0)]))
    (line,) = [line for line in found if (line.corpus, line.question) == ("remote", "push")]
    assert line.verdict == expected


@pytest.mark.parametrize(
    ("moved", "requests", "verdicts"),
    [(8 << 20, 6, ["floor", "floor"]), ((8 << 20) + 1, 7, ["missed", "missed"])],
)
def test_a_little_of_a_big_file_is_judged(moved: int, requests: int, verdicts: list[str]) -> None:
    """Both are upper bounds."""
    rows: list[Summary] = summarise([answer("peek", requests=requests, moved=moved)])
    assert [line.verdict for line in judge(rows) if line.question == "peek"] == verdicts


def test_every_promise_of_remotes_is_there() -> None:
    """A line lost from the table would be a promise silently dropped."""
    promised = {(t.question, t.figure, t.against, t.floor) for t in TARGETS if t.corpus == "remote"}
    assert promised == {
        ("push", Figure.SPEED_RATIO, "boto3", 0.85),
        ("fetch", Figure.SPEED_RATIO, "boto3", 0.85),
        ("backup", Figure.TIME_RATIO, "restic", 1.0),
        ("backup", Figure.TIME_RATIO, "rclone", 1.0),
        ("restore", Figure.TIME_RATIO, "restic", 1.0),
        ("restore", Figure.TIME_RATIO, "rclone", 1.0),
        ("many", Figure.PUT_SHARE, None, 1.0),
        ("changed", Figure.PUTS, None, 9),
        ("changed", Figure.SECONDS, None, 1.0),
        ("many-changed", Figure.PUTS, None, 9),
        ("many-changed", Figure.SECONDS, None, 1.0),
        ("peek", Figure.MOVED_BYTES, None, 8 << 20),
        ("peek", Figure.REQUESTS, None, 6),
    }


def answer(
    question: str,
    *,
    tool: str = SUBJECT,
    wall_s: float = 1.0,
    puts: int | None = None,
    requests: int | None = None,
    moved: int | None = None,
) -> Run:
    """One measurement."""
    return Run(
        corpus="remote",
        question=question,
        tool=tool,
        repetition=0,
        wall_s=wall_s,
        user_s=1.0,
        system_s=0.0,
        rss_bytes=1,
        others_share=0.0,
        input_bytes=1 << 30,
        puts=puts,
        requests=requests,
        moved_bytes=moved,
    )


def document(findings: Findings) -> Document:
    """What is drawn."""
    return Document(
        schema=SCHEMA,
        started="",
        finished="",
        command=[],
        scale=SCALE,
        repeat=1,
        machine={},
        trees=[],
        tools=[],
        missing=[],
        runs=findings.runs,
        failures=findings.failures,
        summary=summarise(findings.runs),
        targets=[],
    )


def test_documents_of_earlier_releases_are_read() -> None:
    """The published results were written before there were remotes."""
    path = Path(__file__).parents[3] / "bench" / "results" / "mount" / "results.json"
    found = msgspec.json.decode(path.read_bytes(), type=Document)
    assert found.runs[0].puts is None
