"""Templates: accepted mappings and their versions."""

__all__ = ["schemas", "service"]
