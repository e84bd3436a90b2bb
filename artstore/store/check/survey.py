"""Looks through versions: everything they need is somewhere, and pages say of each other what is so.

Reads pages, never chunks; remembers sound pages, which most versions share. For each version it tells the packs that
its content lies in and the paths that are hurt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.model import Digest, ObjectKind, TreeBranch
from artstore.store.check.damage import Damage, good_copies
from artstore.store.check.pages import ChunkWanted, PageFacts, PageWanted, flaw, take_apart
from artstore.store.partial import is_partial

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from artstore.model import Location, Version
    from artstore.ports import Index
    from artstore.store.objects import Objects

    OnRoot = Callable[[bytes, frozenset[int]], None]

_NO_PACKS: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Complaint:
    """Why a path can't be read; `digest` is what is missing, damaged or a liar."""

    path: bytes
    digest: Digest
    message: str


@dataclass(slots=True)
class VersionSurvey:
    """What one version needs. `missing`: ids of which no good copy is known, up to LOST_IDS_MAX; `is_whole`: all its
    chunks are here, which nobody may expect of a version that is here in part.
    """

    version: Version | None = None
    packs: set[int] = field(default_factory=set[int])
    complaints: dict[bytes, Complaint] = field(default_factory=dict[bytes, Complaint])
    more: int = 0
    missing: set[bytes] = field(default_factory=set[bytes])
    is_whole: bool = True

    @property
    def is_sound(self) -> bool:
        """Can all of it be read, as far as the pages tell?"""
        return not self.complaints

    def complain(self, path: bytes, id: bytes, message: str, *, is_missing: bool = False) -> None:
        """Keep one complaint for each path, up to a bound; count the paths beyond it."""
        if is_missing and len(self.missing) < limits.LOST_IDS_MAX:
            self.missing.add(id)
        if path in self.complaints:
            return
        if len(self.complaints) < limits.TROUBLE_PATHS_MAX:
            self.complaints[path] = Complaint(path, Digest(id), message)
        else:
            self.more += 1


@dataclass(frozen=True, slots=True)
class _Known:
    """A sound page with all below it; `is_whole`: all its chunks are here."""

    facts: PageFacts
    packs: frozenset[int]
    is_whole: bool


@dataclass(slots=True)
class _Open:
    """A page whose children are being looked through."""

    wanted: PageWanted
    facts: PageFacts
    packs: set[int]
    below: Iterator[PageWanted]
    is_hurt: bool = False
    is_whole: bool = True


