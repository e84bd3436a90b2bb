"""The seeded corpora: the same bytes everywhere, and a second version that shares what it says."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from artstore_bench.corpus import NAMES, Corpus, ensure

SCALE = 0.002
# A digest that moves makes every published figure incomparable: raise RECIPES_VERSION with it.
DIGESTS = {
    "model": (
        "c1a535a5fb1e10151c78d1ac727d4e2601d9aa33b332c1149899489324135da5",
        "9fa6f0e8ee9c3835d388b801c6ce2ffb3043ad33ec92f843d345c2f8e254654c",
    ),
    "dataset": (
        "35ca87e14347b742216d05c94f3e20f2c30fd94e9db947b067e7be83ac99d91b",
        "af394b7d5d85ddb6737e2d1fc4278a9ac5c2d99573f476fbff9b4bc4bb5635f0",
    ),
    "small": ("e66fd957ed03c235e7aacfa3fc910cfde3aadc7bc0f7349755b12421e6060d50",),
    "edits": (
        "4fdbc07304bc476c9f9d23301873f8ec3845cbb3e73668001896bb697a5a4304",
        "d192040ffa8bc5defe64f70dd6cfc936b1853128f3e64f4b80f70bb4822745d4",
    ),
    "mount": ("e826fb53509990b4e04c72b5c0e892d06c0c49cbc128ac83c42bf7e11419c55a",),
}


def quiet(_: str) -> None:
    """Progress is of no interest here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the small corpora of this module lie."""
    return tmp_path_factory.mktemp("corpora")


def corpus(name: str, folder: Path) -> Corpus:
    """One corpus, made at its first use."""
    return ensure(name, folder=folder, scale=SCALE, tell=quiet)


@pytest.mark.parametrize("name", NAMES)
def test_bytes_are_the_same_everywhere(name: str, folder: Path) -> None:
    """Otherwise figures of two machines, or of two releases of numpy, would measure different things."""
    manifests = corpus(name, folder).manifests
    assert tuple(manifest.digest for manifest in manifests.values()) == DIGESTS[name]


def test_model_versions_share_nine_tenths(folder: Path) -> None:
    """A second version that shares more or less would flatter or slander every tool that deduplicates."""
    model = corpus("model", folder)
    names = [row.path for row in model.manifests["v1"].files]
    assert names == [row.path for row in model.manifests["v2"].files]
    changed = total = 0
    for name in names:
        first, second = tensors(model.tree("v1") / name), tensors(model.tree("v2") / name)
        inserted = second.keys() - first.keys()
        assert [tensor.split(".")[0] for tensor in inserted] == ["adapter"]
        assert list(second).index(inserted.pop()) == 1  # Near the start: what follows is shifted.
        total += sum(map(len, first.values()))
        changed += sum(len(first[tensor]) for tensor in first if first[tensor] != second[tensor])
    assert 0.05 < changed / total < 0.15


def test_model_is_bf16_around_zero(folder: Path) -> None:
    """Weights of another distribution would compress otherwise than real ones."""
    shard = next((corpus("model", folder).tree("v1")).iterdir())
    for name, data in tensors(shard).items():
        values = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
        deviation = 0.02 if "layernorm" not in name else 1.0
        if len(values) > 1000:
            assert abs(float(values.mean())) < deviation / 10
            assert deviation * 0.9 < float(values.std()) < deviation * 1.1


def test_dataset_versions_differ_as_described(folder: Path) -> None:
    """The bytes that version 2 adds are compared between tools: they must be the edits, additions and nothing else."""
    dataset = corpus("dataset", folder)
    first = {row.path: row for row in dataset.manifests["v1"].files}
    second = {row.path: row for row in dataset.manifests["v2"].files}
    changed = [path for path in first.keys() & second.keys() if first[path].sha256 != second[path].sha256]
    assert len(first) == 40
    assert len(changed) == 2
    assert all(second[path].size > first[path].size for path in changed)
    contents = {row.sha256 for row in first.values()}
    renamed = [path for path in second.keys() - first.keys() if second[path].sha256 in contents]
    assert [path.split("/")[0] for path in renamed] == ["renamed"]


def test_token_files_open_in_both_versions(folder: Path) -> None:
    """A tool that reads formats would otherwise be measured on broken files."""
    dataset = corpus("dataset", folder)
    for version in ("v1", "v2"):
        files = sorted(dataset.tree(version).rglob("*.npy"))
        assert files
        for file in files:
            values = np.load(file)
            assert values.dtype == np.int32
            assert len(values) * 4 + 128 == file.stat().st_size


def test_lines_of_text_are_json(folder: Path) -> None:
    """Prose that isn't whole lines would be neither what datasets hold nor what an edit leaves."""
    dataset = corpus("dataset", folder)
    for file in sorted(dataset.tree("v2").rglob("*.jsonl")):
        assert all({"id", "text"} <= json.loads(line).keys() for line in file.read_text().splitlines())


