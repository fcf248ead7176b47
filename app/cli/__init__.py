"""The command line, `python -m app`. Each command imports what `--help` does not need."""
