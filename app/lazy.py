"""Packages that are imported when something of them is first used: a start does not pay for what it
does not need, and an installation without them starts.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """Stands for the module of this name. Raises ImportError at the first use if there is none."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self.__name__), name)
        setattr(self, name, value)  # found at once from now on
        return value
