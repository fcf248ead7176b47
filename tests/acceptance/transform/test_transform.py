"""The transform endpoints over a real server on both databases; independent programs read the
files, cell by cell.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from decimal import Decimal
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.harness import Api, wait_until
from tests.transform.oracle import HEADER, MAPPING, VALIDATION, dirty_rows, expected

UNKNOWN = "00000000-0000-4000-8000-000000000000"
ROWS = dirty_rows(1_500, 11)
EXPECTED = expected(ROWS)
NAMES = [column["name"] for column in MAPPING["columns"]]


def as_csv(rows: list[list[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=";", lineterminator="\n").writerows([HEADER, *rows])
    return out.getvalue().encode()


@pytest.fixture
def upload(api: Api) -> str:
    return str(api.upload(as_csv(ROWS), delimiter=";")["file_id"])


def submit(api: Api, file_id: str, **body: Any) -> str:
    answer = api.client.post(
        "/api/v1/jobs/transform?fresh=true", json={"input_file_id": file_id, **body}
    )
    assert answer.status_code == 202, answer.text
    assert answer.json()["message"] == "Transform job created and queued"
    return str(answer.json()["job_id"])


def ended(api: Api, job_id: str) -> dict[str, Any]:
    def final() -> dict[str, Any] | None:
        status = dict(api.client.get(f"/api/v1/jobs/{job_id}/status").json())
        return None if status["is_active"] else status

    return wait_until(final, 60, f"end of {job_id}") or {}


def transformed(api: Api, file_id: str, **body: Any) -> tuple[str, bytes]:
    """(job, file)"""
    job_id = submit(api, file_id, **body)
    status = ended(api, job_id)
    assert status["status"] == "completed", status
    answer = api.client.get(f"/api/v1/files/{status['result_file_id']}/download")
    assert answer.status_code == 200
    return job_id, answer.content


def result(api: Api, job_id: str) -> dict[str, Any]:
    return dict(api.client.get(f"/api/v1/jobs/{job_id}/result").json()["result"])


def texts(row: list[Any]) -> list[str]:
    """As CSV has them."""
    return ["" if v is None else str(v).lower() if isinstance(v, bool) else str(v) for v in row]


def refused(api: Api, file_id: str, **body: Any) -> list[tuple[str, str]]:
    answer = api.client.post("/api/v1/jobs/transform", json={"input_file_id": file_id, **body})
    assert answer.status_code == 422, answer.text
    return [(error["pointer"], error["detail"]) for error in answer.json()["errors"]]


def in_a_sheet(value: Any) -> Any:
    """As a workbook has it: numbers of 15 digits and booleans as such, no cell for empty text."""
    if isinstance(value, int) and abs(value) >= 10**15:
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    if value in (None, ""):
        return None
    return value if isinstance(value, bool | int) else texts([value])[0]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "arrow", "xlsx"])
def test_every_cell_agrees_with_an_independent_program(api: Api, upload: str, form: str) -> None:
    """Dirty rows in 15 chunks, values that repeat across them, and the same rejects with their
    lines.
    """
    job_id, data = transformed(
        api, upload, mapping=MAPPING, validation=VALIDATION, output_format=form, chunk_size=100
    )
    if form == "csv":
        assert list(csv.reader(io.StringIO(data.decode(), newline=""))) == [
            NAMES,
            *map(texts, EXPECTED.rows),
        ]
    elif form == "jsonl":
        lines = [json.loads(line, parse_float=Decimal) for line in data.decode().splitlines()]
        assert [list(line) for line in lines] == [NAMES] * len(EXPECTED.rows)
        assert [list(line.values()) for line in lines] == [
            [v.isoformat() if hasattr(v, "isoformat") else v for v in row] for row in EXPECTED.rows
        ]
    elif form == "xlsx":
        sheet = openpyxl.load_workbook(io.BytesIO(data), read_only=True).active
        rows = [[*row, *[None] * (len(NAMES) - len(row))] for row in sheet.values]
        assert rows == [NAMES, *([in_a_sheet(v) for v in row] for row in EXPECTED.rows)]
    else:
        source_of_table = io.BytesIO(data)
        table = (
            pq.read_table(source_of_table)
            if form == "parquet"
            else pa.ipc.open_stream(source_of_table).read_all()
        )
        assert [
            str(table.schema.field(name).type) for name in ("id", "born", "price", "total", "big")
        ] == ["int64", "date32[day]", "decimal128(38, 2)", "decimal128(38, 2)", "bool"]
        assert [list(row.values()) for row in table.to_pylist()] == EXPECTED.rows
    rejects = api.rejects(job_id)
    assert {
        reject["row_number"]: (reject["column"], reject["code"]) for reject in rejects
    } == EXPECTED.rejects
    source = as_csv(ROWS)
    for each in rejects:
        raw = source[each["byte_start"] : each["byte_end"]]
        assert (
            next(csv.reader(io.StringIO(raw.decode(), newline=""), delimiter=";"))
            == ROWS[each["row_number"] - 1]
        )
        assert source[: each["byte_start"]].count(b"\n") == each["line"] - 1
    repeated = [reject for reject in rejects if reject["code"] == "not_unique"]
    assert len(repeated) > 20
    assert all(each["value"] == ROWS[each["row_number"] - 1][0] for each in repeated)
    firsts = {row[0]: number for number, row in zip(EXPECTED.numbers, EXPECTED.rows, strict=True)}
    assert all(
        each["message"].startswith(f"Row {firsts[int(each['value'])]} ") for each in repeated
    )
    proof = api.proof(job_id)
    assert proof["closes"], proof["problems"]
    assert proof["rows"]["ok"] == len(EXPECTED.rows)


def test_a_dry_run_counts_what_the_real_run_counts(api: Api, upload: str) -> None:
    given = {"mapping": MAPPING, "validation": VALIDATION, "chunk_size": 100}
    real, data = transformed(api, upload, **given)
    dry = submit(api, upload, dry_run=True, **given)
    assert ended(api, dry)["result_file_id"] is None
    first, found = result(api, real), result(api, dry)
    assert first["output"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert (found["dry_run"], found["output"]) == (True, None)
    for name in ("rows", "rejected_by_code", "columns", "preview", "rejects"):
        assert found[name] == first[name], name
    assert found["rows"] == {
        "total": len(ROWS),
        "ok": len(EXPECTED.rows),
        "rejected": len(EXPECTED.rejects),
    }
    assert [each["row_number"] for each in found["preview"]] == EXPECTED.numbers[:20]

    body = {
        "input_file_id": upload,
        "mapping": MAPPING,
        "validation": VALIDATION,
        "dry_run": True,
        "sample_rows": 400,
    }
    answer = api.client.post("/api/v1/jobs/transform", json=body)
    assert answer.status_code == 200
    sample, wanted = answer.json(), expected(ROWS[:400])
    assert "not_unique" in sample["rejected_by_code"]
    assert sample["rejected_by_code"] == Counter(code for _, code in wanted.rejects.values())
    assert sample["rows"] == {"total": 400, "ok": len(wanted.rows), "rejected": len(wanted.rejects)}
    assert [
        (reject["row_number"], reject["column"], reject["code"]) for reject in sample["rejects"]
    ] == [(number, *told) for number, told in wanted.rejects.items()][:20]
    assert sample["preview"] == found["preview"]


def test_a_file_is_downloaded_whole_and_in_ranges(api: Api, upload: str) -> None:
    _, data = transformed(api, upload, mapping={"others": "keep", "drop": ["Code"]})
    job_id, again = transformed(api, upload, mapping={"others": "keep", "drop": ["Code"]})
    assert again == data
    file_id = ended(api, job_id)["result_file_id"]
    url = f"/api/v1/files/{file_id}/download"
    head = api.client.head(url)
    tag = head.headers["etag"]
    assert tag == f'"{hashlib.sha256(data).hexdigest()}"'
    assert (head.content, head.headers["content-length"]) == (b"", str(len(data)))
    assert head.headers["content-disposition"].startswith(
        'attachment; filename="data.transformed.csv"'
    )

    def get(**headers: str) -> tuple[int, bytes]:
        answer = api.client.get(
            url, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        return answer.status_code, answer.content

    size = len(data)
    assert get(range="bytes=10-19") == (206, data[10:20])
    assert get(range=f"bytes={size - 5}-") == (206, data[-5:])
    assert get(range="bytes=-7") == (206, data[-7:])
    assert get(range="bytes=0-99999999") == (206, data)
    assert get(range="bytes=10-19", if_range=tag) == (206, data[10:20])
    assert get(range="bytes=10-19", if_range='"another"') == (200, data)
    assert get(range="bytes=9-3") == (200, data)  # an invalid range is ignored
    assert get(range="lines=1-2") == (200, data)
    assert get(if_none_match=f'"x", {tag}') == (304, b"")
    assert get(if_none_match='"x"')[0] == 200
    beyond = api.client.get(url, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert beyond.json()["code"] == "range_not_satisfiable"
    parts = api.client.get(url, headers={"Range": "bytes=0-3,8-9"})
    assert parts.status_code == 206
    assert parts.headers["content-type"].startswith("multipart/byteranges")
    assert api.client.get(f"/api/v1/files/{UNKNOWN}/download").status_code == 404
    assert api.client.get(f"/api/v1/files/{upload}/download").content == as_csv(ROWS)


def test_the_output_of_a_transform_is_an_ordinary_file(api: Api) -> None:
    """Transformed again, analysed, and kept after its input was deleted; Parquet is refused where
    rows are read.
    """
    upload = str(api.upload(b'id,note\n1,"a, b"\n2,""\n3,c\n')["file_id"])
    job_id, data = transformed(
        api, upload, mapping={"columns": [{"name": "note,x", "from": "note"}]}, output_format="csv"
    )
    assert data == b'"note,x"\n"a, b"\n""\nc\n'
    made = ended(api, job_id)["result_file_id"]
    steps = [{"operation": "default", "value": "-"}]
    _, lines = transformed(
        api,
        made,
        mapping={"columns": [{"name": "n", "from": "note,x", "steps": steps}]},
        output_format="jsonl",
    )
    assert lines == b'{"n":"a, b"}\n{"n":"-"}\n{"n":"c"}\n'
    assert api.client.delete(f"/api/v1/files/{upload}").status_code == 204
    assert api.client.get(f"/api/v1/files/{made}/download").content == data
    answer = api.client.post("/api/v1/jobs/analyze", json={"file_id": made})
    status = ended(api, answer.json()["job_id"])
    assert result(api, status["id"])["rows"]["total"] == 3
    packed = submit(api, made, mapping={"others": "keep"}, output_format="parquet")
    parquet = ended(api, packed)["result_file_id"]
    refusal = api.client.post("/api/v1/jobs/analyze", json={"file_id": parquet})
    assert (refusal.status_code, refusal.json()["code"]) == (415, "not_rows")
    assert api.client.delete(f"/api/v1/files/{made}").status_code == 204
    assert api.client.get(f"/api/v1/files/{made}/download").status_code == 404


def test_json_keeps_its_digits(api: Api) -> None:
    data = (
        b'[{"id": 12345678901234567890, "x": 1.10, "t": true, "l": [1, "\\u00e9"]},\n'
        b' {"id": 0.1e1, "x": null, "t": "a\\"\\n"}, {"x": "007"}]'
    )
    upload = str(api.upload(data, name="data.json", type="application/json")["file_id"])
    columns = [{"name": name, "from": name} for name in ("id", "x", "t", "l")]
    columns[1] = {"name": "x", "from": "x", "steps": [{"operation": "cast", "to": "number"}]}  # type: ignore[dict-item]
    job_id, lines = transformed(api, upload, mapping={"columns": columns}, output_format="jsonl")
    assert [json.loads(line, parse_float=str) for line in lines.splitlines()] == [
        {"id": "12345678901234567890", "x": "1.10", "t": "true", "l": '[1, "\\u00e9"]'},
        {"id": "0.1e1", "x": None, "t": 'a"\n', "l": None},
    ]
    assert [
        (reject["row_number"], reject["code"], reject["value"]) for reject in api.rejects(job_id)
    ] == [(3, "not_a_number", "007")]


def test_a_template_runs_once_it_is_decided(api: Api, upload: str) -> None:
    """From a proposed mapping: its steps are those of a transform."""
    columns: list[dict[str, Any]] = [
        {"reference_column": "full_name", "input_columns": ["First", "Last"],
         "conversion": [{"operation": "join", "separator": "-"}, {"operation": "case", "to": "lower"}]},
        {"reference_column": "birthday", "input_columns": ["Born"],
         "conversion": [{"operation": "date_format", "to": "%Y/%m/%d", "from": None, "decide": True, "readings": []}]},
        {"reference_column": "nothing", "input_columns": [], "conversion": []},
    ]  # fmt: skip
    template = api.client.post("/api/v1/templates", json={"name": "t", "columns": columns}).json()[
        "template_id"
    ]
    [(pointer, told)] = refused(api, upload, template_id=template)
    assert (pointer, "decided" in told) == ("template/columns/1/conversion/0", True)
    columns[1]["conversion"] = [{"operation": "date_format", "to": "%Y/%m/%d", "from": "%d.%m.%Y"}]
    api.client.put(f"/api/v1/templates/{template}", json={"columns": columns})
    job_id, by_template = transformed(api, upload, template_id=template)
    assert ended(api, job_id)["template_id"] == template
    assert by_template == transformed(api, upload, mapping={"columns": columns})[1]
    rows = list(csv.reader(io.StringIO(by_template.decode(), newline="")))
    assert rows[0] == ["full_name", "birthday", "nothing"]
    assert rows[1][0] == "-".join(part for part in ROWS[0][1:3] if part).lower()
    assert refused(api, upload, template_id=template, mapping=MAPPING)
    unknown = api.client.post(
        "/api/v1/jobs/transform", json={"input_file_id": upload, "template_id": UNKNOWN}
    )
    assert unknown.status_code == 404


@pytest.mark.one_database
def test_an_invalid_specification_is_refused_with_every_location(api: Api, upload: str) -> None:
    columns = [
        {"name": "a", "from": "Pricee"},
        {"name": "b", "expression": "number(Price) + Country"},
        {
            "name": "c",
            "from": "Born",
            "steps": [{"operation": "trim"}, {"operation": "format_date", "format": "%Y"}],
        },
        {"name": "d", "from": ["First", "Last"]},
        {"name": "a", "constant": 1},
    ]
    rules = {"columns": {"bb": {"unique": True}, "a": {"max": 5}}, "checks": [{"expression": "a"}]}
    found = dict(refused(api, upload, mapping={"columns": columns}, validation=rules))
    assert "Did you mean `Price`?" in found["mapping/columns/0/from"]
    assert "takes numbers, but this is text" in found["mapping/columns/1/expression"]
    assert "parse it first" in found["mapping/columns/2/steps/1"]
    assert "`join`" in found["mapping/columns/3/steps"]
    assert "twice" in found["mapping/columns"]
    assert found.keys() >= {"validation/columns/bb", "validation/checks/0/expression"}
    wrong: list[dict[str, Any]] = [
        {"mapping": {"columns": [{"name": "x", "from": "Born", "steps": [{"operation": "explode"}]}]}},
        {"mapping": {"columns": [{"name": "x", "from": "Born", "constant": 1}]}},
        {"mapping": {"columns": [{"name": "x", "from": "Born", "steps": [{"operation": "cast", "to": "decimal"}]}]}},
        {"mapping": {"columns": [{"name": "x", "from": "Born"}]}, "sample_rows": 5},
        {"mapping": {"columns": [{"name": "x", "from": "Born\x00"}]}},
        {"mapping": {"columns": []}},
        {"mapping": MAPPING, "output_format": "ods"},
        {"mapping": MAPPING, "validation": {"columns": {"price": {"min": "x"}}}},
        {"mapping": MAPPING, "validation": {"columns": {"name": {"pattern": "(a)\\1"}}}},
        {"mapping": {"columns": [{"name": "x", "from": "Born", "steps": [
            {"operation": "replace", "find": "(?=a)", "by": "", "regex": True}]}]}},
        {},
    ]  # fmt: skip
    for body in wrong:
        assert refused(api, upload, **body), body
    unknown = api.client.post(
        "/api/v1/jobs/transform", json={"input_file_id": UNKNOWN, "mapping": MAPPING}
    )
    assert unknown.status_code == 404
    bare = api.client.post("/api/v1/upload", params={"processor": "transform"}, content=b"a\n1\n")
    assert bare.status_code == 422


def test_a_file_without_valid_rows_is_only_a_header(api: Api) -> None:
    upload = str(api.upload(b"id,name\nx,y\n")["file_id"])
    columns = [{"name": "id", "from": "id", "steps": [{"operation": "cast", "to": "integer"}]}]
    for form, whole in (("csv", b"id\n"), ("jsonl", b"")):
        assert (
            transformed(api, upload, mapping={"columns": columns}, output_format=form)[1] == whole
        )
    packed = transformed(api, upload, mapping={"columns": columns}, output_format="parquet")[1]
    assert pq.read_table(io.BytesIO(packed)).num_rows == 0


def grown(*counts: int) -> list[dict[str, Any]]:
    return [{"operation": "replace", "find": "x", "by": "x" * count} for count in counts]


@pytest.mark.one_database
def test_rows_with_values_too_long_are_rejected_and_the_others_pass(
    api: Api,
) -> None:
    """A small document that asks for 2 GB a column: a value over the limit is never built."""
    lines = [f"{i},{'x' * 20 if i % 2 else 'short'}" for i in range(100)]
    file_id = api.upload(("id,word\n" + "\n".join(lines) + "\n").encode())["file_id"]
    columns = [{"name": f"c{i}", "from": "word", "steps": grown(100, 100, 100)} for i in range(3)]
    mapping = {"columns": [{"name": "id", "from": "id"}, *columns]}
    job_id, data = transformed(api, file_id, mapping=mapping)
    assert data.decode().splitlines() == [
        "id,c0,c1,c2",
        *(f"{i},short,short,short" for i in range(0, 100, 2)),
    ]
    rejects = api.rejects(job_id)
    assert [(reject["row_number"], reject["column"], reject["code"]) for reject in rejects] == [
        (i + 1, "c0", "value_too_long") for i in range(1, 100, 2)
    ]
    assert api.proof(job_id)["closes"]
    body = {"input_file_id": file_id, "mapping": mapping, "dry_run": True, "sample_rows": 100}
    sample = api.client.post("/api/v1/jobs/transform", json=body).json()
    assert sample["rows"] == {"total": 100, "ok": 50, "rejected": 50}


@pytest.mark.one_database
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_chunk_that_grows_large_is_written_in_batches(api: Api, form: str) -> None:
    """1500 rows of 60 kB, more than fits in memory: each of them is written, in order."""
    lines = [f"{i},{'x' * (i % 7)}" for i in range(1500)]
    file_id = api.upload(("id,word\n" + "\n".join(lines) + "\n").encode())["file_id"]
    columns = [
        {"name": "id", "from": "id", "steps": [{"operation": "cast", "to": "integer"}]},
        {"name": "long", "from": "word", "steps": grown(100, 100)},
    ]
    rules = {"columns": {"id": {"unique": True}}}
    _, data = transformed(
        api, file_id, mapping={"columns": columns}, output_format=form, validation=rules
    )
    if form == "parquet":
        rows = [list(row.values()) for row in pq.read_table(io.BytesIO(data)).to_pylist()]
    else:
        rows = [
            [int(line[0]), line[1]] for line in list(csv.reader(io.StringIO(data.decode())))[1:]
        ]
    assert [(number, len(text)) for number, text in rows] == [
        (i, i % 7 * 10_000) for i in range(1500)
    ]


RAGGED = b'a,b\n1,2\n3,4,five,six\n7\n8,9,,\n10,11,"tw,elve"\n' + b"13,14\n" * 300 + b"15,16,17\n"


@pytest.mark.one_database
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_cell_beyond_the_header_is_kept_by_name_or_its_row_is_rejected(
    api: Api, form: str
) -> None:
    """on_bad_row=keep keeps such cells; no transform that keeps all others loses one. In four
    chunks, most without any.
    """
    file_id = api.upload(RAGGED, on_bad_row="keep")["file_id"]
    keep_all = {"columns": [{"name": "x", "from": "a"}], "others": "keep"}

    def rows(mapping: dict[str, Any]) -> tuple[dict[int, tuple[str, str, str]], list[list[Any]]]:
        job_id, data = transformed(
            api, file_id, mapping=mapping, output_format=form, chunk_size=100
        )
        dry = submit(
            api, file_id, mapping=mapping, output_format=form, chunk_size=100, dry_run=True
        )
        ended(api, dry)
        rejects = {
            reject["row_number"]: (reject["code"], reject["value"], reject["raw"])
            for reject in api.rejects(job_id)
        }
        assert result(api, dry)["rejected_by_code"] == Counter(
            code for code, _, _ in rejects.values()
        )
        assert api.proof(job_id)["closes"]
        if form == "parquet":
            return rejects, [
                list(row.values()) for row in pq.read_table(io.BytesIO(data)).to_pylist()
            ]
        if form == "jsonl":
            return rejects, [list(json.loads(line).values()) for line in data.splitlines()]
        return rejects, [
            [cell or None for cell in row]
            for row in list(csv.reader(io.StringIO(data.decode())))[1:]
        ]

    rejects, made = rows(keep_all)
    assert rejects == {
        2: ("extra_cells", "five", "3,4,five,six"),
        5: ("extra_cells", "tw,elve", '10,11,"tw,elve"'),
        306: ("extra_cells", "17", "15,16,17"),
    }
    assert made[:3] == [["1", "2"], ["7", None], ["8", "9"]]
    assert len(made) == 303

    named = {
        "columns": [*keep_all["columns"], {"name": "more", "from": "column_3"}],
        "others": "keep",
    }
    rejects, made = rows(named)
    assert rejects == {2: ("extra_cells", "six", "3,4,five,six")}
    assert made[-1] == ["15", "17", "16"]
    assert [row for row in made if row[1]] == [["10", "tw,elve", "11"], ["15", "17", "16"]]

    rejects, made = rows({**named, "drop": ["column_4"]})
    assert (rejects, made[1]) == ({}, ["3", "five", "4"])
    joined_up = [{"name": "all", "expression": "concat(b, '/', column_3, '/', column_4)"}]
    rejects, made = rows({"columns": joined_up})
    assert (rejects, made[0], made[1], made[-1]) == ({}, ["2//"], ["4/five/six"], ["16/17/"])


@pytest.mark.one_database
def test_a_cell_beyond_the_header_has_no_name_where_rows_cannot_have_any(api: Api) -> None:
    file_id = api.upload(RAGGED)["file_id"]
    ((pointer, detail),) = refused(
        api, file_id, mapping={"columns": [{"name": "x", "from": "column_3"}]}
    )
    assert pointer == "mapping/columns/0/from"
    assert "no column `column_3`" in detail
    kept = api.upload(b"a,column_3\n1,2,3\n", on_bad_row="keep")["file_id"]
    body = {"input_file_id": kept, "dry_run": True, "sample_rows": 10}
    columns = [{"name": "x", "from": "column_3"}, {"name": "y", "from": "column_3_2"}]
    sample = api.client.post(
        "/api/v1/jobs/transform", json=body | {"mapping": {"columns": columns}}
    ).json()
    assert [row["data"] for row in sample["preview"]] == [["2", "3"]]


@pytest.mark.one_database
def test_a_text_too_long_for_a_worksheet_is_a_reject_of_a_workbook_alone(api: Api) -> None:
    longest = "x" * 32_767
    file_id = api.upload(f"id,word\n1,{longest}\n2,{longest}x\n".encode())["file_id"]
    job_id, data = transformed(api, file_id, mapping={"others": "keep"}, output_format="xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(data), read_only=True).active
    assert [len(row[1]) for row in sheet.values] == [4, 32_767]
    assert [(r["column"], r["code"]) for r in api.rejects(job_id)] == [("word", "value_too_long")]
    assert transformed(api, file_id, mapping={"others": "keep"})[1].count(b"\n") == 3
