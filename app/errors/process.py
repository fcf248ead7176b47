"""Errors that keep a process from starting or a command from running."""

from __future__ import annotations

from app.errors.base import GranulaError


class BackupUnusable(GranulaError):
    """The backup cannot be created or restored."""


class DatabaseTaken(GranulaError):
    """Another process serves the database, and does not share it."""

    exit_code = 5


class MigrationsPending(GranulaError):
    """The schema in the database is not that of this version. Run `alembic upgrade head`, or
    `python -m app serve --migrate`.
    """

    def __init__(self) -> None:
        super().__init__(self.meaning())


class MigrationsRefused(GranulaError):
    """The database does not allow creating or changing the tables."""


class SettingsInvalid(GranulaError):
    """A setting has an invalid value."""


class StorageForeign(GranulaError):
    """The storage belongs to another Granula database."""
