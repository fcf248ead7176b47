"""Triggers for the databases of tests: they refuse each change of status that is not in the tables
of app/states.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from app.states import CHUNK_MOVES, JOB_MOVES

TABLES: tuple[tuple[str, Mapping[Any, Collection[Any]]], ...] = (
    ("jobs", JOB_MOVES),
    ("chunks", CHUNK_MOVES),
)
FUNCTION = """
CREATE FUNCTION illegal_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'illegal move of %: % -> %', TG_TABLE_NAME, OLD.status, NEW.status;
END $$
"""


def _is_illegal(moves: Mapping[Any, Collection[Any]]) -> str:
    """Condition in SQL. Keeping a status is no transition."""
    legal = ["OLD.status = NEW.status"]
    for status, others in moves.items():
        if others:
            names = ", ".join(f"'{other}'" for other in sorted(others))
            legal.append(f"(OLD.status = '{status}' AND NEW.status IN ({names}))")
    return f"NOT ({' OR '.join(legal)})"


def statements(*, is_sqlite: bool) -> Iterator[str]:
    """Statements that create the triggers."""
    if not is_sqlite:
        yield FUNCTION
    for table, moves in TABLES:
        when = f"CREATE TRIGGER {table}_moves BEFORE UPDATE OF status ON {table} FOR EACH ROW WHEN"
        if is_sqlite:
            yield (
                f"{when} ({_is_illegal(moves)}) BEGIN SELECT RAISE(ABORT, 'illegal move of"
                f" {table}'); END"
            )
        else:
            yield f"{when} ({_is_illegal(moves)}) EXECUTE FUNCTION illegal_move()"


def drop_for_jobs(url: str) -> str:
    """Statement that lets a test set a status that it cannot reach otherwise."""
    return (
        "DROP TRIGGER jobs_moves" if url.startswith("sqlite") else "DROP TRIGGER jobs_moves ON jobs"
    )
