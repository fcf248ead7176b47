"""Schedules: jobs made at the moments that a cron expression names."""
