"""XML documents: the elements at a path become lines of JSON, in a process with limits."""
