"""Sessions of PostgreSQL that hold locks on a table, after a load has waited for one in vain."""

from __future__ import annotations

from collections.abc import Sequence

from app.features.tables.definition import TableName

MOST_SESSIONS = 3
HOLDERS = """
SELECT pid FROM (
    SELECT pid, min(CASE mode WHEN 'RowShareLock' THEN 2 WHEN 'RowExclusiveLock' THEN 1 ELSE 0 END)
        AS place
    FROM pg_locks
    WHERE granted AND pid <> pg_backend_pid()
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (
            locktype = 'relation' AND relation = to_regclass({table})
                AND mode <> 'AccessShareLock'
            OR locktype = 'advisory' AND objsubid = 1
                AND (classid::bigint << 32 | objid::bigint) = hashtextextended({turns}, 0)
        )
    GROUP BY pid
) AS holders
ORDER BY place, pid
LIMIT {most}
"""
"""Locks on the table, those that keep all writers out first, and the one by which loads and undos of
it take turns. A lock on a row shows as one on its table.
"""


def lock_holders(table: TableName) -> str:
    """Return a query for the process ids of sessions, the likeliest first."""
    name, turns = _literal(table.sql), _literal(f"granula table {table.sql}")
    return HOLDERS.format(table=name, turns=turns, most=MOST_SESSIONS)


def session_words(pids: Sequence[int]) -> str:
    """Return `session 4711`, or `another session` if none is known: it has ended since, or holds a
    lock on another table.
    """
    if not pids:
        return "another session"
    kind = "session" if len(pids) == 1 else "sessions"
    return f"{kind} {', '.join(map(str, pids))}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
