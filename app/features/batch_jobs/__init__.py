"""Batch jobs: the same job for many files, as one job with parts."""

__all__ = ["schemas"]
