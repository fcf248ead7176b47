"""Feature: what one package under app/features adds to the service.

The core knows this class, but no feature. `app.features.FEATURES` lists them; `wiring` creates
their processors and services, `main` serves their routes, the command line adds their commands.
Every process imports a feature's module, even compute processes, so it imports what it needs inside
its functions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer
    from fastapi import APIRouter
    from prometheus_client import CollectorRegistry
    from sqlalchemy.ext.asyncio import AsyncConnection

    from app.config import Settings
    from app.embeddings.model import Embedder
    from app.jobs.job_types import JobType
    from app.processors.base import Processor
    from app.processors.tables import Table
    from app.wiring import Core


@dataclass(frozen=True, slots=True)
class Tools:
    """What processors are created from, in the service and in compute processes."""

    settings: Settings
    embedder: Embedder


@dataclass(frozen=True, slots=True)
class Service:
    """An object that a feature's endpoints get by its class: `app.of(Class)`."""

    instance: object
    run: Callable[[], Coroutine[Any, Any, None]] | None = None
    """Runs in the background of a process that serves requests, until cancelled."""
    drain: Callable[[], None] | None = None
    """Called when a shutdown begins: ends what would never end itself."""
    close: Callable[[], Awaitable[None]] | None = None
    """Called before the engine stops."""


def _no_processors(tools: Tools) -> Iterable[Processor]:
    return ()


def _no_services(core: Core) -> Iterable[Service]:
    return ()


def _no_job_types(core: Core) -> Iterable[JobType]:
    return ()


@dataclass(frozen=True, slots=True)
class Feature:
    name: str
    """Name of its package."""
    has_endpoints: bool = True
    """Whether its module `endpoints` has a `router`."""
    has_commands: bool = False
    """Whether its module `commands` has a Typer `app`; its commands become top-level commands."""
    metrics: Callable[[AsyncConnection, CollectorRegistry], Awaitable[None]] | None = None
    """Adds values from the database to /metrics."""
    exposed_headers: tuple[str, ...] = ()
    """Response headers that pages of other origins may read."""
    tables: tuple[Table, ...] = ()
    """Tables that processors fill besides their results, in the order in which an undo removes
    their rows.
    """
    processors: Callable[[Tools], Iterable[Processor]] = _no_processors
    """Raises SettingsInvalid."""
    services: Callable[[Core], Iterable[Service]] = _no_services
    """Called in the order of FEATURES; `core.of` returns services of earlier features."""
    job_types: Callable[[Core], Iterable[JobType]] = _no_job_types
    """Called after all services have been created."""

    @property
    def router(self) -> APIRouter:
        router: APIRouter = self._module("endpoints").router
        return router

    @property
    def commands(self) -> typer.Typer:
        commands: typer.Typer = self._module("commands").app
        return commands

    def _module(self, name: str) -> Any:
        return import_module(f"app.features.{self.name}.{name}")
