"""Granula at a terminal: `python -m app`. What is not needed for `--help` is imported by the
command that needs it.
"""
