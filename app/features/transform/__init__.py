"""Transform: a new file with the rows of a file in another shape."""

__all__ = ["casts", "dates", "objects", "run", "schemas", "service", "spec", "types", "values"]
