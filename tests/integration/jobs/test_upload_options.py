"""The options of an upload are validated once, and those known before the bytes are validated
before them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.errors import InvalidParameter
from app.formats.base import Rows
from app.processors.base import ChunkContext, ChunkOutcome, Processor
from app.processors.options import Options
from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi

ROWS = b"id\n1\n"
CSV = {"Content-Type": "text/csv"}
checked: list[str] = []


class Marked(Options):
    mark: str = ""


class Noting(Processor):
    """Records the options that it validates."""

    name = "noting"
    options = Marked

    def check(self, options: Any) -> None:
        checked.append(options.mark)
        if options.mark == "bad":
            raise InvalidParameter("This mark is bad.")

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        return ChunkOutcome(rows)


@pytest.fixture
def api(engine: Engine) -> Iterator[EngineApi]:
    engine.start(PROCESSORS="tests.integration.jobs.test_upload_options:Noting")
    checked.clear()
    with engine.api() as api:
        yield api


def test_options_of_a_raw_body_are_validated_once(api: EngineApi) -> None:
    params = {"processor": "noting", "option.mark": "a"}
    answer = api.client.post("/api/v1/upload", params=params, content=ROWS, headers=CSV)
    assert answer.status_code == 201, answer.text
    assert checked == ["a"]


def test_options_of_a_query_with_a_form_are_validated_once(api: EngineApi) -> None:
    api.upload(ROWS, processor="noting", **{"option.mark": "a"})
    assert checked == ["a"]


def test_options_changed_by_a_form_are_validated_again(api: EngineApi) -> None:
    def sent(mark: str) -> Any:
        files = {"file": ("data.csv", ROWS, "text/csv")}
        data = {"option.mark": mark}
        params = {"processor": "noting"}
        return api.client.post("/api/v1/upload", params=params, data=data, files=files)

    assert sent("b").status_code == 201
    assert checked == ["", "b"]
    assert_problem(sent("bad"), 422, "invalid_parameter")
    refused = {"processor": "noting", "option.mark": "bad"}
    files = {"file": ("data.csv", ROWS, "text/csv")}
    answer = api.client.post("/api/v1/upload", params=refused, files=files)
    assert_problem(answer, 422, "invalid_parameter")


def test_options_of_a_resumable_upload_are_validated_once(api: EngineApi) -> None:
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(ROWS))}
    params = {"processor": "noting", "option.mark": "a"}
    response = api.client.post("/api/v1/uploads", params=params, headers=headers)
    assert response.status_code == 201, response.text
    piece = {
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
    }
    sent = api.client.patch(response.headers["location"], content=ROWS, headers=piece)
    assert sent.status_code == 204, sent.text
    assert checked == ["a"]


@pytest.mark.one_database
def test_columns_of_fixed_width_are_loaded_and_mended(engine: Engine) -> None:
    engine.start()
    data = b"".join(b"%-5dname %-4d\n" % (n, n) for n in range(1, 400)) + b"400\n"
    with engine.api() as api:
        file_id = api.upload(data, widths="5,*", columns="id,name", chunk_size=100)["file_id"]
        assert api.finished(file_id)["counts"]["loaded"] == 399
        assert dict(api.rows(file_id))[399] == ["399", "name 399"]
        (reject,) = api.rejects(file_id)
        assert (reject["line"], reject["code"], reject["raw"]) == (400, "line_too_short", "400")
        sent = api.client.post(
            f"/api/v1/files/{file_id}/corrections",
            json={"rows": [{"_row": 400, "values": {"name": "name 400"}}]},
        )
        assert sent.status_code == 202, sent.text
        api.finished(sent.json()["file_id"])
        assert dict(api.rows(file_id))[400] == ["400", "name 400"]
        assert api.proof(file_id)["closes"]
        shown = api.client.post("/api/v1/preview?widths=5,*", content=data).json()
        assert shown["dialect"]["starts"] == [0, 5]
        assert shown["rows"][0]["data"] == ["1", "name 1"]
