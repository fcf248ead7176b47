"""Tables: rows of files in tables of the user."""

from __future__ import annotations

from app.feature import Feature

TABLES = Feature("tables", has_endpoints=False)
