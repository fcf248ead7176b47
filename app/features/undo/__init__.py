"""Undo: everything that a job wrote, taken back."""
