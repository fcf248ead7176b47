"""Retention: deletes bytes, rows, rejects and jobs that are older than the settings allow."""
