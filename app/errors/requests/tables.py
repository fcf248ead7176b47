"""Tables of users, and the databases that have them."""

from __future__ import annotations

from app.errors.base import RequestError


class AnalysisNeeded(RequestError):
    """File not analysed yet, so the types of a new table are not known."""

    status = 409
    code = "analysis_needed"
    remedy = (
        "Analyse the file with POST /api/v1/jobs/analyze and wait for its end, or give `types` for"
        " all columns."
    )


class UnknownConnection(RequestError):
    """Unknown connection."""

    status = 404
    code = "unknown_connection"
    remedy = "Use one of GET /api/v1/connections, or add it to CONNECTIONS and restart the service."


class UnknownTable(RequestError):
    """Unknown table."""

    status = 404
    code = "unknown_table"
    remedy = "Use one of GET /api/v1/tables, written with the same capitals, or the mode create."


class TableExists(RequestError):
    """Table already exists."""

    status = 409
    code = "table_exists"
    remedy = "Use another name, or a mode such as append, upsert or replace."


class TableUnusable(RequestError):
    """Table that rows cannot be loaded into."""

    status = 422
    code = "table_unusable"
    remedy = "Load into another table, or give the database role the right that `detail` names."


class TableMismatch(RequestError):
    """File does not fit the table."""

    status = 422
    code = "table_mismatch"
    remedy = (
        "Correct what `errors` lists: name the columns with `columns`, or decide with "
        "on_schema_change what to do with those that the table lacks."
    )
