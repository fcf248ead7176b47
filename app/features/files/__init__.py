"""Files: upload, status, results, rejects, downloads."""

__all__ = ["parameters", "xlsx"]
