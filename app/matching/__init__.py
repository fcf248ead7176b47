"""Which column of one table is which of another: by names, values and types, one to one, or none."""
