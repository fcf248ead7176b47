"""POST /api/v1/preview over HTTP: the sources of a file, and that nothing is stored."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from typing import Any

import pytest
import xlsxwriter

from tests.engine import Engine, EngineApi

UNKNOWN = "00000000-0000-4000-8000-000000000000"
TABLE = b"id;town\n1;Bonn\n2;Oslo\n3;Riga\n"
ROWS = [["1", "Bonn"], ["2", "Oslo"], ["3", "Riga"]]


@pytest.fixture
def api(engine: Engine) -> Iterator[EngineApi]:
    engine.start()
    with engine.api() as api:
        yield api


def cells(answer: dict[str, Any]) -> list[Any]:
    return [row["data"] for row in answer["rows"]]


def test_a_body_is_previewed_and_not_stored(api: EngineApi, engine: Engine) -> None:
    answers = [
        api.client.post("/api/v1/preview", content=TABLE, headers={"Content-Type": "text/csv"}),
        api.client.post("/api/v1/preview", content=gzip.compress(TABLE)),
        api.client.post("/api/v1/preview", files={"file": ("t.csv", TABLE, "text/csv")}),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert cells(answer.json()) == ROWS
        assert answer.json()["sample"]["is_complete"]
    assert engine.sql("SELECT count(*) FROM files") == [(0,)]
    assert engine.sql("SELECT count(*) FROM jobs") == [(0,)]


def test_settings_of_an_upload_count(api: EngineApi) -> None:
    answer = api.client.post(
        "/api/v1/preview", content=TABLE, params={"delimiter": ",", "header_rows": 0, "rows": 1}
    ).json()
    assert cells(answer) == [["id;town"]]
    assert answer["sample"]["rows"]["total"] == 4
    cut = api.client.post("/api/v1/preview", content=TABLE[:-3], params={"partial": True}).json()
    assert cells(cut) == ROWS[:2]


def test_an_upload_is_previewed_by_its_id(api: EngineApi) -> None:
    file_id = api.upload(TABLE)["file_id"]
    answer = api.client.post("/api/v1/preview", params={"file_id": file_id})
    assert answer.status_code == 200, answer.text
    assert cells(answer.json()) == ROWS
    unknown = api.client.post("/api/v1/preview", params={"file_id": UNKNOWN})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("params", "content", "code"),
    [
        ({}, b"", "empty_file"),
        ({}, b"%PDF-1.7\n", "content_mismatch"),
        ({"colour": "red"}, TABLE, "invalid_parameter"),
        ({"processor": "rows"}, TABLE, "invalid_parameter"),
        ({"file_id": UNKNOWN, "source": "s3://b/k"}, b"", "invalid_parameter"),
        ({"source": "ftp://b/k"}, b"", "bad_source_uri"),
        ({"encoding": "nonsense"}, TABLE, "unsupported_encoding"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_previewed_is_refused(
    api: EngineApi, params: dict[str, str], content: bytes, code: str
) -> None:
    answer = api.client.post("/api/v1/preview", params=params, content=content)
    assert answer.json()["code"] == code
    assert 400 <= answer.status_code < 500


def test_a_workbook_is_previewed_as_it_would_be_loaded(api: EngineApi) -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        for name, town in (("first", "Bonn"), ("second", "Oslo")):
            book.add_worksheet(name).write_row("A1", ["id", "town"])
            book.get_worksheet_by_name(name).write_row("A2", [1, town])
    sent = out.getvalue()
    for sheet, town in ((None, "Bonn"), ("second", "Oslo")):
        params = {} if sheet is None else {"sheet": sheet}
        answer = api.client.post(
            "/api/v1/preview", params={**params, "filename": "b.xlsx"}, content=sent
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["columns"] == ["id", "town"]
        assert cells(answer.json()) == [["1", town]]
