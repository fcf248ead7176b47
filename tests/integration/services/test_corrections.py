"""The service of corrections: corrected rejects are loaded, and invalid corrections are refused."""

from __future__ import annotations

import csv
import io
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from app.errors import (
    CorrectionInvalid,
    IdempotencyKeyReused,
    NotCorrectable,
    NotFound,
    NothingCorrected,
)
from app.features.corrections.service import Corrections, Patch, Request
from app.jobs.users import LOCAL_OWNER
from tests.engine import Engine
from tests.integration.services.loading import body, loaded

ROWS = b"id,name\n1,Ann\n2\n3,Eve\n4,too,many\n"


def corrected_file(*rows: tuple[object, ...]) -> bytes:
    """Return a correction as users send it: `_row` and the columns of the file."""
    out = io.StringIO()
    csv.writer(out).writerows([("_row", "id", "name"), *rows])
    return out.getvalue().encode()


def submitted(engine: Engine, data: bytes, file_id: UUID, **how: Any) -> dict[str, Any]:
    corrections = engine.services.of(Corrections)
    request = Request(LOCAL_OWNER, file_id, **how)
    accepted = engine.run(corrections.submit(request, body(data)))
    engine.run_until_idle()
    return accepted.body


def cells(engine: Engine, job_id: UUID) -> dict[int, list[str]]:
    """Return results by row number, as stored."""
    mine = f"WHERE job_id = {engine.key(str(job_id))}"
    pages = engine.sql(f"SELECT first_row, row_numbers, data FROM result_pages {mine}")
    found: dict[int, list[str]] = {}
    for first, numbers, data in pages:
        rows = msgspec.json.decode(data)
        listed = msgspec.json.decode(numbers) if isinstance(numbers, str) else numbers
        found |= dict(zip(listed or range(first, first + len(rows)), rows, strict=True))
    return found


def rejected(engine: Engine, job_id: UUID) -> list[int]:
    mine = f"WHERE job_id = {engine.key(str(job_id))}"
    return [row for (row,) in engine.sql(f"SELECT row_number FROM rejects {mine} ORDER BY 1")]


def test_corrected_rows_keep_their_positions(engine: Engine) -> None:
    engine.start()
    file_id, job_id = loaded(engine, ROWS)
    assert rejected(engine, job_id) == [2, 4]
    corrections = engine.services.of(Corrections)
    assert engine.run(corrections.check(Request(LOCAL_OWNER, file_id))).id == job_id
    answer = submitted(engine, corrected_file((4, 4, "Zoe"), (2, 2, "Bob")), file_id)
    assert (answer["rows"], answer["unchanged"]) == (2, 0)
    assert answer["corrects"] == {"file_id": str(file_id), "job_id": str(job_id)}
    assert rejected(engine, job_id) == []
    names = ("Ann", "Bob", "Eve", "Zoe")
    assert cells(engine, job_id) == {n: [str(n), name] for n, name in enumerate(names, 1)}
    ((status, count),) = engine.sql(
        f"SELECT status, corrected_rows FROM jobs WHERE id = {engine.key(str(job_id))}"
    )
    assert (status, count) == ("completed", 2)


def test_single_cells_are_changed_and_the_rest_of_the_row_stays(engine: Engine) -> None:
    engine.start()
    file_id, job_id = loaded(engine, ROWS)
    patches = [Patch(2, {"name": msgspec.Raw(b'"Bob"')})]
    corrections = engine.services.of(Corrections)
    request = Request(LOCAL_OWNER, file_id, idempotency_key="k")
    first = engine.run(corrections.patch(request, patches))
    engine.run_until_idle()
    assert cells(engine, job_id)[2] == ["2", "Bob"]
    assert rejected(engine, job_id) == [4]
    again = engine.run(corrections.patch(request, patches))
    assert (again.replayed, again.body) == (True, first.body)
    other = [Patch(4, {"name": msgspec.Raw(b'"Zoe"')})]
    with pytest.raises(IdempotencyKeyReused):
        engine.run(corrections.patch(request, other))


def test_a_correction_without_changes_changes_nothing(engine: Engine) -> None:
    engine.start()
    file_id, job_id = loaded(engine, ROWS)
    before = cells(engine, job_id)
    for rows, error in (
        ([(1, 1, "Anna")], CorrectionInvalid),  # no reject
        ([(2, 2, "Bob"), (2, 2, "Ben")], CorrectionInvalid),  # twice
        ([(2, 2, "")], NothingCorrected),
        ([], NothingCorrected),
    ):
        with pytest.raises(error):
            submitted(engine, corrected_file(*rows), file_id)
    assert (cells(engine, job_id), rejected(engine, job_id)) == (before, [2, 4])
    assert len(engine.files()) == 1


def test_a_row_of_the_wrong_shape_is_never_cut_or_filled_unasked(engine: Engine) -> None:
    engine.start()
    file_id, job_id = loaded(engine, b'id,name\n1,Ann\n2\n4,too,many\n5,a"b\n6,x\n')
    corrections = engine.services.of(Corrections)
    request = Request(LOCAL_OWNER, file_id)
    for row in (2, 3, 4):
        for values in ({}, {"id": msgspec.Raw(b'"9"')}):
            with pytest.raises(CorrectionInvalid, match="send the value of `name`"):
                engine.run(corrections.patch(request, [Patch(row, values)]))
    short = b"_row,id,name\n2,2\n"
    with pytest.raises(CorrectionInvalid, match="Row 2 has 2 cells, the header 3"):
        submitted(engine, short, file_id)
    assert rejected(engine, job_id) == [2, 3, 4]
    assert cells(engine, job_id) == {1: ["1", "Ann"], 5: ["6", "x"]}


def test_only_own_rows_of_a_plain_job_are_corrected(engine: Engine) -> None:
    engine.start()
    file_id, _ = loaded(engine, ROWS)
    corrections = engine.services.of(Corrections)
    for owner, identifier in (("somebody else", file_id), (LOCAL_OWNER, uuid4())):
        with pytest.raises(NotFound):
            engine.run(corrections.check(Request(owner, identifier)))
    correction = submitted(engine, corrected_file((2, 2, "Bob")), file_id)
    with pytest.raises(NotCorrectable):
        engine.run(corrections.check(Request(LOCAL_OWNER, UUID(correction["job_id"]))))
    profiled, _ = loaded(engine, ROWS, processor="profile")
    with pytest.raises(NotCorrectable):
        engine.run(corrections.check(Request(LOCAL_OWNER, profiled)))
