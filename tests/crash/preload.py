"""Imported once by the process from which the servers are forked: everything but `app.main`, which reads the environment."""

import aiosqlite  # noqa: F401
import asyncpg  # noqa: F401
import sqlalchemy.dialects.postgresql.asyncpg
import sqlalchemy.dialects.sqlite.aiosqlite  # noqa: F401
import uvicorn.lifespan.on
import uvicorn.loops.auto
import uvicorn.protocols.http.auto  # noqa: F401

import app.api.errors
import app.api.files
import app.api.health
import app.api.jobs
import app.api.middleware
import app.pipeline.machine  # noqa: F401
