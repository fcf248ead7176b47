"""The load of a file into a table: rows are cast, staged beside the table, and published whole."""
