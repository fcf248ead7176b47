"""Analysis: what is in the columns of a file."""

__all__ = ["schemas"]
