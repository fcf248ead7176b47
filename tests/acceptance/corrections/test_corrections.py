"""Corrected rejects are loaded, and afterwards the job equals that of a clean file."""

from __future__ import annotations

import csv
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.checks import assert_problem
from tests.corrections.tables import (
    assert_equal_tables,
    ended,
    fixed,
    patch,
    reject_file,
    send,
    table,
    written,
)
from tests.forks import Server
from tests.harness import Api, wait_until

ROWS = 250
CLEAN = [
    [str(i), f"näme {i}", f'say "{i}", or\nnot' if i % 50 == 3 else str(i * 7)]
    for i in range(1, ROWS + 1)
]


def csv_of(rows: list[list[str]], encoding: str = "utf-8") -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["id", "name", "value"], *rows])
    return out.getvalue().encode(encoding)


def dirty() -> bytes:
    """CLEAN with every eleventh row broken, in five ways: 22 rejects in three chunks."""
    out = b"id,name,value\n"
    for row in CLEAN:
        number, line = int(row[0]), csv_of([row]).split(b"\n", 1)[1]
        if number % 11 == 0:
            line = [
                b"%d,short\n" % number,
                b"%d,too,long,by,far\n" % number,
                b'%d,a"quote,1\n' % number,
                b"%d,\xff\xfe,1\n" % number,
                b'%d,nul\0,"1"\n' % number,
            ][number // 11 % 5]
        out += line
    return out


def truth(line: dict[str, str]) -> dict[str, str]:
    """What the row should have been."""
    return line | dict(zip(("id", "name", "value"), CLEAN[int(line["_row"]) - 1], strict=True))


def test_repeated_corrections_give_the_rows_of_a_clean_upload(server: Server, api: Api) -> None:
    job = api.run(dirty(), chunk_size=100)
    assert job["rows"] == {
        "total": ROWS,
        "ok": ROWS - 22,
        "invalid": 22,
        "failed": 0,
        "unprocessed": 0,
    }

    # The first half: the rest is left out, one line is still wrong, and one is unchanged.
    def half(line: dict[str, str]) -> dict[str, str] | None:
        number = int(line["_row"])
        if number == 22:
            return line
        return None if number > 121 else line | {"name": "nul\0"} if number == 33 else truth(line)

    answer = send(api, job["file_id"], fixed(api, job["file_id"], half))
    assert (answer.json()["rows"], answer.json()["unchanged"]) == (10, 1)
    correction = ended(api, answer)
    assert (correction["status"], correction["parent_id"]) == (
        "completed_with_errors",
        job["job_id"],
    )
    assert correction["rows"] == {"total": 10, "ok": 9, "invalid": 1, "failed": 0, "unprocessed": 0}
    status = api.status(job["file_id"])
    assert status["status"] == "completed_with_errors"
    assert status["rows"]["ok"] == ROWS - 13
    assert status["corrections"] == {"accepted": 1, "rows": 9}
    assert api.proof(job["file_id"])["closes"]
    assert api.proof(correction["file_id"])["closes"]
    left = api.rejects(job["file_id"])
    assert [r["row_number"] for r in left] == [22, 33, *range(132, ROWS, 11)]
    assert (left[1]["code"], left[1]["raw"]) == ("nul_character", "33,nul\0,1")
    assert [r["row_number"] for r in api.rejects(correction["file_id"])] == [33]

    # The second half, as a spreadsheet would save it: other order of lines and columns, semicolons,
    # CR LF, a byte order mark, blanks.
    header, lines = reject_file(api, job["file_id"])
    turned = [
        "_row",
        *reversed([name for name in header if name not in ("_row", "_line", "_code")]),
    ]
    body = written(
        turned, [truth(line) for line in reversed(lines)], delimiter=";", quoting=csv.QUOTE_ALL
    )
    body = b"\xef\xbb\xbf" + body + b";;;;;\r\n"
    assert ended(api, send(api, job["file_id"], body))["status"] == "completed"
    clean = api.run(csv_of(CLEAN), chunk_size=100)
    assert_equal_tables(server, api, job, clean)
    assert api.status(job["file_id"])["corrections"] == {"accepted": 2, "rows": 22}
    assert len(reject_file(api, job["file_id"])[1]) == 0


def test_json_records_with_any_values_are_corrected_in_place(server: Server, api: Api) -> None:
    good = [f'{{"a": {i}, "b": "text {i}"}}' for i in range(1, 231)]
    good[6] = '{"a": 7,\n   "c": [1.10, {"d": "\\u001e"}]}'
    bad = list(good)
    bad[0], bad[6], bad[150], bad[229] = '{"a": 1, "a": 2}', '"text"', '{"a": NaN}', '{"a": 1e999}'
    job = api.run(
        f"[{','.join(bad)}]".encode(), name="data.json", type="application/json", chunk_size=100
    )
    assert job["rows"]["invalid"] == 4

    def fix(line: dict[str, str]) -> dict[str, str]:
        wrong = {7: '{"a": "x\ny"}', 151: "{\x1e}", 230: ""}
        return line | {"_record": wrong.get(int(line["_row"]), good[int(line["_row"]) - 1])}

    assert (
        ended(api, send(api, job["file_id"], fixed(api, job["file_id"], fix)))["rows"]["invalid"]
        == 3
    )
    rejects = api.rejects(job["file_id"])
    assert [(r["row_number"], r["raw"]) for r in rejects] == [
        (7, '{"a": "x\ny"}'),
        (151, "{\x1f}"),
        (230, ""),
    ]

    record = {"_row": 7, "record": good[6]}
    assert ended(api, patch(api, job["file_id"], record))["status"] == "completed"
    fixing = fixed(
        api, job["file_id"], lambda line: line | {"_record": good[int(line["_row"]) - 1]}
    )
    assert ended(api, send(api, job["file_id"], fixing))["status"] == "completed"
    clean = api.run(
        f"[{','.join(good)}]".encode(), name="data.json", type="application/json", chunk_size=100
    )
    assert_equal_tables(server, api, job, clean)


def test_corrected_texts_get_their_sentiments_in_the_batch(server: Server, api: Api) -> None:
    texts = ["good", "bad", "a lovely day", "awful, really", "chair"]

    def batch(rows: list[str]) -> dict[str, Any]:
        body = ("text,id\n" + "".join(rows)).encode()
        answer = api.client.post(
            "/batch/upload", params={"chunk_size": 100}, files={"file": ("b.csv", body)}
        )
        assert answer.status_code == 200, answer.text
        api.finished(answer.json()["file_id"])
        return dict(answer.json())

    good = [f'"{texts[i % 5]}",{i}\n' for i in range(1, 151)]
    bad = [
        f"{texts[i % 5].split(',')[0]},{i},more\n" if i % 30 == 0 else row
        for i, row in enumerate(good, 1)
    ]
    job, clean = batch(bad), batch(good)
    url = f"/batch/{job['batch_id']}"
    assert api.client.get(url).json()["rejected_count"] == 5
    assert (
        send(api, job["file_id"], fixed(api, job["file_id"], lambda line: line)).status_code == 422
    )
    fixing = fixed(
        api, job["file_id"], lambda x: x | {"text": texts[int(x["_row"]) % 5], "id": x["_row"]}
    )
    ended(api, send(api, job["file_id"], fixing))
    assert_equal_tables(server, api, job, clean)
    found, wanted = (api.client.get(f"/batch/{each['batch_id']}").json() for each in (job, clean))
    for what in ("status", "processed_count", "rejected_count", "summary", "progress_percent"):
        assert found[what] == wanted[what], what


def test_corrections_update_imported_records_and_vectors(server: Server, api: Api) -> None:
    def person(i: int, email: str, age: str) -> str:
        return f"Person {i},{email},{age},Sales\n"

    def run(rows: list[str], **params: Any) -> dict[str, Any]:
        body = ("name,email,age,department\n" + "".join(rows)).encode()
        answer = api.client.post(
            "/api/upload",
            params={"chunk_size": 100, **params},
            files={"file": ("people.csv", body, "text/csv")},
        )
        assert answer.status_code == 201, answer.text
        api.finished(answer.json()["file_id"])
        wait_until(lambda: vectors(answer.json())["status"] == "ready", 30, "the vectors")
        return dict(answer.json())

    def vectors(of: dict[str, Any]) -> dict[str, Any]:
        return dict(
            api.client.get(f"/api/imports/{of['id']}", params={"limit": 1}).json()["vectors"]
        )

    good = [person(i, f"p{i}@example.org", str(20 + i % 50)) for i in range(1, 151)]
    bad = list(good)
    bad[0], bad[99], bad[149] = person(1, "nobody", "old"), person(100, "p", "30"), "short\n"
    job, clean = run(bad), run(good)
    assert api.status(job["file_id"])["summary"]["errors"]
    first = {"_row": 1, "values": {"email": "p1@example.org"}}
    assert ended(api, patch(api, job["file_id"], first))["rows"]["invalid"] == 1
    assert api.status(job["file_id"])["summary"] == {
        "valid": 147,
        "invalid": 2,
        "errors": invalid_codes(api, job, 2),
    }
    names = ("name", "email", "age", "department")

    def fix(line: dict[str, str]) -> dict[str, str]:
        return line | dict(zip(names, good[int(line["_row"]) - 1].strip().split(","), strict=True))

    assert (
        ended(api, send(api, job["file_id"], fixed(api, job["file_id"], fix)))["status"]
        == "completed"
    )
    wait_until(
        lambda: vectors(job) == {"status": "ready", "total": 150, "ready": 150, "error": None},
        30,
        "the vectors",
    )
    assert_equal_tables(server, api, job, clean)
    columns = "row_number, model, text_hash, vector"
    found, wanted = (
        table(server, "record_vectors", columns, each["job_id"]) for each in (job, clean)
    )
    assert found == wanted
    search = {"import_id": job["id"], "query": "Person 100", "limit": 200}
    hits = api.client.post("/api/records/search", json=search).json()["records"]
    assert sorted(hit["row_number"] for hit in hits) == list(range(1, 151))


def invalid_codes(api: Api, job: dict[str, Any], limit: int) -> dict[str, int]:
    """Return the count of each error, from the invalid records themselves."""
    found = api.client.post(
        "/api/records/search", json={"import_id": job["id"], "status": "invalid"}
    ).json()["records"]
    assert len(found) == limit
    codes: dict[str, int] = {}
    for record in found:
        for error in record["errors"]:
            codes[error["code"]] = codes.get(error["code"], 0) + 1
    return codes


@pytest.mark.parametrize(
    ("body", "code", "problem"),
    [
        (b"id,name,value,_row\n1,a,b,1\n", "correction_invalid", "not_rejected"),
        (b"id,name,value,_row\n1,a,b,999\n", "correction_invalid", "not_rejected"),
        (b"id,name,value,_row\n1,a,b,2\n1,a,c,2\n", "correction_invalid", "row_twice"),
        (b"id,name,value,_row\n1,a,b,\n", "correction_invalid", "no_row_number"),
        (b"id,name,value,_row\n1,a,b,-2\n", "correction_invalid", "no_row_number"),
        (b"id,name,value,_row\n1,a,b,2,more\n", "correction_invalid", "column_count"),
        (b'id,name,value,_row\n1,"a"b,b,2\n', "correction_invalid", None),
        (b"id,name,value\n1,a,b\n", "correction_columns", None),
        (b"id,name,_row\n1,a,2\n", "correction_columns", None),
        (b"id,name,value,other,_row\n1,a,b,c,2\n", "correction_columns", None),
        (b"id,name,value,name,_row\n1,a,b,c,2\n", "correction_columns", None),
        (b"id,name,value,_row\n", "nothing_corrected", None),
        (b"2,x,,2", "correction_columns", None),
        (b"", "correction_columns", None),
    ],
)
def test_an_ambiguous_correction_is_refused_as_a_whole(
    server: Server, api: Api, body: bytes, code: str, problem: str | None
) -> None:
    job = api.run(b"id,name,value\n1,a,1\n2,x\n3,c,3\n4,y\n")
    if problem:  # one valid row besides the wrong one
        body += b"4,y,4,4\n"
    found = assert_problem(send(api, job["file_id"], body), 422, code)
    if problem:
        assert [error["code"] for error in found["errors"]] == [problem]
    assert api.status(job["file_id"])["rows"] == job["rows"]
    assert api.status(job["file_id"])["corrections"] == {"accepted": 0, "rows": 0}


def test_jobs_without_stored_rows_refuse_corrections(server: Server, api: Api) -> None:
    body = b"id,name,_row\n2,x,2\n"
    file_id = api.run(b"id,name\n1,a\n2\n")["file_id"]
    analysis = api.client.post("/api/v1/jobs/analyze", json={"file_id": file_id}).json()["job_id"]
    api.finished(analysis)
    assert_problem(send(api, analysis, body), 409, "not_correctable")
    correction = ended(api, send(api, file_id, body))
    assert_problem(send(api, correction["file_id"], body), 409, "not_correctable")
    assert_problem(send(api, "0b2dbd1c-3f3b-4f3b-8f3b-0b2dbd1c3f3b", body), 404, "not_found")
    assert api.client.delete(f"/api/v1/files/{file_id}").status_code == 204
    assert_problem(api.client.get(f"/api/v1/status/{correction['file_id']}"), 404, "not_found")


def test_patched_cells_change_and_the_others_keep_their_bytes(server: Server, api: Api) -> None:
    long = "x" * 100_000
    job = api.run(f'id,name,value\n1,{long},"2\n2,a\n3,b"c,4\n'.replace(',"2\n', ",2,3\n").encode())
    assert [r["row_number"] for r in api.rejects(job["file_id"])] == [1, 2, 3]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"_row": 4, "values": {"id": "1"}}, "not_rejected"),
        ({"_row": 1, "values": {"nothing": "1"}}, "cannot_patch"),
        ({"_row": 1, "values": {"id": 1}}, "cannot_patch"),
        ({"_row": 1, "record": "{}"}, "cannot_patch"),
        ({"_row": 2, "values": {"id": "2"}}, "cannot_patch"),  # it has too few cells
        ({"_row": 3}, "cannot_patch"),  # it has a quote in the wrong place
    ]
    for row, code in wrong:
        problem = assert_problem(patch(api, job["file_id"], row), 422, "correction_invalid")
        assert problem["errors"][0]["code"] == code
    bodies: tuple[object, ...] = ({"rows": []}, {"rows": [{"row": 1}]}, {}, [1])
    for body in bodies:
        answer = api.client.post(f"/api/v1/files/{job['file_id']}/corrections", json=body)
        assert_problem(answer, 422, "invalid_parameter")
    rows: list[dict[str, Any]] = [
        {"_row": 1, "values": {"value": "2"}},
        {"_row": 2, "values": {"value": "é"}},
        {"_row": 3, "values": {"name": 'b"c'}},
    ]
    assert ended(api, patch(api, job["file_id"], *rows))["status"] == "completed"
    assert api.rows(job["file_id"]) == [
        (1, ["1", long, "2"]),
        (2, ["2", "a", "é"]),
        (3, ["3", 'b"c', "4"]),
    ]


