"""`artstore bench scale` at a tiny size: its made-up chunks, its questions, its tables and pictures."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import msgspec
import pytest

from artstore import limits
from artstore.format.pack import decode_table, encode_table
from artstore.format.remote import Pin, encode_remote
from artstore.model import PackKind
from artstore_bench.charts import draw
from artstore_bench.command import Toolbox
from artstore_bench.method import ToolFailed
from artstore_bench.report import markdown, tables
from artstore_bench.results import SCHEMA, Document, Failure, Run, summarise
from artstore_bench.scale import documents, index, synthetic, worker
from artstore_bench.scale.answers import Answer, line, told
from artstore_bench.scale.meter import Meter
from artstore_bench.scale.suite import SCALE, ScaleSuite, parts, question_at, steps
from artstore_bench.scale.synthetic import ABSENT, PACK_CHUNKS
from artstore_bench.suite import DEFAULTS, SUBJECTS

ANSWERS = {
    *("rebuild", "commit", "open", "again", "hit", "miss", "cold", "sweep", "journal", "used"),
    *("encode", "decode", "known", "known-hit", "learn", "learnt-hit", "recipe", "walk", "set", "collect"),
}


def quiet(_: str) -> None:
    """Progress is of no interest here."""


@dataclass
class Findings:
    """Where answers and failures go."""

    runs: list[Run] = field(default_factory=list[Run])
    failures: list[Failure] = field(default_factory=list[Failure])


# --- chunks


def test_an_id_is_the_same_whichever_part_is_asked_for() -> None:
    """Look-ups are made up again from numbers: another id would be a miss that counts as a hit."""
    whole = synthetic.ids(0, 300)
    assert synthetic.ids(100, 50) == whole[100:150]
    assert [synthetic.ids(number, 1)[0] for number in (0, 7, 299)] == [whole[0], whole[7], whole[299]]
    assert whole[0].hex().startswith("ffe42279f3bd0683"), "the same on every machine"
    assert {len(id) for id in whole} == {32}
    assert set(whole).isdisjoint(synthetic.ids(0, 300, stream=ABSENT))


def test_a_sample_is_of_what_is_there() -> None:
    """Beyond the last id nothing was entered."""
    there = set(synthetic.ids(0, 50))
    found = synthetic.sample(400, below=50, seed=1)
    assert set(found) <= there
    assert len(set(found)) > 40
    assert found == synthetic.sample(400, below=50, seed=1)


def test_a_table_is_one_that_a_pack_could_have() -> None:
    """What no pack says, the product's readers refuse."""
    table = synthetic.table(3)
    assert decode_table(encode_table(table), PackKind.DATA, size=synthetic.PACK_BYTES) == table
    assert synthetic.PACK_BYTES <= limits.PACK_BYTES_MAX
    assert [entry.id for entry in table] == synthetic.ids(3 * PACK_CHUNKS, PACK_CHUNKS)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [(1.0, [97, 976, 9765, 97656]), (0.1, [97, 976, 9765]), (0.02, [97, 976, 1953]), (0.0005, [48])],
)
def test_steps_are_powers_of_ten_up_to_the_last(scale: float, expected: list[int]) -> None:
    """`--scale 0.1` stops at ten million."""
    assert steps(scale) == expected


def test_it_has_to_be_asked_for() -> None:
    """Nobody who wants to compare tools waits for a hundred million rows."""
    assert SCALE in SUBJECTS
    assert SCALE not in DEFAULTS
    assert {*DEFAULTS, SCALE} == {*SUBJECTS}


# --- questions


class Grown(NamedTuple):
    """A store and what it answered while it grew: 2 packs, then 4."""

    place: Path
    answers: dict[str, Answer]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    place = tmp_path_factory.mktemp("scale") / "store"
    index.make(place)
    answers: dict[str, Answer] = {}
    for first, end in ((0, 2), (2, 4)):
        for question in ("rebuild", "commit", "again", "hit", "miss", "cold", "sweep", "journal", "open"):
            beginning, stop = (first, end - 1) if question == "rebuild" else (first, end)
            beginning = end - 1 if question == "commit" else beginning
            answers |= {answer.question: answer for answer in worker.ASK[question](place, beginning, stop)}
    return Grown(place, answers)


