"""Holds the sources to their layers: who may import whom, who owns which library, how long a thing may be.

The tables are the law, the code below them only reads the sources (it imports none of them).
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROOTS = (ROOT, ROOT / "fuse", ROOT / "daemon", ROOT / "bench")
PACKAGES = ("artstore", "artstore_fuse", "artstore_daemon", "artstore_bench")

# A unit is a module or a package with all below it; the longest name that fits counts. Imports point to lower layers.
LAYERS: dict[str, int] = {
    "artstore.errors": 0,
    "artstore._version": 0,
    "artstore.limits": 0,
    "artstore.model": 1,
    "artstore.revision": 1,
    "artstore.chunking": 2,
    "artstore.format": 2,
    "artstore.planning": 2,
    "artstore.ports": 3,
    "artstore.adapters": 4,
    "artstore.store": 4,
    "artstore.ml": 5,
    "artstore.wiring": 6,
    "artstore.testing": 6,
    "artstore": 7,
    "artstore._api": 7,
    "artstore._keys": 7,
    "artstore._mirrors": 7,
    "artstore._names": 7,
    "artstore._remotes": 7,
    "artstore._settings": 7,
    "artstore._upkeep": 7,
    "artstore.web": 8,
    "artstore_fuse": 8,
    "artstore_daemon": 8,
    "artstore_bench": 8,
    "artstore.cli": 9,
    "artstore.__main__": 9,
}
# The only imports between units of one layer.
SIDEWAYS = {
    ("artstore", "artstore._api"),
    ("artstore", "artstore._mirrors"),
    ("artstore", "artstore._remotes"),
    ("artstore", "artstore._keys"),
    ("artstore._api", "artstore._keys"),
    ("artstore._keys", "artstore._names"),
    ("artstore._api", "artstore._settings"),
    ("artstore", "artstore._settings"),
    ("artstore._names", "artstore._mirrors"),
    ("artstore._mirrors", "artstore._upkeep"),
    ("artstore._upkeep", "artstore._remotes"),
    ("artstore.limits", "artstore.errors"),
    ("artstore.revision", "artstore.model"),
    ("artstore.planning", "artstore.format"),
    ("artstore.testing", "artstore.wiring"),
    ("artstore.__main__", "artstore.cli"),
}
PURE_LAYER_MAX = 3
# Clock, randomness, files, threads and network are arguments in the pure layers.
# fmt: off
IMPURE = frozenset({
    "os", "io", "pathlib", "socket", "time", "random", "threading", "subprocess", "asyncio", "trio", "tempfile",
    "shutil", "glob", "multiprocessing", "concurrent", "secrets", "uuid", "mmap", "fcntl", "select",
    "selectors", "signal", "ssl", "http", "logging", "queue",
})
# fmt: on
IMPURE_CALLS = frozenset({"open", "print", "input", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"})
# One owner for each library of others: where else it is imported, it has leaked.
OWNERS: dict[str, tuple[str, ...]] = {
    "blake3": ("artstore.format.ids",),
    "boto3": ("artstore.adapters.s3", "artstore_bench"),
    "botocore": ("artstore.adapters.s3", "artstore_bench"),
    "mypy_boto3_s3": ("artstore.adapters.s3", "artstore_bench"),
    "urllib3": ("artstore.adapters.s3",),
    "cryptography": ("artstore.format.cipher",),
    "keyring": ("artstore.adapters.passphrase",),
    "click": ("artstore.cli", "artstore_bench"),
    "hf_xet": ("artstore_bench",),
    "hypercorn": ("artstore_daemon.api",),
    "jeepney": ("artstore_daemon.desktop",),
    "lmdb": ("artstore.adapters.lmdb_index",),
    "matplotlib": ("artstore_bench",),
    "msgspec": (
        "artstore.model",
        "artstore.format",
        "artstore.adapters",
        "artstore.cli",
        "artstore_bench",
        "artstore_daemon",
    ),
    "numpy": ("artstore_bench",),
    "pathspec": ("artstore.planning.ignore",),
    "platformdirs": ("artstore.wiring", "artstore.cli"),
    "pyfuse3": ("artstore_fuse",),
    "rich": ("artstore.cli", "artstore_bench"),
    "starlette": ("artstore_daemon.api",),
    "structlog": ("artstore_daemon.logs",),
    "trio": ("artstore_fuse", "artstore_daemon"),
    "typing_extensions": ("artstore.chunking",),  # for type checkers alone, never imported at run time
    "watchdog": ("artstore_daemon.watch",),
    "zstandard": ("artstore.format.codec",),
}
# What the adapters that write to a disk stand on: durable files, errors of the system, fault points.
GROUND = "disk"
# Who may name a concrete adapter.
COMPOSERS = ("artstore.wiring", "artstore.testing")
# Where anything may be caught, with its reason on the line: there it is logged once and answered.
RIMS = ("artstore.cli", "artstore.web", "artstore_fuse", "artstore_daemon", "artstore_bench")
# Whose threads hand whatever ended them to the thread that started them, which raises it again.
HANDOVERS = ("artstore.store.write.pipeline", "artstore.store.far.flights")
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
PROMISES = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")


@dataclass(frozen=True)
class Module:
    """One Python source; `name` is empty for what isn't importable (tests, scripts)."""

    name: str
    text: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=self.name or "<script>")

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()


