"""What a reader gets: tables, Markdown, JSON and pictures of a document that is given."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib.image
import msgspec
import pytest

from artstore_bench.charts import draw
from artstore_bench.report import markdown, tables
from artstore_bench.results import SCHEMA, Document, Failure, Run, ToolVersion, TreeFacts, summarise
from artstore_bench.targets import judge


def runs(tool: str, wall_s: float, *, others: float = 0.0) -> list[Run]:
    """One tool's answers about the model corpus, `first` taking `wall_s` and the others a tenth of it."""
    return [
        Run(
            corpus="model",
            question=question,
            tool=tool,
            repetition=0,
            wall_s=wall_s * factor,
            user_s=wall_s,
            system_s=0.0,
            rss_bytes=50_000_000,
            others_share=others,
            input_bytes=1 << 30,
            stored_bytes=stored,
            stored_bytes_apparent=stored,
            added_bytes=stored,
        )
        for question, factor, stored in (
            ("first", 1.0, 837_000_000),
            ("again", 0.1, 0),
            ("v2", 0.1, 94_200_000),
            ("checkout", 0.1, 0),
        )
    ]


@pytest.fixture
def document() -> Document:
    """artstore at half of borg's time, casync disturbed, dvc failed."""
    found = [*runs("artstore", 2.0), *runs("borg", 4.0), *runs("casync", 8.0, others=0.5)]
    summary = summarise(found)
    return Document(
        schema=SCHEMA,
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T01:00:00+00:00",
        command=["artstore", "bench", "--corpus", "model"],
        scale=1.0,
        repeat=1,
        machine={"cpu": "a fine one", "cores": "2"},
        trees=[TreeFacts("model", "v1", 4, 1 << 30, "ab" * 32)],
        tools=[ToolVersion("artstore", "artstore 1"), ToolVersion("borg", "borg 1.4.5")],
        missing=["restic"],
        runs=found,
        failures=[Failure(corpus="model", tool="dvc", repetition=0, message="no space left")],
        summary=summary,
        targets=judge(summary),
    )


def test_markdown_tells_all(document: Document) -> None:
    """The file is what is published: figures, ratios, flags, failures, verdicts, and the machine."""
    text = markdown(document)
    assert "| artstore | 2.00 | 0.20 | 0.20 | 0.20 | 2.00 | 50.0 | 837 | 94.2 |" in text
    assert "| borg | 4.00 (0.50) |" in text
    assert "| casync | 8.00* (0.25) |" in text
    assert "| first commit | model | borg | 0.45 × | 0.30 × | 0.50 × | **missed** by 11% |" in text
    assert "a fine one" in text
    assert "dvc, model, repetition 1: no space left" in text
    assert "Not on this machine: restic" in text
    assert "first commit (model, restic)" in text  # among the targets that were not measured
    assert "say nothing about speed" not in text


def test_small_scale_is_not_passed_off_as_a_measurement(document: Document) -> None:
    """Somebody will paste the table somewhere."""
    assert "say nothing about speed" in markdown(msgspec.structs.replace(document, scale=0.1))


def test_every_row_is_as_wide_as_its_heads(document: Document) -> None:
    """A missing cell would put a figure under the wrong head."""
    for table in tables(document):
        assert {len(row) for row in table.rows} == {len(table.heads)}


def test_json_gives_the_same_document_back(document: Document) -> None:
    """What others compute from the file must be what was measured."""
    assert msgspec.json.decode(msgspec.json.encode(document), type=Document, strict=True) == document


def test_charts_open(document: Document, tmp_path: Path) -> None:
    """A picture that no viewer opens is worse than none."""
    written = draw(document, tmp_path)
    assert [path.name for path in written] == ["chart-model.svg", "chart-model.png"]
    picture = matplotlib.image.imread(tmp_path / "chart-model.png")
    height, width = picture.shape[:2]
    assert height > 300
    assert width > 600
    assert picture[..., :3].min() < 0.5  # Something is drawn on it.
    assert ET.parse(tmp_path / "chart-model.svg").getroot().tag.endswith("svg")


def test_nothing_is_drawn_without_a_comparison(document: Document, tmp_path: Path) -> None:
    """A chart of one bar says nothing."""
    alone = [row for row in document.summary if row.tool == "artstore"]
    assert draw(msgspec.structs.replace(document, summary=alone), tmp_path) == []


def mount_runs(tool: str, pace: float, *, has_server: bool = True) -> list[Run]:
    """One tool's answers about its mount, each operation taking `pace` milliseconds."""
    questions = {"cold": 1024, "second": 1024, "random": 4000, "list": 50_000, "ls": 1, "memory": 10}
    return [
        Run(
            corpus="mount",
            question=question,
            tool=tool,
            repetition=0,
            wall_s=pace * count / 1000,
            user_s=1.5 if has_server else 0.0,
            system_s=0.0,
            rss_bytes=300_000_000 if has_server else 0,
            rss_anonymous_bytes=250_000_000 if has_server else 0,
            others_share=0.0,
            input_bytes=count << 20 if question in {"cold", "second"} else 0,
            operations=count,
            p50_s=1e-4,
            p99_s=9e-4,
            requests=0 if tool == "artstore" else None,
        )
        for question, count in questions.items()
    ]


@pytest.fixture
def mounts(document: Document) -> Document:
    """artstore twice as fast as borg, and the folder ten times as fast."""
    found = [*mount_runs("artstore", 1.0), *mount_runs("borg", 2.0), *mount_runs("plain", 0.1, has_server=False)]
    summary = summarise(found)
    return msgspec.structs.replace(document, runs=found, summary=summary, targets=judge(summary))


def test_mounts_have_tables_of_their_own(mounts: Document) -> None:
    """A row for each question: speed with the ratio, the server's CPU time, its memory, and what was promised."""
    text = markdown(mounts)
    assert "|  | artstore | borg | plain |" in text
    assert "| cold, one reader | 1,049 MB/s | 524 MB/s (0.50) | 10,486 MB/s (10.00) |" in text
    assert "| 4 KiB at random, miss | 1,000/s | 500/s (0.50) | 10,000/s (10.00) |" in text
    assert "| 4 KiB at random, miss: p50, p99 | 0.100, 0.900 ms |" in text
    assert "| READ requests of the second pass | 0 | – | – |" in text
    assert "| cold, one reader, s/GiB | 1.50 | 1.50 | – |" in text
    assert "| without the page cache's, MB | 250 | 250 | – |" in text
    assert "| faster than borg: cold | mount | borg, speed | 1.00 × |  | 2.00 × | met |" in text
    assert "| 4 KiB at random, miss | mount |  | 5,000/s | 7,000/s | 1,000/s | **missed** by 80% |" in text
    for table in tables(mounts):
        assert {len(row) for row in table.rows} == {len(table.heads)}


def test_mounts_are_drawn(mounts: Document, tmp_path: Path) -> None:
    """One picture, of what both have answered."""
    assert [path.name for path in draw(mounts, tmp_path)] == ["chart-mount.svg", "chart-mount.png"]
    assert "cold, one reader" in (tmp_path / "chart-mount.svg").read_text()
