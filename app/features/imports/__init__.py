"""Imports: records validated against a schema, embedded, and searched."""
