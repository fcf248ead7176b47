"""Imported once by the process from which commands are forked: everything that `python -m app`
imports, except modules that read the environment or the terminal on import.
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
