"""Spreadsheets as CSV text, read in a process of their own."""
