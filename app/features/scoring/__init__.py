"""Scoring: rows scored by a model service over HTTP."""

__all__ = ["requests"]
