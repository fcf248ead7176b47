"""Archives: many files in one, each read by decoders of its own."""
