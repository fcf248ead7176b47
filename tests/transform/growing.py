"""Steps of a transform that turn small values into large ones."""

from __future__ import annotations

from typing import Any


def times(count: int, find: str = "x") -> dict[str, Any]:
    return {"operation": "replace", "find": find, "by": "x" * count}