Rule = Callable[[Module, frozenset[str]], Iterator[str]]


def within(name: str, units: tuple[str, ...]) -> bool:
    """Whether a module is one of the units or lies below one."""
    return any(name == unit or name.startswith(unit + ".") for unit in units)


def unit_of(name: str) -> str | None:
    """The unit of the table that a module belongs to; None when it has no place there."""
    fitting = [unit for unit in LAYERS if unit != "artstore" and within(name, (unit,))]
    return max(fitting, key=len, default="artstore" if name == "artstore" else None)


def imports_of(module: Module, known: frozenset[str]) -> Iterable[tuple[int, str]]:
    """Every imported module with its line, once; `from package import x` is `package.x` when that is a module."""
    return dict.fromkeys(import_statements(module, known))


def import_statements(module: Module, known: frozenset[str]) -> Iterator[tuple[int, str]]:
    """The same, once for each imported name."""
    package = module.name if module.is_package else module.name.rpartition(".")[0]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            source = base if node.level else (node.module or "")
            for alias in node.names:
                full = f"{source}.{alias.name}"
                yield node.lineno, full if full in known else source


def layer_rule(module: Module, known: frozenset[str]) -> Iterator[str]:
    """Imports point down; sideways only as listed."""
    unit = unit_of(module.name)
    if unit is None:
        yield "has no layer: give it one in LAYERS"
        return
    for line, imported in imports_of(module, known):
        if imported.partition(".")[0] not in PACKAGES:
            continue
        target = unit_of(imported)
        if target is None:
            yield f"{line}: imports {imported}, which has no layer"
        elif target != unit and LAYERS[target] >= LAYERS[unit] and (unit, target) not in SIDEWAYS:
            yield f"{line}: layer {LAYERS[unit]} imports {imported} of layer {LAYERS[target]}"


def purity_rule(module: Module, known: frozenset[str]) -> Iterator[str]:
    """The pure layers neither import nor call what reaches the world."""
    unit = unit_of(module.name)
    if unit is None or LAYERS[unit] > PURE_LAYER_MAX:
        return
    for line, imported in imports_of(module, known):
        if imported.partition(".")[0] in IMPURE:
            yield f"{line}: a pure layer imports {imported}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in IMPURE_CALLS:
            yield f"{node.lineno}: a pure layer calls {ast.unparse(node.func)}"


def owner_rule(module: Module, known: frozenset[str]) -> Iterator[str]:
    """Each library of others is imported by its owner alone, and none is unknown."""
    for line, imported in imports_of(module, known):
        library = imported.partition(".")[0]
        if library in PACKAGES or library in sys.stdlib_module_names:
            continue
        if library not in OWNERS:
            yield f"{line}: imports {library}, which has no owner: write its decision record, then add it to OWNERS"
        elif not within(module.name, OWNERS[library]):
            yield f"{line}: imports {library}, which belongs to {' and '.join(OWNERS[library])}"