def test_patched_json_values_keep_their_digits(api: Api) -> None:
    sent = b'{"name": "A", "email": "a@example.org", "age": "old", "y": 1.10}\n'
    job = api.run(sent, filename="exact.jsonl", processor="people")
    body = (
        '{"rows": [{"_row": 1, "values": {"age": 30, "x": [12345678901234567.89, 2.50], "z":'
        " 0.1000000000000000055}}]}"
    )
    url, headers = (
        f"/api/v1/files/{job['file_id']}/corrections",
        {"Content-Type": "application/json"},
    )
    for broken in (
        body.replace("30", "NaN"),
        body.replace("30", '"\\ud800"'),
        '{"rows": [NaN]}',
        '{"rows": [5], "x": 1}',
    ):
        answer = api.client.post(url, content=broken, headers=headers)
        assert answer.status_code in (400, 422), answer.text
    assert ended(api, api.client.post(url, content=body, headers=headers))["status"] == "completed"
    stored = api.client.get(f"/api/v1/results/{job['file_id']}/download?format=jsonl").text
    for text in ("12345678901234567.89", "2.50", "0.1000000000000000055", "1.10"):
        assert text in stored


FORMULAS = [
    "=1+1", '=HYPERLINK("http://x.example")', "+cmd", "-cmd", "@SUM(A1)", "'=1+1", "''=1+1", "'", "'quoted'", "''", "'-5", "-5",
    "+1.5e3", "\uff1d1+1", "'\uff1d1", "plain", "a=b", "\t=1", "-", "'-",
]  # fmt: skip


