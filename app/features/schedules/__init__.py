"""Schedules: jobs that start at the times of a cron expression."""
