"""What is in a column: sketches that merge, value classes, types that refuse to guess."""
