"""Compares a corrected job with a job over a clean file, and corrects files of rejects."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import httpx

from tests.api.checks import key_of
from tests.forks import Server
from tests.harness import Api, query

Fix = Callable[[dict[str, str]], dict[str, str] | None]
"""Return a corrected line of the reject file; None omits it."""


def table(server: Server, name: str, columns: str, job_id: str) -> list[tuple[Any, ...]]:
    """Return the rows of a table that belong to a job, in order."""
    statement = (
        f"SELECT {columns} FROM {name} WHERE job_id = {key_of(server, job_id)} ORDER BY 1, 2"
    )
    rows = query(server.url, statement)
    return [
        tuple(json.loads(v) if isinstance(v, str) and v[:1] in ("{", "[") else v for v in row)
        for row in rows
    ]


def assert_equal_tables(
    server: Server, api: Api, corrected: dict[str, Any], clean: dict[str, Any]
) -> None:
    """Assert that the database holds the same of both jobs, except ids, times and places in the
    file.
    """
    one, other = api.status(corrected["file_id"]), api.status(clean["file_id"])
    for what in ("status", "rows", "summary", "columns", "error", "total_chunks"):
        assert one[what] == other[what], what
    assert api.rows(corrected["file_id"]) == api.rows(clean["file_id"])
    assert api.rejects(corrected["file_id"]) == api.rejects(clean["file_id"])
    proofs = [api.proof(job["file_id"]) for job in (corrected, clean)]
    for proof in proofs:
        assert proof["closes"], proof["problems"]
    for what in ("rows", "stored", "chunks", "hash"):
        assert proofs[0][what] == proofs[1][what], what
    for name, columns in (
        ("result_pages", "first_row, row_count, row_numbers, data"),
        ("records", "row_number, status, data, errors"),
        ("vector_tasks", "first_row, last_row, record_count"),
        (
            "chunks",
            (
                "chunk_index, first_row, row_count, rows_ok, rows_invalid, rows_failed, hash_read,"
                " summary, status"
            ),
        ),
        ("rejects", "row_number, code"),
    ):
        found = [table(server, name, columns, job["job_id"]) for job in (corrected, clean)]
        assert found[0] == found[1], name
    downloads = [
        api.client.get(f"/api/v1/results/{job['file_id']}/download").content
        for job in (corrected, clean)
    ]
    assert downloads[0] == downloads[1]


def reject_file(
    api: Api, file_id: str, encoding: str = "utf-8"
) -> tuple[list[str], list[dict[str, str]]]:
    """Return (header, lines) of the download."""
    data = api.client.get(f"/api/v1/rejects/{file_id}/download").content
    lines = list(csv.reader(io.StringIO(data.decode(encoding, "surrogateescape"), newline="")))
    return lines[0], [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def written(header: list[str], lines: list[dict[str, str]], **dialect: Any) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, **dialect)
    writer.writerow(header)
    writer.writerows([line[name] for name in header] for line in lines)
    return out.getvalue().encode("utf-8", "surrogateescape")


def fixed(api: Api, file_id: str, fix: Fix, encoding: str = "utf-8") -> bytes:
    """Return the download, corrected line by line."""
    header, lines = reject_file(api, file_id, encoding)
    return written(header, [line for line in map(fix, lines) if line is not None])


def send(api: Api, file_id: str, body: bytes, **params: Any) -> httpx.Response:
    return api.client.post(
        f"/api/v1/files/{file_id}/corrections",
        params=params,
        content=body,
        headers={"Content-Type": "text/csv"},
    )


def patch(api: Api, file_id: str, *rows: dict[str, Any]) -> httpx.Response:
    return api.client.post(f"/api/v1/files/{file_id}/corrections", json={"rows": rows})


def ended(api: Api, answer: httpx.Response) -> dict[str, Any]:
    """Wait for the accepted correction; return its final status."""
    assert answer.status_code == 202, answer.text
    return api.finished(answer.json()["file_id"])
