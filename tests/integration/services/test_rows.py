"""GET /api/v1/rows: filters and sorts against plain Python over the downloaded rows, and the origin
of a row.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pyarrow.parquet
import pytest
import python_calamine

from app.features.rows.choice import Choice
from app.features.rows.reading import ClientGone, find_rows, ordered
from app.jobs.users import LOCAL_OWNER
from tests.engine import Engine, EngineApi
from tests.integration.services.loading import loaded

HEADER = "id,name,amount,paid\n"
NAMES = ("Ada", "adam", "Ödön", 'Bo "B" Li', "", "01234")
RANDOM = random.Random(4)
LINES = [
    f"{number},{name},{RANDOM.choice(['', str(RANDOM.randint(-999, 999) / 10)])},"
    f"20{RANDOM.randint(10, 26)}-0{RANDOM.randint(1, 9)}-1{RANDOM.randint(0, 9)}\n"
    if number % 7
    else f"{number}\n"
    for number in range(1, 2_001)
    for name in ['"{}"'.format(RANDOM.choice(NAMES).replace('"', '""'))]
]
TABLE = (HEADER + "".join(LINES)).encode()
"""2,000 rows, of which each seventh is rejected."""
Row = dict[str, Any]


@pytest.fixture
def api(engine: Engine) -> Iterator[EngineApi]:
    engine.start()
    with engine.api() as api:
        yield api


def downloaded(api: EngineApi, file_id: str) -> list[Row]:
    body = api.client.get(f"/api/v1/results/{file_id}/download", params={"format": "jsonl"})
    return [json.loads(line) for line in body.text.splitlines()]


def asked(api: EngineApi, file_id: str, **params: Any) -> dict[str, Any]:
    answer = api.client.get(f"/api/v1/rows/{file_id}", params={"format": "object"} | params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def all_of(api: EngineApi, file_id: str, **params: Any) -> list[Row]:
    """Return all rows by following the cursor; every result is looked at once."""
    rows: list[Row] = []
    scanned = 0
    after: int | None = 0
    while after is not None:
        page = asked(api, file_id, after=after, limit=97, **params)
        rows += [item["data"] for item in page["items"]]
        scanned += page["scanned"]
        after = page["next_after"]
    assert scanned == page["total"]
    return rows


def number(row: Row) -> float:
    """NaN, which compares with nothing, if there is none."""
    return float(row["amount"] or "nan")


def test_decimal_commas_compare_as_numbers_where_the_column_has_them(api: EngineApi) -> None:
    data = b'id,amount,code\n1,"10,5","1,234"\n2,9,"2,000"\n3,"1,25","10,000"\n4,,\n'
    file_id = api.run(data)["file_id"]
    page = asked(api, file_id, where="amount > 5")
    assert [item["data"]["id"] for item in page["items"]] == ["1", "2"]
    assert page["decimal_commas"] == ["amount"]
    page = asked(api, file_id, sort="-amount")
    assert [item["data"]["id"] for item in page["items"]] == ["1", "2", "3", "4"]
    assert page["sorted_as"] == "numbers"
    page = asked(api, file_id, sort="code", where="code > 5000")  # thousands, perhaps
    assert (page["items"], page["decimal_commas"], page["sorted_as"]) == ([], [], "numbers")
    page = asked(api, file_id, sort="code")
    assert page["sorted_as"] == "texts"
    path = f"/api/v1/results/{file_id}/download"
    body = api.client.get(path, params={"where": "amount >= 9,0", "columns": "id"}).text
    assert body.split() == ["id", "1", "2"]


def test_filters_return_what_plain_python_does(api: EngineApi) -> None:
    file_id = api.run(TABLE, chunk_size=300)["file_id"]
    rows = downloaded(api, file_id)
    assert len(rows) == 2_000 - 285
    for where, holds in {
        "amount > 12.5": lambda row: number(row) > 12.5,
        "amount <= 0 and name = Ada": lambda row: number(row) <= 0 and row["name"] == "Ada",
        "NAME contains ad": lambda row: "ad" in row["name"].lower(),
        "name = '01234'": lambda row: row["name"] == "01234",
        "name > 5": lambda row: False,
        'name contains "o ""b"" "': lambda row: 'o "b" ' in row["name"].lower(),
        "amount is empty": lambda row: not row["amount"],
        "paid >= 2020-05-15": lambda row: row["paid"] >= "2020-05-15",
        "": lambda row: True,
    }.items():
        assert all_of(api, file_id, where=where) == list(filter(holds, rows)), where
    found = all_of(api, file_id, search="ÖDÖ", columns="paid,id")
    assert found == [
        {"paid": row["paid"], "id": row["id"]} for row in rows if row["name"] == "Ödön"
    ]
    some = asked(api, file_id, rows="3,7,12-15", columns="id")
    assert [item["row_number"] for item in some["items"]] == [3, 12, 13, 15]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "xlsx"])
def test_a_download_has_the_chosen_rows_and_columns(api: EngineApi, form: str) -> None:
    file_id = api.run(TABLE, chunk_size=300)["file_id"]
    rows = downloaded(api, file_id)
    params = {
        "where": "amount > 50",
        "search": "ad",
        "rows": "100-1900",
        "columns": "name,id",
        "format": form,
    }
    answer = api.client.get(f"/api/v1/results/{file_id}/download", params=params)
    expected = [
        [row["name"], row["id"]]
        for row in rows
        if number(row) > 50 and "ad" in row["name"].lower() and 100 <= int(row["id"]) <= 1900
    ]
    assert table_of(answer.content, form) == [["name", "id"], *expected]


def table_of(data: bytes, form: str) -> list[list[Any]]:
    if form == "csv":
        return list(csv.reader(data.decode().splitlines()))
    if form == "jsonl":
        objects = [json.loads(line) for line in data.splitlines()]
        return [list(objects[0]), *(list(row.values()) for row in objects)]
    if form == "parquet":
        table = pyarrow.parquet.read_table(io.BytesIO(data))
        return [table.column_names, *(list(row.values()) for row in table.to_pylist())]
    sheet = python_calamine.load_workbook(io.BytesIO(data)).get_sheet_by_index(0)
    return list(sheet.to_python())


def test_a_sort_returns_the_first_rows_of_the_order(api: EngineApi) -> None:
    file_id = api.run(TABLE, chunk_size=300)["file_id"]
    rows = downloaded(api, file_id)
    most = asked(api, file_id, sort="-amount", where="amount is not empty", limit=50)
    filled = [row for row in rows if row["amount"]]
    expected = sorted(filled, key=lambda row: -float(row["amount"]))[:50]
    assert [item["data"] for item in most["items"]] == expected
    assert (most["sorted_as"], most["matched"], most["next_after"]) == (
        "numbers",
        len(filled),
        None,
    )
    texts = asked(api, file_id, sort="name", only="numbers", limit=10_000)
    assert (texts["sorted_as"], texts["items"]) == ("texts", [])
    order = sorted(rows, key=lambda row: (not row["name"], row["name"].casefold()))
    assert texts["numbers"] == [int(row["id"]) for row in order]


def test_a_sort_ends_when_its_client_leaves(engine: Engine) -> None:
    engine.start()
    file_id, _ = loaded(engine, TABLE, chunk_size=300)
    asked_times = 0

    async def has_left() -> bool:
        nonlocal asked_times
        asked_times += 1
        return True

    async def sort() -> None:
        services = engine.services
        of_job = await find_rows(services.database, services.destinations, file_id, LOCAL_OWNER)
        choice = Choice(tuple(of_job.job.columns))
        await ordered(
            services.database,
            of_job,
            choice,
            column=0,
            descending=False,
            limit=5,
            gone=has_left,
        )

    with pytest.raises(ClientGone):
        engine.run(sort())
    assert asked_times == 1


def test_json_keeps_its_values(api: EngineApi) -> None:
    lines = [
        {"id": 1, "n": 12345678901234567890, "deep": {"a": [1]}},
        {"id": 2, "n": 12345678901234567891},
        {"id": 3, "n": None, "deep": "x"},
    ]
    data = "\n".join(map(json.dumps, lines)).encode()
    file_id = api.run(data, name="a.jsonl")["file_id"]
    found = asked(api, file_id, where="n = 12345678901234567890")
    assert [item["data"] for item in found["items"]] == lines[:1]
    found = asked(api, file_id, sort="-n", format="row", columns="n,deep")
    assert [item["data"]["row"] for item in found["items"]] == [
        [12345678901234567891, None],
        [12345678901234567890, {"a": [1]}],
        [None, "x"],
    ]


def test_the_origin_of_a_row_is_its_line_and_its_bytes(api: EngineApi) -> None:
    job = api.run(TABLE, chunk_size=300)
    assert_origin(api, job, 1_003)
    unknown = api.client.get(f"/api/v1/rows/{job['file_id']}/7")  # a reject
    assert unknown.status_code == 404
    fix = api.client.post(
        f"/api/v1/files/{job['file_id']}/corrections",
        json={"rows": [{"_row": 7, "values": {"name": "Eve", "amount": "1", "paid": ""}}]},
    )
    api.finished(fix.json()["job_id"])
    row = api.client.get(f"/api/v1/rows/{job['job_id']}/7").json()
    assert (row["cells"], row["raw"]) == (["7", "Eve", "1", ""], "7")
    assert row["correction_id"] == fix.json()["job_id"]


def assert_origin(api: EngineApi, job: dict[str, Any], row_number: int) -> None:
    row = api.client.get(f"/api/v1/rows/{job['file_id']}/{row_number}").json()
    line = LINES[row_number - 1].rstrip("\n")
    start = len((HEADER + "".join(LINES[: row_number - 1])).encode())
    assert row["raw"] == line
    assert (row["line"], row["byte_start"], row["byte_end"]) == (
        row_number + 1,
        start,
        start + len(line.encode()),
    )
    assert row["cells"][0] == str(row_number)
    assert row["correction_id"] is None


@pytest.mark.parametrize(
    ("params", "pointer", "words"),
    [
        ({"where": "amont > 5"}, "query/where", "Did you mean amount?"),
        ({"columns": "id,x"}, "query/columns", "no column x"),
        ({"sort": "-x"}, "query/sort", "no column x"),
        ({"rows": "3-1"}, "query/rows", "wrong way round"),
        ({"sort": "id", "after": 5}, "query/after", "begins with the first row"),
        ({"sort": "id", "limit": 5_000}, "query/limit", "at most 1000"),
    ],
)
def test_a_wrong_parameter_is_named(
    api: EngineApi, params: dict[str, Any], pointer: str, words: str
) -> None:
    file_id = api.run(b"id,amount\n1,2\n")["file_id"]
    answer: httpx.Response = api.client.get(f"/api/v1/rows/{file_id}", params=params)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert words in error["detail"]
