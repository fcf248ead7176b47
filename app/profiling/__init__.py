"""Profiles of columns: sketches that merge, value classes, and types that never guess."""
