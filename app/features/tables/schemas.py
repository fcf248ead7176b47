"""What the routes of tables answer."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from app.api.answers import CREATED_AT, FILE_ID, JOB_ID, LIMIT, OFFSET, Answer, Shown, Status
from app.features.tables.definition import ConstraintKind, Right, TableKind
from app.features.tables.plan import Mode

NAME = "As requests name it: with its schema, in double quotes where a part has a dot."


class ConnectionItem(Answer):
    """A database whose tables can be loaded."""

    name: str = Field(description="Empty for the service's own database.")
    kind: Literal["postgresql", "sqlite"] = Field(description="What it is.")
    address: str | None = Field(
        description="`host:port/database` of a named connection, without user and password."
    )
    host: str | None = Field(description="Host of a named connection.")
    database: str | None = Field(description="Name of the database of a named connection.")
    default_schema: str | None = Field(
        description="Where names without a schema are looked for; null: the search path."
    )
    reachable: bool = Field(description="Whether it answered just now.")
    problem: str | None = Field(description="Why it cannot be used now; null if it can be.")


class ConnectionList(Answer):
    """Databases whose tables can be loaded."""

    items: list[ConnectionItem] = Field(
        description="The service's own first, then those of CONNECTIONS."
    )


class TableItem(Answer):
    """A table or view."""

    name: str = Field(description=NAME)
    schema_name: str = Field(alias="schema", description="Its schema; `main` on SQLite.")
    table: str = Field(description="Its name without the schema.")
    kind: TableKind = Field(description="Only tables can be loaded, partitioned ones included.")
    estimated_rows: int | None = Field(
        description="By the statistics of the database; null if it has none."
    )


class TableList(Answer):
    """A page of tables and views."""

    items: list[TableItem] = Field(description="By schema and name.")
    total: int = Field(description="On all pages.")
    limit: int = Field(description=LIMIT)
    offset: int = Field(description=OFFSET)


class TableColumn(Answer):
    """A column of a table."""

    name: str = Field(description="Its name.")
    type: str = Field(description="As the database writes it.")
    nullable: bool = Field(description="Whether a row can do without a value.")
    default: str | None = Field(description="An expression of the database.")
    generated: Literal["identity_always", "identity_by_default", "computed"] | None = Field(
        description="How the database makes its values; null if it does not."
    )


class TableConstraint(Answer):
    """A rule that each row must keep."""

    name: str | None = Field(description="Null where the database has none.")
    kind: ConstraintKind = Field(description="What it demands.")
    columns: list[str] = Field(description="That it is about, as far as the database says.")
    definition: str | None = Field(description="As the database writes it.")
    references: str | None = Field(description="The table that a foreign key refers to.")
    referenced_columns: list[str] = Field(description="And its columns.")


class TableLoad(Answer):
    """A job that loads the table, or has loaded it."""

    job_id: UUID = Field(description=JOB_ID)
    file_id: UUID = Field(description=FILE_ID)
    filename: str = Field(description="Of the file.")
    mode: Mode = Field(description="What it does with rows that already exist.")
    status: Status = Field(description="Of the job.")
    summary: Shown | None = Field(description="Its counts; null until it has some.")
    created_at: datetime = Field(description=CREATED_AT)
    finished_at: datetime | None = Field(description="When it ended; null if it has not.")


class TableDescription(Answer):
    """A table as its database describes it."""

    name: str = Field(description=NAME)
    schema_name: str = Field(alias="schema", description="Its schema; `main` on SQLite.")
    table: str = Field(description="Its name without the schema.")
    connection: str = Field(description="Empty for the service's own database.")
    kind: TableKind = Field(description="Only tables can be loaded, partitioned ones included.")
    columns: list[TableColumn] = Field(description="In their order.")
    primary_key: list[str] = Field(description="Its columns; empty if there is none.")
    constraints: list[TableConstraint] = Field(
        description="Keys, conditions, and unique indexes that belong to no constraint."
    )
    triggers: list[str] = Field(description="Those that are enabled, by name.")
    has_row_security: bool = Field(
        description="Whether policies hide or refuse rows from the role of the connection."
    )
    rights: list[Right] = Field(description="Of the role of the connection.")
    rows: int | None = Field(description="How many it has; null if that is not known.")
    rows_are_exact: bool = Field(
        description="False for an estimate: of large tables, and of views."
    )
    loads: list[TableLoad] = Field(description="Your latest, the newest first.")


class RowEvent(Answer):
    """What a load did with a row."""

    job_id: UUID | None = Field(description="The load; null if it is not yours.")
    file_id: UUID | None = Field(description="Its file; null if it is not yours.")
    filename: str | None = Field(description="Name of the file; null if it is not yours.")
    mode: Mode = Field(description="Mode of the load.")
    finished_at: datetime = Field(description="Time when the load ended.")
    what: Literal["inserted", "updated", "unchanged", "skipped", "deleted"] = Field(
        description="What happened to the row."
    )
    row_number: int | None = Field(
        description="Number of the row in the file; null if no row of the file stands for it."
    )
    line: int | None = Field(description="Its line; null if the file is not stored any more.")
    byte_start: int | None = Field(description="Byte offset of its start in the stored file.")
    byte_end: int | None = Field(description="Byte offset of its end.")
    correction_id: UUID | None = Field(
        description="The correction that gave the row its values; null if they are as in the file."
    )
    steps: dict[str, Shown] = Field(
        description="By column that steps made: its source and its steps; empty if it is not yours."
    )
    values: dict[str, str | None] | None = Field(
        description="Values that were read, by column, as texts; null of a deleted row."
    )
    before: dict[str, str | None] | None = Field(
        description="Values before, of an updated or deleted row."
    )


class RowHistory(Answer):
    """A row of a table, and the loads that read or wrote it and whose records are kept."""

    table: str = Field(description=NAME)
    key: dict[str, str] = Field(description="As asked for.")
    row: dict[str, str | None] | None = Field(
        description="Its values now, as texts; null if there is no such row."
    )
    is_as_loaded: bool | None = Field(
        description="Whether it has the values of the newest load; null if that is not known."
    )
    history: list[RowEvent] = Field(description="The newest first, 100 at most.")


class TableRow(Answer):
    """A row of a table."""

    values: dict[str, str | None] = Field(
        description="By column, as texts that keep every digit; null for NULL."
    )
    truncated: list[str] = Field(
        description="Columns whose values are longer than the 2,000 characters that are shown."
    )


class TableRows(Answer):
    """A page of the rows of a table."""

    table: str = Field(description=NAME)
    order: list[str] = Field(
        description="Columns of the primary key, which order the rows; empty without one."
    )
    items: list[TableRow] = Field(description="In this order.")
    limit: int = Field(description=LIMIT)
    offset: int = Field(description=OFFSET)
    next_after: str | None = Field(
        description="`after` of the next page; null if there is none, or no primary key."
    )
    has_more: bool = Field(description="Whether more rows follow.")