def adapter_of(name: str) -> str | None:
    """The adapter a module is part of: `artstore.adapters.x` and all below it."""
    parts = name.split(".")
    return parts[2] if parts[:2] == ["artstore", "adapters"] and len(parts) > 2 else None


def stranger_rule(module: Module, known: frozenset[str]) -> Iterator[str]:
    """Adapters don't know each other, and only the composition root knows them."""
    own = adapter_of(module.name)
    for line, imported in imports_of(module, known):
        other = adapter_of(imported)
        if other in (None, own) or (own is not None and other == GROUND) or within(module.name, COMPOSERS):
            continue
        yield f"{line}: imports the adapter {imported}; only {' and '.join(COMPOSERS)} may"


def size_rule(module: Module, known: frozenset[str]) -> Iterator[str]:
    """Files and functions end before a reader loses the thread."""
    del known
    if len(module.lines) > FILE_LINES_MAX:
        yield f"has {len(module.lines)} lines; {FILE_LINES_MAX} is the end"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield f"{node.lineno}: {node.name} has {length} lines; {FUNCTION_LINES_MAX} is the end"


def catch_rule(module: Module, known: frozenset[str]) -> Iterator[str]:
    """Catching everything belongs to a rim and says why; a handler that ends in `raise` only cleans up."""
    del known
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ExceptHandler) or not catches_all(node.type):
            continue
        last = node.body[-1]
        if isinstance(last, ast.Raise) and last.exc is None:
            continue
        is_handover = within(module.name, HANDOVERS) and keeps_what_it_caught(node)
        if not within(module.name, RIMS) and not is_handover:
            yield f"{node.lineno}: catches everything outside a rim"
        elif "#" not in module.lines[node.lineno - 1]:
            yield f"{node.lineno}: catches everything without a reason on the line"


def keeps_what_it_caught(handler: ast.ExceptHandler) -> bool:
    """Whether a handler stores the exception as it is, for another thread to raise."""
    stored = [node.value for node in ast.walk(handler) if isinstance(node, ast.Assign)]
    return any(isinstance(value, ast.Name) and value.id == handler.name for value in stored)


def catches_all(caught: ast.expr | None) -> bool:
    """Whether a handler's type, or one of its tuple, is everything."""
    if caught is None:
        return True
    elements = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(each, ast.Name) and each.id in {"Exception", "BaseException"} for each in elements)


LIBRARY_RULES: tuple[Rule, ...] = (layer_rule, purity_rule, owner_rule, stranger_rule, catch_rule)


def library() -> dict[Path, Module]:
    """Every module that is shipped."""
    found: dict[Path, Module] = {}
    for root, package in zip(SOURCE_ROOTS, PACKAGES, strict=True):
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            found[path] = Module(name, path.read_text(encoding="utf-8"), is_package)
    return found


LIBRARY = library()
KNOWN = frozenset(module.name for module in LIBRARY.values())


@pytest.mark.parametrize("rule", LIBRARY_RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(rule: Rule) -> None:
    """A layer that reaches up or out can't be tested, replaced or understood alone."""
    broken = [
        f"{path.relative_to(ROOT)}: {complaint}"
        for path, module in LIBRARY.items()
        for complaint in rule(module, KNOWN)
    ]
    assert not broken, "\n".join(broken)


def test_files_and_functions_have_an_end() -> None:
    """Who has to change a function must be able to read it whole."""
    others = [path for folder in ("tests", "packaging") for path in sorted((ROOT / folder).rglob("*.py"))]
    modules = LIBRARY | {path: Module("", path.read_text(encoding="utf-8")) for path in others}
    broken = [
        f"{path.relative_to(ROOT)}: {complaint}"
        for path, module in modules.items()
        for complaint in size_rule(module, KNOWN)
    ]
    broken += [
        f"{path.relative_to(ROOT)}: more than {FILE_LINES_MAX} lines"
        for pattern in ("artstore/**/*.c", "packaging/*.sh")
        for path in ROOT.glob(pattern)
        if len(path.read_text(encoding="utf-8").splitlines()) > FILE_LINES_MAX
    ]
    assert not broken, "\n".join(broken)


def test_nothing_is_put_off() -> None:
    """A note to do it later, met by a user, is a feature that isn't there."""
    folders = ("artstore", "fuse", "daemon", "bench", "tests", "packaging", "docs", ".ci")
    suffixes = {".py", ".pyi", ".c", ".h", ".sh", ".md", ""}
    broken = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and path.suffix in suffixes and "golden" not in path.parts and "results" not in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if PROMISES.search(line)
    ]
    assert not broken, "\n".join(broken)