def test_the_index_holds_what_was_entered(grown: Grown) -> None:
    """The figures are worth nothing if the rows aren't there; the questions themselves count their hits."""
    chunks = 4 * PACK_CHUNKS
    assert grown.answers["commit"].operations == PACK_CHUNKS
    assert grown.answers["hit"].operations == chunks
    assert grown.answers["sweep"].operations == chunks + PACK_CHUNKS
    assert grown.answers["journal"].operations == 4
    assert chunks * 60 < (grown.answers["used"].stored_bytes or 0) < (grown.answers["commit"].stored_bytes or 0)
    assert (grown.answers["commit"].written_bytes or 0) > PACK_CHUNKS * 60
    with pytest.raises(AssertionError):
        list(index.look(grown.place, 5, "again"))


def test_memory_is_told_without_and_with_mapped_files(grown: Grown) -> None:
    """What is the page cache's can be taken back; what is the process's own can't."""
    for answer in grown.answers.values():
        assert 0 < answer.anonymous_bytes < answer.resident_bytes


def test_documents_have_the_bytes_that_the_format_says() -> None:
    """40 bytes an entry of a shard, as in a pack's table; 40 an item of a recipe; about 37 a pack in a set."""
    found = {
        answer.question: answer for answer in (*documents.shards(3), *documents.recipe(3), *documents.remote_set(200))
    }
    chunks = 3 * PACK_CHUNKS
    assert found.keys() == {"encode", "decode", "known", "known-hit", "recipe", "walk", "set"}
    assert 40 < (found["encode"].stored_bytes or 0) / chunks < 40.2
    assert 39 < (found["recipe"].stored_bytes or 0) / chunks < 41
    assert 36 < (found["set"].stored_bytes or 0) / 200 < 40
    assert found["walk"].operations == found["decode"].operations == chunks


def test_collection_is_planned_for_all_packs() -> None:
    """One of sixteen is garbage."""
    (answer,) = documents.collect(64)
    assert (answer.question, answer.operations) == ("collect", 64)


def test_what_shards_tell_is_found_again(tmp_path: Path) -> None:
    """Reading from a remote begins with this."""
    entered, asked = documents.learn(tmp_path / "store", 2)
    assert (entered.question, entered.operations) == ("learn", 2 * PACK_CHUNKS)
    assert (asked.question, asked.operations) == ("learnt-hit", 2 * PACK_CHUNKS)


def test_an_answer_is_read_among_other_lines() -> None:
    """A warning that Python prints is no answer."""
    meter = Meter()
    with meter.running():
        pass
    answer = meter.answer("hit", 3, stored=70)
    assert answer.stored_bytes == 70
    assert list(told(f"a warning\n{line(answer)}\n{{}}\n")) == [answer]


def test_all_is_asked_by_processes_of_their_own(tmp_path: Path) -> None:
    """The whole way: processes, steps, runs; nothing stays behind."""
    findings = Findings()
    ScaleSuite(Toolbox(tmp_path), findings, quiet, growing=[2]).run(repeat=1)
    assert findings.failures == []
    assert {parts(run.question) for run in findings.runs} == {(name, 2 * PACK_CHUNKS) for name in ANSWERS}
    assert all(run.operations and run.wall_s > 0 for run in findings.runs)
    assert not (tmp_path / "run" / SCALE).exists()


def test_a_full_disk_is_told_before_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may need that disk."""

    def full(_: Path) -> SimpleNamespace:
        return SimpleNamespace(free=0)

    monkeypatch.setattr(shutil, "disk_usage", full)
    findings = Findings()
    ScaleSuite(Toolbox(tmp_path), findings, quiet, growing=[2]).run(repeat=1)
    (failure,) = findings.failures
    assert "GB are free" in failure.message
    assert not (tmp_path / "run" / SCALE).exists()


def test_a_question_that_fails_ends_its_repetition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next steps stand on what it should have entered."""
    asked: list[str] = []

    def fail(commands: Sequence[object], **_: object) -> None:
        asked.append(str(commands[0]))
        raise ToolFailed("out of luck")

    monkeypatch.setattr("artstore_bench.scale.suite.measure", fail)
    findings = Findings()
    ScaleSuite(Toolbox(tmp_path), findings, quiet, growing=[2, 4]).run(repeat=2)
    assert [(failure.tool, failure.message) for failure in findings.failures] == [("artstore", "out of luck")] * 2
    assert len(asked) == 2


