"""Hypothesis without clocks: how long an example takes is the machine's affair, and bench/ measures."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("artstore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("artstore")
