"""System: what runs, over what, and how much room is left."""
