"""Logs, counters and traces of a process."""
