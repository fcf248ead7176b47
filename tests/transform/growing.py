"""Steps of a transform that make much of little."""

from __future__ import annotations

from typing import Any


def times(count: int, find: str = "x") -> dict[str, Any]:
    return {"operation": "replace", "find": find, "by": "x" * count}
