"""Analysis: profiles of the columns of a file."""

__all__ = ["schemas"]
