"""Sentiment batches: the interface under /batch."""

from __future__ import annotations

from app.feature import Feature

BATCHES = Feature("batches")
