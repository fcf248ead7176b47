"""A service with a connection to another PostgreSQL, into whose table files are loaded."""

from __future__ import annotations

from typing import Any

from tests.engine import Engine
from tests.harness import query
from tests.integration.crash.test_load import AFTER, BEFORE, REPEATED, ROWS, ended, price_list

__all__ = ["AFTER", "BEFORE", "REPEATED", "ROWS", "TABLE", "Remote"]
TABLE = (
    "CREATE TABLE prices (id bigint PRIMARY KEY, price int)",
    "INSERT INTO prices VALUES (0, 7)",
)


class Remote:
    """A service, and the database of its connection `warehouse`."""

    def __init__(self, engine: Engine, url: str) -> None:
        self.engine = engine
        self.url = url

    def prices(self) -> list[tuple[Any, ...]]:
        return query(self.url, "SELECT id, price FROM prices ORDER BY id")

    def tables(self, prefix: str) -> list[str]:
        found = query(
            self.url,
            f"SELECT relname::text FROM pg_class WHERE relname LIKE '{prefix}%' AND relkind = 'r'",
        )
        return [name for (name,) in found]

    def entries(self) -> list[str]:
        rows = query(self.url, "SELECT entry FROM granula_ledger ORDER BY entry, first_row")
        return [entry for (entry,) in rows]

    def begin(self, data: bytes | None = None, **options: Any) -> str:
        with self.engine.api() as api:
            file_id = api.upload(price_list() if data is None else data)["file_id"]
            api.finished(file_id)
            body = {
                "type": "load",
                "file_id": file_id,
                "options": {"table": "prices", "connection": "warehouse", **options},
                "chunk_size": 100,
            }
            answer = api.client.post("/api/v1/jobs", json=body)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["job_id"])

    def ended(self, job_id: str) -> dict[str, Any]:
        return ended(self.engine, job_id)
