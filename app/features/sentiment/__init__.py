"""Sentiment: texts scored by a lexicon or a model."""

__all__ = ["models", "parameters", "processor"]
