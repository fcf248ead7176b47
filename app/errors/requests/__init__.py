"""Errors that the caller can fix, a module for each family."""
