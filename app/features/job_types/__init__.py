"""Job types: what can be done with a file, and a job of any of them."""

__all__ = ["requests", "service"]
