"""Templates: accepted mappings, kept with their versions."""

__all__ = ["schemas", "service"]
