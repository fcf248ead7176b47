"""Files: upload, status, results, rejects, downloads."""

from __future__ import annotations

from app.feature import Feature

FILES = Feature("files")
