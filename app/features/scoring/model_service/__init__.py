"""A small model service to try scoring with. The service itself never imports it."""
