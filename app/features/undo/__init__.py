"""Undo: removes everything that a job wrote."""
