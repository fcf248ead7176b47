"""Sentiment batches: the interface under /batch."""
