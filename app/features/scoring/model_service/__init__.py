"""A small model service for trials of scoring. The service itself never imports it."""
