"""System: what runs, over what, and how much room is left."""

from __future__ import annotations

from app.feature import Feature

SYSTEM = Feature("system")