def test_formulas_are_escaped_in_the_download_and_restored_on_return(
    server: Server, api: Api
) -> None:
    """Each is in a row with a cell too many or too few; escaping and restoring changes no byte."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(
        [["id", "text", "=name"], *([str(i), f] for i, f in enumerate(FORMULAS))]
    )
    job = api.run(out.getvalue().encode())
    assert job["rows"]["invalid"] == len(FORMULAS)
    url = f"/api/v1/rejects/{job['file_id']}/download"
    plain, shown = (
        list(
            csv.reader(
                io.StringIO(
                    api.client.get(url, params={"formula_guard": guard}).content.decode(),
                    newline="",
                )
            )
        )
        for guard in ("false", "true")
    )
    assert (
        api.client.get(url).content == api.client.get(url, params={"formula_guard": "true"}).content
    )
    assert [line[1] for line in plain[1:]] == FORMULAS
    assert (plain[0][2], shown[0][2]) == ("=name", "'=name")
    dangerous = re.compile("[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
    for line in shown[1:]:
        for cell in line:
            assert not dangerous.match(cell) or re.fullmatch(r"[+-][\d.e]+", cell), cell

    answer = api.client.post(
        f"/api/v1/files/{job['file_id']}/corrections",
        content=api.client.get(url).content,
        headers={"Content-Type": "text/csv"},
    )
    assert answer.json()["code"] == "nothing_corrected", "nothing was changed"
    lines = [[*line[:2], "mended", *line[3:]] for line in shown[1:]]
    body = io.StringIO()
    csv.writer(body).writerows([shown[0], *lines])
    assert ended(api, send(api, job["file_id"], body.getvalue().encode()))["status"] == "completed"
    assert [cells for _, cells in api.rows(job["file_id"])] == [
        [str(i), f, "mended"] for i, f in enumerate(FORMULAS)
    ]


def test_a_correction_may_declare_its_apostrophes_as_data(api: Api) -> None:
    job = api.run(b"id,text,x\n1,a\n2,b\n")
    for row, guard, wanted in ((1, "true", "=1"), (2, "false", "'=1")):
        body = f"id,text,x,_row\n{row},'=1,y,{row}\n".encode()
        assert ended(api, send(api, job["file_id"], body, formula_guard=guard))["status"] in (
            "completed",
            "completed_with_errors",
        )
        assert dict(api.rows(job["file_id"]))[row] == [str(row), wanted, "y"]


@pytest.mark.parametrize(
    "body",
    [
        b"_row,id,name,,\n1,1,a,,\n2,2,b,,\n,,,,\n,,,,\n",
        b"_row,id,name, , \n1,1,a,, \n2,2,b\n , ,\n",
        b"\xef\xbb\xbf_row;id;name;;\r\n1;1;a;;\r\n2;2;b;;\r\n;;;;\r\n",
        b"sep=;\r\n_row;id;name;\r\n1;1;a;\r\n2;2;b;\r\n",
        b"\xef\xbb\xbfsep=,\n_row,id,name,,\n1,1,a,,\n2,2,b,,\n",
        b"sep=;;;;\r\n_row;id;name;;\r\n1;1;a;;\r\n2;2;b;;\r\n",
        b"\n\n,,,\n_row,id,name,\n\n1,1,a,\n2,2,b,\n\n\n",
        "_row\tid\tname\t\n1\t1\ta\t\n2\t2\tb\t\n".encode("utf-16"),
    ],
)
def test_additions_of_a_spreadsheet_to_a_correction_are_ignored(api: Api, body: bytes) -> None:
    job = api.run(b"id,name\n1\n2\n")
    assert ended(api, send(api, job["file_id"], body))["status"] == "completed"
    assert api.rows(job["file_id"]) == [(1, ["1", "a"]), (2, ["2", "b"])]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"_row,id,name,,\n1,1,a,,more\n", "correction_invalid"),
        (b"_row,id,name,,x\n1,1,a,,\n", "correction_columns"),
        (b"_row,id,,name\n1,1,,a\n", "correction_columns"),
        (b"title\n_row,id,name\n1,1,a\n", "correction_columns"),
        (b",,,\n,,,\n", "correction_columns"),
        (b"", "correction_columns"),
    ],
)
def test_a_correction_that_would_lose_data_is_refused(api: Api, body: bytes, code: str) -> None:
    job = api.run(b"id,name\n1\n2\n")
    answer = send(api, job["file_id"], body)
    assert (answer.status_code, answer.json()["code"]) in (
        (422, code),
        (400, "empty_body"),
    ), answer.text


def test_a_file_in_another_encoding_accepts_corrections_in_it_or_in_utf8(
    server: Server, api: Api
) -> None:
    data = "id,name\n1,é\n2\n3\n4,€,1\n".encode("cp1252")
    job = api.run(data, encoding="cp1252")
    body = "id,name,_row\n2,ü,2\n".encode("cp1252")
    assert ended(api, send(api, job["file_id"], body))["status"] == "completed"
    assert (
        ended(api, send(api, job["file_id"], "id,name,_row\n3,ü,3\n".encode()))["status"]
        == "completed"
    )
    problem = assert_problem(
        send(api, job["file_id"], "id,name,_row\n4,漢,4\n".encode()), 422, "correction_invalid"
    )
    assert problem["errors"][0]["code"] == "not_encodable"
    assert ended(
        api,
        send(
            api,
            job["file_id"],
            fixed(api, job["file_id"], lambda x: x, "cp1252"),
            run_unchanged=True,
        ),
    )
    assert api.rows(job["file_id"]) == [
        (1, ["1", "é"]),
        (2, ["2", "ü"]),
        (3, ["3", "ü"]),
        (4, ["4", "€,1"]),
    ]


def test_concurrent_corrections_keep_one_version_of_each_row(server: Server, api: Api) -> None:
    """Corrections of the same row: the first one holds, and the others report it. Corrections of
    different rows all hold.
    """
    job = api.run(
        b"id,name\n" + b"".join(b"%d\n" % i if i % 2 else b"%d,x\n" % i for i in range(1, 301)),
        chunk_size=100,
    )

    def correct(writer: int) -> dict[str, Any]:
        own = list(range(101 + 2 * writer, 301, 8))
        lines = [(row, f"writer {writer}") for row in [*range(1, 100, 2), *own]]
        body = "id,name,_row\n" + "".join(f"{row},{name},{row}\n" for row, name in lines)
        with server.client() as client:
            answer = send(Api(client), job["file_id"], body.encode())
            return (
                ended(Api(client), answer)
                if answer.status_code == 202
                else {"refused": answer.json()}
            )

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(correct, range(4)))
    accepted = [each for each in made if "refused" not in each]
    status = api.status(job["file_id"])
    assert accepted
    assert all(
        each["refused"]["code"] == "correction_invalid" for each in made if "refused" in each
    )
    assert api.proof(job["file_id"])["closes"]
    rows = dict(api.rows(job["file_id"]))
    assert len({rows[row][1] for row in range(1, 100, 2)}) == 1
    assert (
        status["corrections"]["rows"]
        == sum(each["rows"]["ok"] for each in accepted)
        == status["rows"]["ok"] - 150
    )
    for each in accepted:
        assert {r["code"] for r in api.rejects(each["file_id"])} <= {"row_changed"}
        assert api.proof(each["file_id"])["closes"]


def test_a_repeated_correction_gets_the_first_response_and_runs_once(
    server: Server, api: Api
) -> None:
    job = api.run(b"id,name\n1,a\n2\n")
    url, headers = (
        f"/api/v1/files/{job['file_id']}/corrections",
        {"Idempotency-Key": f"key-{job['file_id']}"},
    )
    form = {"file": ("rejects.csv", b"id,name,_row\n2,b,2\n", "text/csv")}
    first = api.client.post(url, files=form, headers=headers)
    ended(api, first)
    again = api.client.post(url, files=form, headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    other = {"file": ("rejects.csv", b"id,name,_row\n2,c,2\n", "text/csv")}
    assert_problem(
        api.client.post(url, files=other, headers=headers), 422, "idempotency_key_reused"
    )
    assert api.status(job["file_id"])["corrections"] == {"accepted": 1, "rows": 1}
    assert json.loads(first.text)["corrects"]["job_id"] == job["job_id"]