def test_the_bounds_that_the_document_reckons_with() -> None:
    """`docs/scale.md` says what gives way first: whoever changes one of these changes it."""
    keys = [synthetic.pack_key(pack) for pack in range(1000)]
    key_bytes = len(encode_remote(Pin(keys))) / len(keys)
    assert limits.REMOTE_DOCUMENT_BYTES_MAX / key_bytes == pytest.approx(1.81e6, rel=0.01)
    chunks = limits.INDEX_MAP_BYTES / 93.5
    assert chunks == pytest.approx(1.18e10, rel=0.01)
    assert (limits.REMOTE_SHARD_IDS_MAX, limits.REMOTE_RELATED_MAX) == (4_000_000, 16)
    assert (limits.REMOTE_SHARD_PACKS_MAX, limits.FAR_REQUEST_BYTES) == (64, 8 << 20)


# --- what is shown


def run(question: str, chunks: int, *, wall_s: float, operations: int, stored: int | None = None) -> Run:
    """One answer at one step."""
    return Run(
        corpus=SCALE,
        question=question_at(question, chunks),
        tool="artstore",
        repetition=0,
        wall_s=wall_s,
        user_s=wall_s,
        system_s=0.0,
        rss_bytes=90_000_000,
        rss_anonymous_bytes=30_000_000,
        others_share=0.0,
        input_bytes=0,
        stored_bytes=stored,
        operations=operations,
        p50_s=0.01,
        p99_s=0.02,
        requests=operations // 2,
        moved_bytes=operations * 5000,
    )


@pytest.fixture
def document() -> Document:
    """Two steps, the second without a cold look-up."""
    found = [
        *(run("commit", chunks, wall_s=2.0, operations=65_536, stored=chunks * 110) for chunks in (100_000, 1_000_000)),
        *(run("hit", chunks, wall_s=0.5, operations=200_000) for chunks in (100_000, 1_000_000)),
        *(run("used", chunks, wall_s=0.1, operations=chunks, stored=chunks * 90) for chunks in (100_000, 1_000_000)),
        run("cold", 100_000, wall_s=1.0, operations=10_000),
        run("encode", 1_000_000, wall_s=0.5, operations=1_000_000, stored=40_000_000),
    ]
    return Document(
        schema=SCHEMA,
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T01:00:00+00:00",
        command=["artstore", "bench", "scale"],
        scale=0.01,
        repeat=1,
        machine={"cores": "2"},
        trees=[],
        tools=[],
        missing=[],
        runs=found,
        failures=[],
        summary=summarise(found),
        targets=[],
    )


def test_tables_have_a_column_for_each_step(document: Document) -> None:
    """A figure under another number of chunks would be a lie about growth."""
    text = markdown(document)
    assert "|  | 100,000 | 1,000,000 |" in text
    assert "| file, MB | 11.0 | 110.0 |" in text
    assert "| … bytes a chunk | 90.0 | 90.0 |" in text
    assert "| entered as a commit does, chunks/s | 32,768 | 32,768 |" in text
    assert "| … MB written a pack | 5.12 | 5.12 |" in text
    assert "| found, at random, look-ups/s | 400,000 | 400,000 |" in text
    assert "| found, no page in memory, look-ups/s | 10,000 | – |" in text
    assert "| … reads of the disk for each | 0.50 | – |" in text
    assert "| shards, bytes a chunk | – | 40.0 |" in text
    assert "say nothing about speed" not in text, "each figure says its own size"
    for table in tables(document):
        assert {len(row) for row in table.rows} == {len(table.heads)}


def test_growth_is_drawn(document: Document, tmp_path: Path) -> None:
    """From two steps on there is a line."""
    assert [path.name for path in draw(document, tmp_path)] == ["chart-scale.svg", "chart-scale.png"]
    drawn = (tmp_path / "chart-scale.svg").read_text()
    assert "bytes a chunk" in drawn
    one = [row for row in document.summary if parts(row.question)[1] == 100_000]
    assert draw(msgspec.structs.replace(document, summary=one), tmp_path) == []
