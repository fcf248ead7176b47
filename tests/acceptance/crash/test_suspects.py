"""Chunks in isolated processes give the same results, byte for byte, with every processor."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.crash.conftest import MakeService
from tests.crash.service import Input, Service
from tests.forks import Server
from tests.harness import FINAL, Api, query, wait_until


def suspect_all(server: Server) -> None:
    """From now on every new chunk is a suspect."""
    if server.url.startswith("sqlite"):
        query(
            server.url,
            "CREATE TRIGGER suspect AFTER INSERT ON chunks BEGIN UPDATE chunks SET is_suspect = 1"
            " WHERE job_id = NEW.job_id AND chunk_index = NEW.chunk_index; END",
        )
        return
    query(
        server.url,
        "CREATE FUNCTION suspect() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.is_suspect :="
        " true; RETURN NEW; END $$",
        "CREATE TRIGGER suspect BEFORE INSERT ON chunks FOR EACH ROW EXECUTE FUNCTION suspect()",
    )


def ended(api: Api, job_id: str) -> dict[str, Any]:
    def final() -> dict[str, Any] | None:
        status: dict[str, Any] = api.client.get(f"/api/v1/jobs/{job_id}").json()
        return status if status["status"] in FINAL else None

    return wait_until(final, 60, "the end of a job") or {}


def outcomes(service: Service, api: Api, data: bytes, lines: bytes) -> dict[str, Any]:
    """Results of all processors for the file, without ids and times."""
    told: dict[str, Any] = {}

    def tell(name: str, job_id: str) -> dict[str, Any]:
        status = ended(api, job_id)
        chunks = (
            "SELECT chunk_index, status, attempt, deaths, rows_ok, rows_invalid, rows_failed,"
            f" hash_read FROM chunks WHERE job_id = {service.key(job_id)} ORDER BY chunk_index"
        )
        told[name] = (status["status"], status["rows"], status["summary"], service.sql(chunks))
        assert status["error"] is None, status
        return status

    csv = api.upload(data, chunk_size=100)
    told["csv rows"] = (
        tell("csv", csv["job_id"]),
        api.rows(csv["file_id"]),
        api.rejects(csv["file_id"]),
    )[1:]
    json_lines = api.upload(lines, name="a.jsonl", type="application/x-ndjson", chunk_size=100)
    tell("json", json_lines["job_id"])
    scored = api.upload(data, chunk_size=100, processor="sentiment", text_column="name")
    told["texts"] = (tell("sentiment", scored["job_id"]), api.rows(scored["file_id"]))[1:]
    profile = api.client.post("/api/v1/jobs/analyze", json={"file_id": csv["file_id"]}).json()
    tell("profile", profile["job_id"])
    columns = [{"name": "n", "from": "id"}, {"name": "of", "from": "name"}]
    body = {"input_file_id": csv["file_id"], "mapping": {"columns": columns}}
    transform = api.client.post("/api/v1/jobs/transform", json=body).json()
    assert "job_id" in transform, transform
    made = tell("transform", transform["job_id"])
    told["made"] = made["summary"]
    return json.loads(json.dumps(told, default=str))  # type: ignore[no-any-return]


def test_suspects_of_every_processor_give_the_same_results(
    make_service: MakeService, dirty: Input
) -> None:
    service = make_service(MAX_CONCURRENCY=2)
    objects = [json.dumps({"id": n, "name": f"a {n}"}) for n in range(300)]
    objects[150] = '{"torn'
    lines = "\n".join(objects).encode()
    service.start()
    with service.api() as api:
        usual = outcomes(service, api, dirty.data, lines)
        suspect_all(service)
        alone = outcomes(service, api, dirty.data, lines)
    assert {bool(flag) for (flag,) in service.sql("SELECT DISTINCT is_suspect FROM chunks")} == {
        False,
        True,
    }
    for name, told in usual.items():
        assert alone[name] == told, name


@pytest.mark.parametrize("retries", [0, 1])
def test_the_bad_rows_of_a_suspect_are_rejected(make_service: MakeService, retries: int) -> None:
    """Its last attempt also runs in an isolated process."""
    service = make_service(
        PROCESSORS="tests.crash.processors:FussyProcessor",
        MAX_RETRIES=retries,
        BASE_BACKOFF=0.1,
        MAX_CONCURRENCY=1,
    )
    cells = [row for _, row in Input.clean(300).results]
    cells[150] = ["151", "bad", "0"]
    source = Input.of(cells)
    expected = Input(
        source.data, [r for r in source.results if r[0] != 151], [(151, 152, "processing_failed")]
    )
    service.start()
    suspect_all(service)
    with service.api() as api:
        status = api.run(expected.data, chunk_size=100, processor="fussy")
        assert status["status"] == "completed_with_errors"
        assert api.rows(status["file_id"]) == expected.results
        assert [
            (r["row_number"], r["line"], r["code"]) for r in api.rejects(status["file_id"])
        ] == expected.rejects
