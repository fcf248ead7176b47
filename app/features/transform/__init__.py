"""Transform: rows of a file in the shape that a document says, as a new file."""

__all__ = ["casts", "dates", "run", "schemas", "spec", "types", "values"]
