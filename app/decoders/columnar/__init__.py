"""Parquet, Arrow (Feather) and ORC, decoded to JSON Lines by a process with limits."""
