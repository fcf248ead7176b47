"""Users: accounts, keys and sessions."""

from __future__ import annotations

from app.feature import Feature

USERS = Feature("users")
