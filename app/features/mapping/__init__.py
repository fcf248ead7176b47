"""Mapping: which column of one file is which of another."""

__all__ = ["names", "schemas"]
