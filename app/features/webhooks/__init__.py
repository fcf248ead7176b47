"""Webhooks: signed messages about jobs, with a delivery log."""
