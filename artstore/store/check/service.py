"""The check of a store: what is looked at, in which order, and how findings are put together."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from artstore.errors import Corrupt
from artstore.model import Digest
from artstore.store.check.data import DataResult, check_data
from artstore.store.check.refs import check_log, check_refs, names_of
from artstore.store.check.report import CheckReport, Findings, Hurt, ProblemKind
from artstore.store.check.structure import check_packs, check_set, check_versions, visible_packs
from artstore.store.check.survey import Surveyor, VersionSurvey
from artstore.store.context import Counters
from artstore.store.lost import heal_sets, lost_records
from artstore.store.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from artstore.model import PackRow
    from artstore.store.context import Context


def check(
    context: Context,
    objects: Objects,
    *,
    data: bool = False,
    max_duration: float | None = None,
    resume: bool = True,
    counters: Counters | None = None,
) -> CheckReport:
    """Look for damage; changes nothing but notes of its own.

    Without `data`: files, tables, index, sets, refs and refs.log. With it every object is read and verified, then every
    version is looked through. `max_duration` (seconds) ends that early; the next check with `resume` goes on there.
    """
    begun = time.monotonic()
    counters = counters or Counters()
    findings = Findings()
    context = replace(context, far=None)  # what a remote has is no proof that it is here
    objects.forget()
    objects = Objects(context)
    rows = _structure(context, objects, findings, counters)
    result = DataResult(finished=True, resumed=False)
    if data and rows is not None:
        deadline = None if max_duration is None else begun + max_duration
        result = check_data(context, rows, findings, counters, deadline=deadline, resume=resume)
    if rows is not None:
        _guarded(findings, lambda: _survey(context, objects, findings, everything=data and result.finished))
    return CheckReport(
        problems=findings.problems(),
        problems_more=findings.more,
        packs=findings.packs,
        objects=findings.objects,
        bytes=findings.size,
        versions=findings.versions,
        refs=findings.refs,
        leftovers=findings.leftovers,
        data=data,
        finished=result.finished,
        resumed=result.resumed,
        seconds=time.monotonic() - begun,
        hurt_packs=frozenset(findings.hurt_packs),
    )


def _structure(context: Context, objects: Objects, findings: Findings, counters: Counters) -> list[PackRow] | None:
    """The packs there are, or None if the index can't tell."""
    # A page of the index that lies can kill who reads it: a child tries first.
    if not _guarded(findings, context.index.probe):
        return None
    _guarded(findings, lambda: _heal(context))
    rows: list[PackRow] = []
    if not _guarded(findings, lambda: rows.extend(visible_packs(context))):
        return None
    counters.files_total = len(rows)
    _guarded(findings, lambda: check_packs(context, rows, findings, counters))
    _guarded(findings, lambda: check_refs(context, findings))
    _guarded(findings, lambda: check_log(context.index, context.ids, findings))
    _guarded(findings, lambda: check_versions(context, objects, rows, findings))
    return rows


def _guarded(findings: Findings, part: Callable[[], None]) -> bool:
    """Do a part of the check. What it finds in packs it reports itself: a Corrupt that gets here is the index's."""
    try:
        part()
    except Corrupt as error:
        findings.add(ProblemKind.INDEX, error.message)
        return False
    return True


def _heal(context: Context) -> None:
    with context.index.read() as reader:
        is_needed = next(lost_records(reader), None) is not None
    if is_needed and not context.readonly:
        with context.index.write() as writer:
            heal_sets(writer)


def _survey(context: Context, objects: Objects, findings: Findings, *, everything: bool) -> None:
    """Look through the versions that may be hurt, or through all, and tell what becomes of them."""
    with context.index.read() as reader:
        versions = set(reader.versions()) if everything else set[Digest]()
        if findings.damage and not everything:
            hurt = findings.damage.packs
            known = ((version, reader.version_set(version)) for version in reader.versions())
            versions.update(version for version, packs in known if packs and not hurt.isdisjoint(packs))
        versions |= findings.suspects
        names: dict[bytes, list[str]] = {}
        for version, name in names_of(reader):
            if version in versions:
                names.setdefault(version, []).append(name)
    objects.forget()  # pages in memory were sound when they were read
    surveyor = Surveyor(context.index, objects, findings.damage)
    for version in sorted(versions):
        survey = surveyor.version(version)
        if survey.is_sound:
            if everything:
                _compare_set(context, objects, version, survey, findings)
            continue
        _tell(context, version, survey, tuple(names.get(version, ())), findings)


def _compare_set(
    context: Context, objects: Objects, version: Digest, survey: VersionSurvey, findings: Findings
) -> None:
    with context.index.read() as reader:
        packs = reader.version_set(version)
    if packs is not None and not survey.packs.issubset(packs):
        check_set(context, objects, version, findings)


def _tell(context: Context, version: Digest, survey: VersionSurvey, names: tuple[str, ...], findings: Findings) -> None:
    """Put a version's complaints under the problems that they come from."""
    draft = None
    for complaint in survey.complaints.values():
        draft = findings.about(complaint.digest, _packs_of(context, complaint.digest))
        if draft is None:
            draft = findings.add(ProblemKind.VERSION, complaint.message, digest=complaint.digest)
        draft.hurts(Hurt(version, complaint.path, names))
    if draft is not None:
        draft.hurt_more += survey.more


def _packs_of(context: Context, digest: bytes) -> Iterable[int]:
    with context.index.read() as reader:
        return [place.pack for place in reader.copies(digest)]
