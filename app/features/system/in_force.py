"""The settings in force, as the dashboard shows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app.config import MAY_HOLD_A_SECRET, Settings

HIDDEN = frozenset(name for (name,) in MAY_HOLD_A_SECRET)


def settings_in_force(settings: Settings) -> list[dict[str, Any]]:
    """Return each setting with its value and default as text, the changed ones first. The value of
    one that may hold a secret is None if it is set.
    """
    shown = [
        _described(name, getattr(settings, name), field.get_default(call_default_factory=True))
        for name, field in Settings.model_fields.items()
    ]
    return sorted(shown, key=lambda setting: not setting["is_changed"])


def _described(name: str, value: object, default: object) -> dict[str, Any]:
    is_changed = value != default
    is_hidden = is_changed and (name in HIDDEN or isinstance(value, SecretStr))
    return {
        "name": name.upper(),
        "value": None if is_hidden else _text(value),
        "default": _text(default),
        "is_changed": is_changed,
        "is_hidden": is_hidden,
    }


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list, frozenset, set)):
        return ",".join(map(_text, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_text(item)}" for key, item in value.items())
    if isinstance(value, Path):
        return value.as_posix()
    return "" if value is None else str(value)
