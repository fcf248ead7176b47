"""Tables: accepted rows loaded into the user's own typed tables."""

__all__ = ["parameters"]
