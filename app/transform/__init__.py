"""What is done to the rows of a transform: the document that says it, a small expression language, and its execution."""
