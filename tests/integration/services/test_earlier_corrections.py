"""Corrections of an earlier file are offered for, and applied to, the same rejects of a later one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from app.errors import NotFound, NothingCorrected
from app.features.corrections.service import Corrections, Patch, Request
from app.formats.detect import Declared
from app.jobs.users import LOCAL_OWNER
from tests.engine import Engine
from tests.integration.services.loading import loaded
from tests.integration.services.test_corrections import (
    cells,
    corrected_file,
    rejected,
    submitted,
)

JANUARY = b'id,name\n1,Ann\n2\n3,Eve\n4,too,many\n5,a"b\n'
FEBRUARY = b'id,name\n5,a"b\n10,New\n4,too,many\n2\n7\n'
"""The rejects of January at other places, and one of its own."""


def offers(engine: Engine, file_id: UUID) -> list[dict[str, Any]]:
    corrections = engine.services.of(Corrections)
    return engine.run(corrections.offer_earlier(Request(LOCAL_OWNER, file_id)))


def apply(engine: Engine, file_id: UUID, earlier: UUID) -> dict[str, Any]:
    corrections = engine.services.of(Corrections)
    accepted = engine.run(corrections.apply_earlier(Request(LOCAL_OWNER, file_id), earlier))
    engine.run_until_idle()
    return accepted.body


def test_rejects_that_came_again_are_corrected_as_before(engine: Engine) -> None:
    engine.start()
    file_id, job_id = loaded(engine, JANUARY)
    submitted(engine, corrected_file((2, 2, "Bob\0"), (4, 4, "too; many")), file_id)
    patch = [Patch(2, {"name": msgspec.Raw(b'"Bob, 2"')})]  # row 2 had been rejected again
    corrections = engine.services.of(Corrections)
    engine.run(corrections.patch(Request(LOCAL_OWNER, file_id), patch))
    engine.run_until_idle()
    assert rejected(engine, job_id) == [5]

    later_file, later = loaded(engine, FEBRUARY)
    assert rejected(engine, later) == [1, 3, 4, 5]
    (offer,) = offers(engine, later_file)
    assert (offer["job_id"], offer["rows"]) == (str(job_id), 2)
    assert [(each["before"], each["cells"]) for each in offer["examples"]] == [
        ("4,too,many", ["4", "too; many"]),
        ("2", ["2", "Bob, 2"]),
    ]
    assert rejected(engine, later) == [1, 3, 4, 5]  # an offer changes nothing

    answer = apply(engine, later_file, job_id)
    assert answer["rows"] == 2
    assert cells(engine, later) == {2: ["10", "New"], 3: ["4", "too; many"], 4: ["2", "Bob, 2"]}
    assert rejected(engine, later) == [1, 5]
    assert offers(engine, later_file) == []
    with pytest.raises(NothingCorrected):
        apply(engine, later_file, job_id)
    # A third file gets the corrections of the second, which were made by those of the first.
    third_file, third = loaded(engine, b"id,name\n1,x\n2\n")
    assert [offer["rows"] for offer in offers(engine, third_file)] == [1, 1]
    apply(engine, third_file, later)
    assert cells(engine, third)[2] == ["2", "Bob, 2"]


def test_a_row_that_was_corrected_in_two_ways_is_left_out(engine: Engine) -> None:
    engine.start()
    file_id, job_id = loaded(engine, b"id,name\n2\n2\n3\n3\n")
    fixes = ((1, 2, "Bob"), (2, 2, "Ben"), (3, 3, "Eve"), (4, 3, "Eve"))
    submitted(engine, corrected_file(*fixes), file_id)
    later_file, later = loaded(engine, b"id,name\n3\n2\n")
    (offer,) = offers(engine, later_file)
    assert [each["before"] for each in offer["examples"]] == ["3"]
    apply(engine, later_file, job_id)
    assert (cells(engine, later), rejected(engine, later)) == ({1: ["3", "Eve"]}, [2])


def test_only_files_that_are_read_alike_are_offered(engine: Engine) -> None:
    engine.start()
    file_id, job_id = loaded(engine, JANUARY)
    submitted(engine, corrected_file((2, 2, "Bob")), file_id)
    corrections = engine.services.of(Corrections)
    for other in (b"id,title\n2\n", b"id;name\n2\n", b"id,name\n1,x\n", b"id,name\n2,\0\n"):
        later_file, _ = loaded(engine, other)
        assert offers(engine, later_file) == []
    kept = Declared(on_bad_row="keep")
    same_file, _ = loaded(engine, b"id,name\n2,\0\n", declared=kept)
    assert offers(engine, same_file) == []
    with pytest.raises(NotFound):
        apply(engine, same_file, job_id)
    # An earlier file gets nothing from a later one.
    first = Request(LOCAL_OWNER, file_id)
    with pytest.raises(NotFound):
        engine.run(corrections.apply_earlier(first, job_id))
    with pytest.raises(NotFound):
        engine.run(corrections.offer_earlier(Request("somebody else", file_id)))
