"""Imported once by the process from which servers are forked: everything that a server imports
except `app.main`, which reads the environment.
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
import app.features
from app.features import FEATURES

for module in iter_modules(app.api.__path__, "app.api."):
    import_module(module.name)
for feature in FEATURES:
    package = import_module(f"app.features.{feature.name}")
    for module in iter_modules(package.__path__, f"{package.__name__}."):
        if module.name.rpartition(".")[2] != "commands":
            import_module(module.name)

gc.collect()
gc.freeze()  # excluded from the garbage collections of every server
