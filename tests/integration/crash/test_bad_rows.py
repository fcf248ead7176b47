"""A bad row costs one row; a chunk without a valid row fails as a whole and can be retried when the
cause is gone.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.crash.service import Input, assert_exact
from tests.engine import Engine
from tests.harness import Api

BAD = {5: "a", 250: "b", 251: "c", 600: "d"}
"""Rows that fail: the first ones of a chunk, two neighbours, the last of the file."""


def start_fussy(engine: Engine, max_retries: int) -> None:
    engine.start(
        PROCESSORS="tests.crash.processors:FussyProcessor", MAX_RETRIES=max_retries, BASE_BACKOFF=0
    )


@pytest.mark.parametrize("max_retries", [0, 2])
def test_rows_that_cannot_be_processed_are_rejected_individually_with_line_and_bytes(
    engine: Engine, max_retries: int
) -> None:
    cells = [
        [str(i), "two\nlines" if i % 3 == 0 else "one", BAD.get(i, "x")] for i in range(1, 601)
    ]
    for number in BAD:
        cells[number - 1][1] = "bad"
    clean = Input.of(cells)
    lines = {
        number: 1 + number + sum(n % 3 == 0 and n not in BAD for n in range(1, number))
        for number in BAD
    }
    input = Input(
        clean.data,
        [(number, row) for number, row in clean.results if number not in BAD],
        [(number, lines[number], "processing_failed") for number in BAD],
    )
    start_fussy(engine, max_retries)
    with engine.api() as api:
        file_id = api.run(input.data, chunk_size=100, processor="fussy")["file_id"]
        status = assert_exact(engine, api, file_id, input)
        assert status["status"] == "completed_with_errors"
        assert status["rows"]["failed"] == len(BAD)
        assert status["failed_chunks"] == 0
        for reject in api.rejects(file_id):
            number = reject["row_number"]
            record = f"{number},bad,{BAD[number]}"
            assert reject["kind"] == "failed"
            assert reject["raw"] == record
            assert input.data[reject["byte_start"] : reject["byte_end"]] == record.encode()
            assert input.data[: reject["byte_start"]].count(b"\n") + 1 == reject["line"]
            assert reject["message"] == f"ValueError: cannot do {number}"
        chunks = engine.chunks(status["job_id"])
        with_bad_rows = {(number - 1) // 100 for number in BAD}
        assert {
            c["chunk_index"] for c in chunks if c["attempt"] == 1 + max_retries
        } >= with_bad_rows
        assert {c["attempt"] for c in chunks if c["chunk_index"] not in with_bad_rows} == {1}


@pytest.mark.parametrize("max_retries", [0, 1])
@pytest.mark.parametrize("broken", [{2}, {0, 1, 2, 3}])
def test_a_chunk_without_a_valid_row_fails_and_a_retry_runs_only_it(
    engine: Engine, broken: set[int], max_retries: int
) -> None:
    source = Input.of([[str(i), "bad" if i // 100 in broken else "good", "x"] for i in range(400)])
    start_fussy(engine, max_retries)
    with engine.api() as api:
        file_id = api.run(source.data, chunk_size=100, processor="fussy")["file_id"]
        status = assert_exact(engine, api, file_id, source)
        assert status["status"] == ("failed" if len(broken) == 4 else "completed_with_errors")
        assert status["rows"]["failed"] == 100 * len(broken)
        assert status["error"]["code"] == "processing_failed"
        job_id = status["job_id"]
        chunks = engine.chunks(job_id)
        assert {c["chunk_index"] for c in chunks if c["status"] == "failed"} == broken
        assert {c["attempt"] for c in chunks if c["status"] == "failed"} == {1 + max_retries}
        assert {c["error"]["code"] for c in chunks if c["status"] == "failed"} == {
            "processing_failed"
        }

        engine.raise_flag("mended")
        before = Counter(engine.calls())
        answer = api.client.post(f"/api/v1/jobs/{job_id}/retry")
        assert answer.status_code == 202
        assert answer.json()["chunks"] == len(broken)
        assert api.finished(file_id)["status"] == "completed"
        assert_exact(engine, api, file_id, source)
        assert Counter(engine.calls()) - before == dict.fromkeys(broken, 1)
        assert {c["attempt"] for c in engine.chunks(job_id)} == {1}
        assert api.client.post(f"/api/v1/jobs/{job_id}/retry").status_code == 409


def test_a_failing_row_among_refused_rows_costs_only_itself(
    engine: Engine,
) -> None:
    """No row of the chunk becomes a result, although the processor failed for only one."""
    cells = [[str(i), "refused", "x"] for i in range(1, 101)]
    cells[30][1] = "bad"
    start_fussy(engine, max_retries=0)
    with engine.api() as api:
        status = api.run(Input.of(cells).data, chunk_size=100, processor="fussy")
        assert status["failed_chunks"] == 0
        assert status["rows"] == {
            "total": 100,
            "ok": 0,
            "invalid": 99,
            "failed": 1,
            "unprocessed": 0,
        }
        codes = Counter(reject["code"] for reject in api.rejects(status["file_id"]))
        assert codes == {"refused": 99, "processing_failed": 1}
        assert codes_of(api, status["file_id"], 31) == ["processing_failed"]
        assert api.proof(status["file_id"])["closes"]


def codes_of(api: Api, file_id: str, row_number: int) -> list[str]:
    return [r["code"] for r in api.rejects(file_id) if r["row_number"] == row_number]
