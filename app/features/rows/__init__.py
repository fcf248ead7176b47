"""Rows: filter, search and sort the results of a job, and tell where a row came from."""

__all__ = ["choice", "commas", "parameters"]
