"""Granula: big files in, rows that can be trusted out."""

__version__ = "0.1.0"
