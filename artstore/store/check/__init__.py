"""Checking a store: its structure in seconds, its data in as long as reading it takes."""

from artstore.store.check.report import CheckReport, Hurt, Problem, ProblemKind
from artstore.store.check.service import check
from artstore.store.lost import heal_sets

__all__ = ["CheckReport", "Hurt", "Problem", "ProblemKind", "check", "heal_sets"]
