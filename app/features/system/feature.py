"""System: components of the service, and free capacity."""

from __future__ import annotations

from app.feature import Feature

SYSTEM = Feature("system")
