"""Rows: filter, search and sort the results of a job, and tell where a row came from."""

from __future__ import annotations

from app.feature import Feature

ROWS = Feature("rows")
