"""Preview: what a file is, and what each way to read it would give, before anything is stored."""