def test_small_files_are_small(folder: Path) -> None:
    """The corpus asks about the cost of a file, not of its bytes."""
    sizes = [row.size for row in corpus("small", folder).manifests["v1"].files]
    assert len(sizes) == 100
    assert min(sizes) >= 1024
    assert max(sizes) <= 8192


def test_edits_are_twenty_and_the_rest_is_kept(folder: Path) -> None:
    """An edit that damaged what follows it would count as new data in every tool."""
    edits = corpus("edits", folder)
    first = (edits.tree("v1") / "disk.img").read_bytes()
    second = (edits.tree("v2") / "disk.img").read_bytes()
    grown = len(second) - len(first)
    assert grown % 4096 == 0
    assert 0 < grown < 20 * 4096
    # Every kilobyte of the second that isn't in the first belongs to one of the twenty pieces of 4 KiB.
    fresh = sum(second[at : at + 64] not in first for at in range(0, len(second), 1024))
    assert 70 <= fresh <= 110
    assert second[-4096:] == first[-4096:]


def test_cached_corpus_is_kept_until_touched(tmp_path: Path) -> None:
    """A corpus made anew for each run costs a minute; one that somebody changed gives wrong figures."""
    made: list[str] = []
    one = ensure("small", folder=tmp_path, scale=0.001, tell=made.append)
    ensure("small", folder=tmp_path, scale=0.001, tell=made.append)
    assert len(made) == 1
    victim = one.tree("v1") / one.manifests["v1"].files[0].path
    victim.write_bytes(b"something else")
    again = ensure("small", folder=tmp_path, scale=0.001, tell=made.append)
    assert len(made) == 2
    assert again.manifests["v1"].digest == one.manifests["v1"].digest
    assert victim.stat().st_size == one.manifests["v1"].files[0].size


def tensors(shard: Path) -> dict[str, bytes]:
    """The tensors of a safetensors file in their order."""
    data = shard.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header: dict[str, dict[str, list[int]]] = json.loads(data[8 : 8 + size])
    places = {name: row["data_offsets"] for name, row in header.items() if name != "__metadata__"}
    return {name: data[8 + size + start : 8 + size + end] for name, (start, end) in places.items()}


def test_the_files_of_mounts_compress_as_named(folder: Path) -> None:
    """Decoding is what most of a mount's time goes into: text that doesn't compress, or media that do, are no test."""
    tree = corpus("mount", folder).tree("v1")
    assert 1.8 < ratio(tree / "text-0.bin") < 3
    assert ratio(tree / "raw.bin") < 1.01
    small = sorted((tree / "many").iterdir())
    assert len(small) == 100
    assert {path.stat().st_size for path in small} == {4096}
    assert len({path.read_bytes() for path in small}) == 100


def ratio(path: Path) -> float:
    """How much shorter zlib makes a file."""
    data = path.read_bytes()
    return len(data) / len(zlib.compress(data, 1))
