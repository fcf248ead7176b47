"""Job types: what can run over a file, and starting a job of any type."""

__all__ = ["requests", "service"]