class Surveyor:
    """Looks through any number of versions of one store. Not thread-safe.

    Chunks of versions that are here in part may be missing: a remote has them. `partial`: all versions are taken for
    such.

    `prefer`: packs to be chosen where an object has several copies. `on_root` is told of each sound root of a tree or
    recipe, those below it first, and of the packs that it needs.
    """

    def __init__(
        self,
        index: Index,
        objects: Objects,
        damage: Damage | None = None,
        *,
        prefer: Collection[int] = _NO_PACKS,
        on_root: OnRoot | None = None,
        partial: bool = False,
    ) -> None:
        self._index = index
        self._objects = objects
        self._damage = Damage() if damage is None else damage
        self._prefer = prefer
        self._on_root = on_root
        self._all_partial = partial
        self._may_lack = False
        self._known: dict[bytes, _Known] = {}
        self._pack_sets: dict[frozenset[int], frozenset[int]] = {}

    def version(self, id: Digest) -> VersionSurvey:
        """Look through one version."""
        survey = VersionSurvey()
        with self._index.read() as reader:
            self._may_lack = self._all_partial or is_partial(reader, id)
        place = self._locate([id])[0]
        if place is None:
            survey.complain(b"", id, f"version {id.hex()} is lost", is_missing=True)
            return survey
        survey.packs.add(place.pack)
        try:
            version = survey.version = self._objects.version(id)
        except (Corrupt, NewerFormat) as error:
            survey.complain(b"", id, f"version {id.hex()}: {error.message}")
            return survey
        known = self._tree(version.tree, survey)
        if known is not None:
            total = known.total
            if isinstance(total, TreeBranch) and (total.size, total.files) != (version.size, version.files):
                survey.complain(b"", id, f"version {id.hex()} counts other files than its tree has")
        return survey

    def _tree(self, root: bytes, survey: VersionSurvey) -> PageFacts | None:
        """All below a root; what its page says, if it can be read."""
        top = _Open(PageWanted(ObjectKind.TREE_PAGE, root, b""), _NO_FACTS, survey.packs, iter(()))
        pages = [top]
        facts = self._enter(top.wanted, pages, survey)
        while len(pages) > 1:
            page = pages[-1]
            wanted = next(page.below, None)
            if wanted is not None:
                self._enter(wanted, pages, survey)
                continue
            pages.pop()
            above = pages[-1]
            above.packs |= page.packs
            above.is_hurt |= page.is_hurt
            above.is_whole &= page.is_whole
            if not page.is_hurt:
                self._remember(page)
        survey.is_whole &= top.is_whole
        return facts

    def _enter(self, wanted: PageWanted, pages: list[_Open], survey: VersionSurvey) -> PageFacts | None:
        """Open a page, or take what is known of it; complain if neither is possible or it isn't what was said."""
        above = pages[-1]
        known = self._known.get(wanted.id)
        if known is not None and (known.is_whole or self._may_lack):
            above.packs |= known.packs
            above.is_whole &= known.is_whole
            self._judge(wanted, known.facts, above, survey)
            return known.facts
        place = self._locate([wanted.id])[0]
        if place is None:
            above.is_hurt = True
            survey.complain(wanted.path, wanted.id, f"{_name(wanted)} is lost", is_missing=True)
            return None
        above.packs.add(place.pack)
        try:
            view = take_apart(wanted, self._objects.load(wanted.kind, wanted.id))
        except (Corrupt, NewerFormat) as error:
            above.is_hurt = True
            survey.complain(wanted.path, wanted.id, f"{_name(wanted)}: {error.message}")
            return None
        page = _Open(wanted, view.facts, {place.pack}, view.below)
        self._judge(wanted, view.facts, page, survey)
        self._find_chunks(view.chunks, page, survey)
        if wanted.depth <= limits.PATH_DEPTH_MAX:
            pages.append(page)
        else:
            above.is_hurt = True
            survey.complain(wanted.path, wanted.id, "the tree is too deep")
        return view.facts

    def _judge(self, wanted: PageWanted, facts: PageFacts, page: _Open, survey: VersionSurvey) -> None:
        wrong = flaw(wanted, facts)
        if wrong is not None:
            page.is_hurt = True
            survey.complain(wanted.path, wanted.id, f"{_name(wanted)} {wrong}")

    def _find_chunks(self, chunks: Sequence[ChunkWanted], page: _Open, survey: VersionSurvey) -> None:
        if not chunks:
            return
        places = self._locate([chunk.id for chunk in chunks])
        erased = self._erased([chunk.id for chunk, place in zip(chunks, places, strict=True) if place is None])
        for chunk, place in zip(chunks, places, strict=True):
            if place is None:
                if chunk.id not in erased:  # that was on purpose: no damage
                    self._miss_chunk(chunk, page, survey)
                continue
            page.packs.add(place.pack)
            if place.raw != chunk.raw or place.kind is not ObjectKind.CHUNK:
                page.is_hurt = True
                survey.complain(chunk.path, chunk.id, f"chunk {chunk.id.hex()} is not of {chunk.raw} bytes")

    def _miss_chunk(self, chunk: ChunkWanted, page: _Open, survey: VersionSurvey) -> None:
        if self._may_lack:
            page.is_whole = False
            return
        page.is_hurt = True
        survey.complain(chunk.path, chunk.id, f"chunk {chunk.id.hex()} is lost", is_missing=True)

    def _erased(self, ids: Sequence[bytes]) -> set[bytes]:
        if not ids:
            return set()
        with self._index.read() as reader:
            return {id for id in ids if reader.erased(id)}

    def _locate(self, ids: Sequence[bytes]) -> list[Location | None]:
        return good_copies(self._index, ids, self._damage, self._prefer)

    def _remember(self, page: _Open) -> None:
        packs = frozenset(page.packs)
        packs = self._pack_sets.setdefault(packs, packs)
        if len(self._known) < limits.CHECK_PAGES_REMEMBERED:
            self._known[page.wanted.id] = _Known(page.facts, packs, page.is_whole)
        if self._on_root is not None and page.wanted.level is None and page.is_whole:
            self._on_root(page.wanted.id, packs)


def _name(wanted: PageWanted) -> str:
    return f"{'tree' if wanted.kind is ObjectKind.TREE_PAGE else 'recipe'} page {wanted.id.hex()}"


_NO_FACTS = PageFacts(0, TreeBranch(b"", b"", 0, 0, 0), b"")
