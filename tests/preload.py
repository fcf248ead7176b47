"""Imported once by the process from which the servers are forked: all but `app.main`, which reads
the environment.
"""

import gc
from importlib import import_module
from pkgutil import iter_modules

import aiosqlite  # noqa: F401
import asyncpg  # noqa: F401
import sqlalchemy.dialects.postgresql.asyncpg
import sqlalchemy.dialects.sqlite.aiosqlite  # noqa: F401
import uvicorn.lifespan.on
import uvicorn.loops.auto
import uvicorn.protocols.http.auto  # noqa: F401

import app.api

for module in iter_modules(app.api.__path__, "app.api."):
    import_module(module.name)

gc.collect()
gc.freeze()  # no server has to look through all this
