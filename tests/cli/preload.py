"""Imported once by the process from which commands are forked: what `python -m app` imports, but
for what looks at the environment or at the terminal where it is imported.
"""

import gc

import httpx  # noqa: F401
import rich.console
import rich.progress
import rich.table  # noqa: F401

import app.cli.main
import app.db.migrations
import app.jobs.users  # noqa: F401

gc.collect()
gc.freeze()
