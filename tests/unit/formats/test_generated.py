"""Dirty files of scripts/generate_csv.py: every row ends exactly as the oracle says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from app.formats.registry import Dialect
from scripts.generate_csv import KINDS, generate
from tests.formats.reading import Setting, cut_all, detected, read_all

ROWS = 3000


@dataclass(frozen=True)
class Dirty:
    data: bytes
    dialect: Dialect
    verdicts: list[dict[str, Any]]


@pytest.fixture(
    scope="module",
    params=[("csv", 1), ("csv", 2), ("json", 3), ("json", 4), ("jsonl", 5)],
    ids=str,
)
def dirty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dirty:
    format, seed = request.param
    path = tmp_path_factory.mktemp("dirty") / f"rows.{format}"
    summary = generate(path, ROWS, format=format, dirty=0.3, seed=seed)
    assert summary.verdicts is not None
    lines = summary.verdicts.read_text("ascii").splitlines()
    verdicts = [json.loads(line, parse_float=Decimal) for line in lines]
    assert {verdict["kind"] for verdict in verdicts} == set(KINDS[format])
    data = path.read_bytes()
    return Dirty(data, detected(data, filename=path.name), verdicts)


def value_of(row: Any) -> Any:
    """Cells as they are, the bytes of a JSON object as its text and its exact value."""
    return (row.decode(), json.loads(row, parse_float=Decimal)) if isinstance(row, bytes) else row


@pytest.mark.parametrize(
    "setting",
    [
        Setting(),
        Setting(chunk_rows=1, window_bytes=50_000),
        Setting(chunk_rows=7, window_bytes=4096, budget=100_000),
        Setting(chunk_rows=500, window_bytes=65_537, budget=1),
        Setting(chunk_bytes=10_000, window_bytes=30_011),
    ],
    ids=str,
)
def test_every_row_of_a_dirty_file_has_its_expected_verdict(dirty: Dirty, setting: Setting) -> None:
    rows, rejects = read_all(dirty.data, dirty.dialect, setting)

    good = [verdict for verdict in dirty.verdicts if verdict["verdict"] == "ok"]
    truth = [(v["row"], (v["raw"], v["data"]) if "raw" in v else v["data"]) for v in good]
    assert [(number, value_of(row)) for number, row in rows] == truth
    bad = [verdict for verdict in dirty.verdicts if verdict["verdict"] == "reject"]
    assert len(bad) > ROWS / 20
    assert [(r.row_number, r.code, r.line) for r in rejects] == [
        (v["row"], v["code"], v["line"]) for v in bad
    ]


def test_every_chunk_of_one_row_starts_on_its_expected_line(dirty: Dirty) -> None:
    spans = cut_all(dirty.data, dirty.dialect, Setting(chunk_rows=1))
    found = [
        span.first_line
        + dirty.data[span.byte_start : span.byte_end].lstrip(b", \t")[:1].count(b"\n")
        for span in spans
    ]
    assert found == [verdict["line"] for verdict in dirty.verdicts]
