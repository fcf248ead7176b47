"""Files: upload, status, results, rejects, downloads."""
