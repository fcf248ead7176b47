"""Why a process does not start, or a command does not run."""

from __future__ import annotations

from app.errors.base import GranulaError


class BackupUnusable(GranulaError):
    """The backup cannot be made or put back."""


class DatabaseTaken(GranulaError):
    """Another process serves the database, and does not share it."""

    exit_code = 5


class MigrationsPending(GranulaError):
    """The tables in the database are not those of this version. Run `alembic upgrade
    head`, or `python -m app serve --migrate`."""

    def __init__(self) -> None:
        super().__init__(self.meaning())


class MigrationsRefused(GranulaError):
    """The database does not let us make or change its tables."""


class SettingsInvalid(GranulaError):
    """A setting has a value that cannot be used."""


class StorageForeign(GranulaError):
    """The storage belongs to another Granula database."""