def test_source_roots_are_no_packages() -> None:
    """A top-level `fuse`, `daemon` or `packaging` would shadow the package of that name on a user's machine."""
    roots = ("fuse", "daemon", "bench", "packaging")
    assert not [root for root in roots if (ROOT / root / "__init__.py").exists()]


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (layer_rule, "artstore.model", "from artstore.format import ids"),
        (layer_rule, "artstore.model", "from .format import ids"),
        (layer_rule, "artstore.store.write", "from artstore.adapters import files"),
        (layer_rule, "artstore.store.write", "import artstore"),
        (layer_rule, "artstore_fuse.view", "import artstore_daemon.machine"),
        (layer_rule, "artstore.brandnew", ""),
        (purity_rule, "artstore.format.pack", "import os.path"),
        (purity_rule, "artstore.planning.gc", "def f():\n    from time import time"),
        (purity_rule, "artstore.planning.gc", "from datetime import datetime\nnow = datetime.now()"),
        (purity_rule, "artstore.chunking.hints", "open('x')"),
        (owner_rule, "artstore.store.read", "import lmdb"),
        (owner_rule, "artstore.store.read", "import requests"),
        (stranger_rule, "artstore.adapters.packs", "from artstore.adapters.files import sync"),
        (stranger_rule, "artstore.adapters.packs", "from .files import sync"),
        (stranger_rule, "artstore.cli.commit", "import artstore.adapters.packs"),
        (size_rule, "artstore.model", "\n" * (FILE_LINES_MAX + 1)),
        (size_rule, "artstore.model", "def f():\n" + "    1\n" * FUNCTION_LINES_MAX),
        (catch_rule, "artstore.store.read", "try:\n    f()\nexcept Exception:  # a reason\n    g()"),
        (catch_rule, "artstore.store.write.pipeline", "try:\n    f()\nexcept BaseException as e:  # why\n    g(e)"),
        (catch_rule, "artstore.cli.main", "try:\n    f()\nexcept (OSError, BaseException):\n    g()"),
        (catch_rule, "artstore.cli.main", "try:\n    f()\nexcept:\n    g()"),
    ],
)
def test_each_rule_sees_what_it_forbids(rule: Rule, name: str, text: str) -> None:
    """A rule that has gone blind lets the first leak in unseen."""
    known = frozenset({"artstore.adapters.files", "artstore.adapters.packs", "artstore.format.ids"})
    assert list(rule(Module(name, text), known))


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (layer_rule, "artstore.revision", "from artstore import model"),
        (layer_rule, "artstore.cli.commit", "import artstore"),
        (layer_rule, "artstore.store.write", "from artstore.ports import Clock"),
        (owner_rule, "artstore.adapters.lmdb_index.rows", "import lmdb\nimport os\nfrom artstore.errors import Busy"),
        (stranger_rule, "artstore.wiring", "from artstore.adapters import files"),
        (stranger_rule, "artstore.adapters.packs", "from artstore.adapters.disk import files"),
        (stranger_rule, "artstore.adapters.files.rename", "from artstore.adapters.files import sync"),
        (catch_rule, "artstore.adapters.packs", "try:\n    f()\nexcept BaseException:\n    g()\n    raise"),
        (catch_rule, "artstore.store.write.pipeline", "try:\n    f()\nexcept BaseException as e:  # why\n    kept = e"),
        (catch_rule, "artstore.cli.main", "try:\n    f()\nexcept Exception:  # the last rim\n    g()"),
    ],
)
def test_no_rule_forbids_what_is_right(rule: Rule, name: str, text: str) -> None:
    """A rule that cries at good code is switched off, and then guards nothing."""
    known = frozenset({"artstore.adapters.files", "artstore.model"})
    assert not list(rule(Module(name, text), known))
