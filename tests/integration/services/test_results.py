"""Pages of results and rejects, from the functions of the routes."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.errors import NotFound
from app.features.files.results import get_causes, get_rejects, get_results
from app.formats.detect import Declared
from app.jobs.users import LOCAL_OWNER
from tests.engine import Engine
from tests.integration.services.loading import loaded

ROWS = b"id,name\n" + b"".join(
    b"%d,name %d\n" % (number, number) if number % 4 else b"%d\n" % number
    for number in range(1, 301)
)
"""Every fourth row has one cell of two."""
GOOD = [number for number in range(1, 301) if number % 4]
BAD = [number for number in range(1, 301) if not number % 4]


def results(engine: Engine, file_id: UUID, **how: Any) -> dict[str, Any]:
    wanted: dict[str, Any] = {"limit": 100, "offset": 0, "after": None, "as_object": False} | how
    page = engine.run(
        get_results(
            engine.services.database, engine.services.destinations, file_id, LOCAL_OWNER, **wanted
        )
    )
    return dict(json.loads(page))


def rejects(engine: Engine, file_id: UUID, **how: Any) -> dict[str, Any]:
    wanted: dict[str, Any] = {"limit": 100, "offset": 0, "after": 0} | how
    page = engine.run(get_rejects(engine.services.database, file_id, LOCAL_OWNER, **wanted))
    return dict(json.loads(page))


def test_pages_by_offset_and_by_cursor_return_each_result_once(engine: Engine) -> None:
    engine.start()
    file_id, job_id = loaded(engine, ROWS, chunk_size=100)
    by_offset = [results(engine, file_id, limit=70, offset=offset) for offset in range(0, 280, 70)]
    items = [item for page in by_offset for item in page["items"]]
    assert [item["row_number"] for item in items] == GOOD
    assert [item["data"]["row"] for item in items] == [[str(n), f"name {n}"] for n in GOOD]
    assert [item["chunk_index"] for item in items] == [(n - 1) // 100 for n in GOOD]
    assert all((page["total"], page["complete"]) == (225, True) for page in by_offset)
    behind = results(engine, job_id, after=150, limit=3, as_object=True)  # by the id of the job
    assert [(item["row_number"], item["data"]) for item in behind["items"]] == [
        (n, {"id": str(n), "name": f"name {n}"}) for n in (151, 153, 154)
    ]
    assert results(engine, file_id, after=300)["items"] == []


def test_pages_of_rejects_have_the_location_of_each(engine: Engine) -> None:
    engine.start()
    file_id, _ = loaded(engine, ROWS + b"301,\xff\n", chunk_size=100)
    page = rejects(engine, file_id, limit=500)
    assert [item["row_number"] for item in page["items"]] == [*BAD, 301]
    (short, wrong_bytes) = sorted(page["codes"], key=lambda code: -page["codes"][code])
    assert page["codes"] == {short: 75, wrong_bytes: 1}
    lines = ROWS.split(b"\n")
    for item in page["items"][:-1]:
        number = item["row_number"]
        assert (item["line"], item["raw"], item["code"]) == (number + 1, str(number), short)
        start = sum(len(line) + 1 for line in lines[:number])
        assert item["byte_start"] == start
    last = page["items"][-1]
    assert (last["raw"], last["raw_base64"], last["text"]) == (None, "MzAxLP8=", "301,\ufffd")
    only = rejects(engine, file_id, code=wrong_bytes)
    assert (only["total"], [item["row_number"] for item in only["items"]]) == (1, [301])
    behind = rejects(engine, file_id, after=BAD[9], limit=2)
    assert [item["row_number"] for item in behind["items"]] == BAD[10:12]


def test_rejects_are_found_by_column_text_and_cause(engine: Engine) -> None:
    engine.start()
    lines = [f"{n},{'NAME %_' if n == 9 else 'x'}\xff,{n}\n" for n in range(1, 31)]
    lines += [f"{n},ok,\xff\n" for n in range(31, 41)] + ["41,Only Cell,1,2\n"]
    data = b"id,name,n\n" + "".join(lines).encode("latin-1")
    file_id, _ = loaded(engine, data, declared=Declared(encoding="utf-8"))
    causes = engine.run(get_causes(engine.services.database, file_id, LOCAL_OWNER))["items"]
    (by_name, by_n, by_count) = causes
    assert [(cause["column"], cause["count"]) for cause in causes] == [
        ("name", 30), ("n", 10), (None, 1),
    ]  # fmt: skip
    code = by_name["code"]
    assert by_n["code"] == code != by_count["code"]

    def numbers(**how: Any) -> list[int]:
        page = rejects(engine, file_id, limit=7, **how)
        found = [item["row_number"] for item in page["items"]]
        while page["next_after"] is not None:
            page = rejects(engine, file_id, limit=7, after=page["next_after"], **how)
            found += [item["row_number"] for item in page["items"]]
        assert page["total"] == len(found)
        return found

    assert numbers(column="n") == list(range(31, 41))
    assert numbers(column="name", code=by_count["code"]) == []
    assert numbers(search="NAME %_") == [9]
    assert numbers(search="%") == [9]
    assert numbers(search="Only Cell") == [41]
    assert numbers(search="12,x", code=code) == [12]


def test_pages_of_other_owners_are_not_found(engine: Engine) -> None:
    engine.start()
    file_id, _ = loaded(engine, b"id\n1\n")
    database = engine.services.database
    for identifier, owner in ((file_id, "somebody else"), (uuid4(), LOCAL_OWNER)):
        with pytest.raises(NotFound):
            engine.run(
                get_results(
                    database,
                    engine.services.destinations,
                    identifier,
                    owner,
                    limit=1,
                    offset=0,
                    after=None,
                    as_object=False,
                )
            )
        with pytest.raises(NotFound):
            engine.run(get_rejects(database, identifier, owner, limit=1, offset=0, after=0))
