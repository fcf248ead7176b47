"""The settings that the service shows: the changed ones first, and no secret."""

from __future__ import annotations

import json
from typing import Any

from app.config import Settings
from app.features.system.in_force import settings_in_force

SECRETS: dict[str, Any] = {
    "database_url": "postgresql+asyncpg://granula:hunter2@db/granula",
    "secret": "hunter2",
    "openai_api_key": "hunter2",
    "source_credentials": {"a": {"url": "https://x.example/", "bearer": "hunter2"}},
    "connections": {"a": "postgresql://u:hunter2@db/x"},
    "ml_api_url": "http://u:hunter2@model/",
}


def test_changed_settings_come_first_with_their_default() -> None:
    shown = settings_in_force(Settings(chunk_size=500))
    changed = [setting for setting in shown if setting["is_changed"]]
    assert shown[: len(changed)] == changed
    (chunk_size,) = [setting for setting in shown if setting["name"] == "CHUNK_SIZE"]
    assert chunk_size == {
        "name": "CHUNK_SIZE",
        "value": "500",
        "default": "10000",
        "is_changed": True,
        "is_hidden": False,
    }
    assert len(shown) == len(Settings.model_fields)


def test_secrets_are_hidden() -> None:
    shown = settings_in_force(Settings(**SECRETS))
    assert "hunter2" not in json.dumps(shown)
    hidden = {setting["name"] for setting in shown if setting["is_hidden"]}
    assert hidden >= {name.upper() for name in SECRETS}
