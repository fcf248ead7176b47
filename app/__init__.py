"""Granula: load large files, get trustworthy rows."""

__version__ = "0.1.0"
