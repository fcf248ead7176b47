"""The public Python API of Granula: `granula.plugins` for processors of your own."""

from __future__ import annotations

from app import __version__

__all__ = ["__version__"]
