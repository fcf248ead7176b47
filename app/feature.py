"""Feature: what one package under app/features adds to the service.

The core knows this class and no feature. `app.features.FEATURES` lists them; `wiring` makes their
processors and services, `main` serves their routes, the command line adds their commands. A
feature's module is imported in every process, also in those that only compute, so it imports what
it needs inside its functions.
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
    """What processors are made from, in the service and in each process that computes."""

    settings: Settings
    embedder: Embedder


@dataclass(frozen=True, slots=True)
class Service:
    """An object that a feature's endpoints find by its class: `app.of(Class)`."""

    made: object
    run: Callable[[], Coroutine[Any, Any, None]] | None = None
    """Runs in the background of a process that answers requests, until it is cancelled."""
    drain: Callable[[], None] | None = None
    """Called when the process is told to end: end what would never end by itself."""
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
    """Of its package."""
    has_endpoints: bool = True
    """Whether its module `endpoints` has a `router`."""
    has_commands: bool = False
    """Whether its module `commands` has a Typer `app`, whose commands stand among the others."""
    metrics: Callable[[AsyncConnection, CollectorRegistry], Awaitable[None]] | None = None
    """Adds what the database says to the answer of /metrics."""
    exposed_headers: tuple[str, ...] = ()
    """Of its answers, which pages of other origins may read."""
    tables: tuple[Table, ...] = ()
    """That its processors, or others, fill besides their results: in the order in which an undo
    takes their rows back.
    """
    processors: Callable[[Tools], Iterable[Processor]] = _no_processors
    """Raises SettingsInvalid."""
    services: Callable[[Core], Iterable[Service]] = _no_services
    """Called in the order of FEATURES; those of earlier features are found by `core.of`."""
    job_types: Callable[[Core], Iterable[JobType]] = _no_job_types
    """Called after all services are made."""

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
