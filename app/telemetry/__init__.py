"""What a process tells of its work."""
