"""Detection is reported in the upload response and in the status, and holds for what is stored."""

from __future__ import annotations

import csv
import io

from tests.harness import Api


def test_skipped_lines_are_in_the_upload_response_and_in_the_status(api: Api) -> None:
    data = (
        b"Sales of the north\n# by"
        b" hand\nday,amount,city\n2026-01-01,5,Bonn\n2026-01-02,7,Oslo\n2026-01-03,9,Riga\n"
    )
    expected = [
        {"lines": [1, 1], "why": "title", "text": "Sales of the north"},
        {"lines": [2, 2], "why": "comment", "text": "# by hand"},
    ]
    upload = api.upload(data)
    status = api.finished(upload["file_id"])
    for answer in (upload, status):
        assert answer["dialect"]["skipped"] == expected
        assert answer["dialect"]["skip_rows"] == 2
    assert [cells for _, cells in api.rows(upload["file_id"])] == [
        ["2026-01-01", "5", "Bonn"],
        ["2026-01-02", "7", "Oslo"],
        ["2026-01-03", "9", "Riga"],
    ]
    told = api.upload(data, skip_rows=2)
    assert told["dialect"]["skipped"] == []
    assert told["columns"] == ["day", "amount", "city"]


def test_every_line_of_a_file_of_one_column_is_a_row(api: Api) -> None:
    lines = [
        "Madonna",
        "Cher",
        "Doe, Jane",
        "good; bad",
        "a|b",
        "x y",
        "it's",
        "'so'",
        "#tag",
        "12:30",
    ]
    status = api.run("\n".join(["name", *lines]).encode() + b"\n")
    assert status["columns"] == ["name"]
    assert status["dialect"]["skipped"] == []
    assert [cells for _, cells in api.rows(status["file_id"])] == [[line] for line in lines]
    assert api.proof(status["file_id"])["closes"]


def test_the_last_record_of_an_array_is_corrected_in_place(api: Api) -> None:
    file_id = api.run(b'[{"a":1},\n{"a":NaN}\n]\n', name="a.json", type="application/json")[
        "file_id"
    ]
    text = api.client.get(f"/api/v1/rejects/{file_id}/download").text
    (reject,) = csv.DictReader(io.StringIO(text))
    assert reject["_record"] == '{"a":NaN}'
    answer = api.client.post(
        f"/api/v1/files/{file_id}/corrections",
        content=text.replace("NaN", "7"),
        headers={"Content-Type": "text/csv"},
    )
    assert answer.status_code in (201, 202), answer.text
    api.finished(answer.json()["file_id"])
    assert api.status(file_id)["rows"]["ok"] == 2
    assert api.rejects(file_id) == []


def test_empty_cells_after_the_last_column_cost_no_row(api: Api) -> None:
    status = api.run(b"a,b\n1,2,,\n3,4\n,,,\n")
    assert [cells for _, cells in api.rows(status["file_id"])] == [["1", "2"], ["3", "4"]]
    assert [reject["code"] for reject in api.rejects(status["file_id"])] == ["column_count"]
    assert api.proof(status["file_id"])["closes"]


def test_spaces_around_quotes_can_be_declared(api: Api) -> None:
    data = b"a,b\n1,2\n"
    assert api.upload(data)["dialect"]["skip_initial_space"] is False
    assert api.upload(data, skip_initial_space=True)["dialect"]["skip_initial_space"] is True
    status = api.run(b'a,b\n1, "x, y"\n', skip_initial_space=False)
    assert [reject["code"] for reject in api.rejects(status["file_id"])] == ["csv_bad_quote"]
