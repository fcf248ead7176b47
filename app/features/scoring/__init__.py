"""Scoring: rows scored by a model service over HTTP."""
