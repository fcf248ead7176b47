"""What the caller can do something about, a module a family."""
