"""Packages that are imported on first use: a start does not pay for them, and an installation
without them starts.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """Stands for the module of this name. The first use raises ImportError if it does not exist."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self.__name__), name)
        setattr(self, name, value)  # later uses find it directly
        return value
