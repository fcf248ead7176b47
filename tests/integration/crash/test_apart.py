"""Chunks that a compute process reads: the same rows, rejects and proof as in the service, and only
the chunk that ends its process is tried again.
"""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from app.errors import OutOfMemory
from app.pipeline import apart, chunk_runner, cutter, splitter
from app.pipeline.processes import NoneIdle, WorkerDied
from app.processors import pieces
from tests import engine as in_loop
from tests.crash.service import Input, assert_exact
from tests.engine import Engine, EngineApi
from tests.integration.crash.test_transform import EXPECTED, begin, ended, transform_input

CHUNK_ROWS = 100
Function = Callable[..., Any]


class Sent:
    """Replaces the sending to a compute process: what it gets and returns is pickled."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []
        """Names of the functions, and the chunks of each call."""
        self.failures: dict[int, list[Exception]] = {}
        """Errors of the next calls with this chunk."""

    def compute(self, _: Any, function: Function, *arguments: Any) -> Any:
        function, arguments = pickle.loads(pickle.dumps((function, arguments)))
        claims: Sequence[Any] = arguments[1] if function is apart.prepare_all else ()
        chunks = [claim.index for claim in claims]
        self.calls.append((function.__name__, chunks))
        for chunk in chunks:
            if self.failures.get(chunk):
                raise self.failures[chunk].pop(0)
        return pickle.loads(pickle.dumps(function(*arguments)))

    def chunks(self) -> set[int]:
        return {chunk for _, chunks in self.calls for chunk in chunks}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """An idle process for every task, and for files of any size."""
    sent = Sent()
    for name in ("compute", "compute_if_idle"):
        monkeypatch.setattr(in_loop.Here, name, lambda *call: sent.compute(*call))
    monkeypatch.setattr(chunk_runner, "APART_BYTES", 0)
    monkeypatch.setattr(splitter, "FIRST_STRETCH_BYTES", 1000)
    monkeypatch.setattr(splitter, "cut", partial(cutter.cut, window_bytes=4000))
    return sent


def test_every_kind_of_mistake_is_found_in_another_process(
    engine: Engine, sent: Sent, dirty: Input
) -> None:
    engine.start()
    with engine.api() as api:
        file_id = api.upload(dirty.data, chunk_size=CHUNK_ROWS)["file_id"]
        api.finished(file_id)
        assert_exact(engine, api, file_id, dirty)
    assert sent.chunks() == set(range(-(-dirty.row_count // CHUNK_ROWS)))
    assert "cut_stretch" in [name for name, _ in sent.calls]


def as_array(lines: bytes) -> bytes:
    return b"[" + b",\n".join(lines.splitlines()) + b"]"


def record(number: int) -> dict[str, Any]:
    extra = {"extra": None} if number % 7 == 0 else {}
    return {"id": number, "name": f"né{number}", **extra}


RECORDS = b"".join(
    json.dumps(record(number), ensure_ascii=False)
    .replace('"id": 50,', '"id": 50, "id": 51,')
    .replace('"né120"', "1e999")
    .encode()
    + b"\n"
    for number in range(350)
)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [(RECORDS, "application/x-ndjson"), (as_array(RECORDS), "application/json")],
    ids=["lines", "array"],
)
def test_json_is_stored_alike_by_either_process(
    engine: Engine, sent: Sent, monkeypatch: pytest.MonkeyPatch, data: bytes, media_type: str
) -> None:
    engine.start()
    with engine.api() as api:
        there = stored(engine, api, data, media_type)
        assert sent.chunks() == {0, 1, 2, 3}
        monkeypatch.setattr(in_loop.Here, "compute_if_idle", none_idle)
        assert stored(engine, api, data, media_type) == there
    rows, rejects, columns, _ = there
    assert len(rows) == 348
    assert [reject["row_number"] for reject in rejects] == [51, 121]
    assert columns == ["id", "name", "extra"]


def none_idle(*_: Any) -> Any:
    raise NoneIdle


def stored(
    engine: Engine, api: EngineApi, data: bytes, media_type: str
) -> tuple[Any, Any, Any, Any]:
    status = api.run(data, type=media_type, chunk_size=CHUNK_ROWS)
    proof = api.proof(status["file_id"])
    assert proof["closes"], proof["problems"]
    hashes = engine.sql(
        f"SELECT hash_read FROM chunks WHERE job_id = {engine.key(status['job_id'])} ORDER BY 1"
    )
    columns = api.client.get(f"/api/v1/results/{status['file_id']}").json()["columns"]
    return api.rows(status["file_id"]), api.rejects(status["file_id"]), columns, hashes


@pytest.mark.parametrize("is_large", [False, True])
def test_a_transform_makes_the_same_file(
    engine: Engine, sent: Sent, monkeypatch: pytest.MonkeyPatch, is_large: bool
) -> None:
    """Output that is in a file cannot be sent, so the service makes it itself."""
    if is_large:
        monkeypatch.setattr(pieces, "IN_MEMORY", 100)
    engine.start()
    with engine.api() as api:
        job_id = begin(api, transform_input())
        status = ended(api, job_id)
        made = api.client.get(f"/api/v1/files/{status['result_file_id']}/download").text
        rows = list(csv.reader(io.StringIO(made, newline="")))
        assert [row[0] for row in rows[1:]] == [str(row[0]) for row in EXPECTED.rows]
        assert api.proof(job_id)["closes"]
    assert all(chunk["attempt"] == 1 for chunk in engine.chunks(job_id))


def test_only_the_chunk_that_ends_its_process_is_tried_again(
    engine: Engine, sent: Sent, dirty: Input
) -> None:
    sent.failures[3] = [WorkerDied("it died"), WorkerDied("it died again")]
    engine.start(BASE_BACKOFF=0)
    with engine.api() as api:
        file_id = api.upload(dirty.data, chunk_size=CHUNK_ROWS)["file_id"]
        api.finished(file_id)
        status = assert_exact(engine, api, file_id, dirty)
        chunks = engine.chunks(status["job_id"])
    assert [chunk["chunk_index"] for chunk in chunks if chunk["attempt"] > 1] == [3]


def test_only_the_chunk_that_needs_too_much_memory_fails(
    engine: Engine, sent: Sent, dirty: Input
) -> None:
    sent.failures[2] = [OutOfMemory("too much") for _ in range(2)]
    engine.start()
    with engine.api() as api:
        status = api.run(dirty.data, chunk_size=CHUNK_ROWS)
        chunks = engine.chunks(status["job_id"])
    failed = [chunk for chunk in chunks if chunk["status"] == "failed"]
    assert [(chunk["chunk_index"], chunk["attempt"]) for chunk in failed] == [(2, 1)]
    assert failed[0]["error"]["code"] == "out_of_memory"


def test_small_files_and_other_processors_stay_in_the_service(
    engine: Engine, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.start(PROCESSORS="tests.crash.processors:SlowProcessor")
    with engine.api() as api:
        api.run(b"id\n1\n2\n", processor="slow")
        monkeypatch.setattr(chunk_runner, "APART_BYTES", 7)
        api.run(b"id\n1\n2\n")
        assert sent.chunks() == {0}
        sent.calls.clear()
        api.run(b"id\n1\n")
        assert not sent.chunks()
