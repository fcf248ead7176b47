"""Each row of a scored file is in exactly one of scored, invalid, failed; the tables hold the
predictions of the service, once.
"""

from __future__ import annotations

from functools import partial

from tests.acceptance.crash.test_suspects import suspect_all
from tests.corrections.tables import ended, fixed, send
from tests.forks import Server
from tests.harness import Api, query, wait_until
from tests.scoring.services import ModelService, transactions

SUMMARY = (
    "SELECT prediction, COUNT(*) as count, AVG(fraud_score) as avg_score FROM predictions GROUP BY"
    " prediction"
)
PER_DAY = (
    "SELECT DATE(created_at) as date, COUNT(*) as transactions FROM transactions "
    "GROUP BY DATE(created_at) ORDER BY date DESC"
)


def test_rows_are_scored_rejected_or_failed_and_the_tables_hold_the_scored_ones(
    api: Api, server: Server, model: ModelService
) -> None:
    data = transactions(
        1000,
        seed=11,
        amount={3: "-5", 700: "a lot"},
        merchant={9: ""},
        channel={10: "carrier pigeon"},
    )
    model.misbehave(refuse=["tx-11-000000500"])

    status = api.run(data, processor="scoring", chunk_size=300)

    assert status["status"] == "completed_with_errors"
    assert status["rows"] == {"total": 1000, "ok": 995, "invalid": 4, "failed": 1, "unprocessed": 0}
    rejects = {r["row_number"]: r for r in api.rejects(status["file_id"])}
    assert {n: (r["code"], r["column"], r["kind"]) for n, r in rejects.items()} == {
        3: ("invalid_value", "amount", "invalid"),
        9: ("missing_value", "merchant", "invalid"),
        10: ("invalid_value", "channel", "invalid"),
        500: ("ml_refused", None, "failed"),
        700: ("invalid_value", "amount", "invalid"),
    }
    lines = data.split(b"\n")
    for number, reject in rejects.items():
        assert reject["line"] == number + 1
        assert data[reject["byte_start"] : reject["byte_end"]] == lines[number]
    assert api.proof(status["file_id"])["closes"]
    rows = dict(api.rows(status["file_id"]))
    assert set(rows) == set(range(1, 1001)) - set(rejects)
    stored = dict(
        query(
            server.url,
            "SELECT transaction_id, fraud_score FROM predictions WHERE transaction_id LIKE"
            " 'tx-11-%'",
        )
    )
    assert stored == {cells[0]: float(cells[-2]) for cells in rows.values()}
    assert status["summary"]["written"] == {
        table: {"inserted": 995, "updated": 0, "unchanged": 0}
        for table in ("transactions", "predictions")
    }
    assert sum(status["summary"]["predictions"].values()) == 995
    assert query(server.url, "SELECT COUNT(*) FROM transactions")[0][0] >= 995
    assert {row[0] for row in query(server.url, SUMMARY)} == {"fraud", "legitimate"}
    assert query(server.url, PER_DAY)


def test_corrected_transactions_look_as_if_they_had_been_right(
    api: Api, server: Server, model: ModelService
) -> None:
    """Rows that were invalid, and one that the model service refused: tables, counts, summary, and
    the undo of all.
    """
    good = transactions(300, seed=15)
    names, *lines = [line.split(",") for line in good.decode().splitlines()]
    bad = transactions(300, seed=15, amount={3: "-5", 250: "a lot"}, merchant={9: ""})
    model.misbehave(refuse=["tx-15-000000120"])
    job = api.run(bad, processor="scoring", chunk_size=100)
    assert job["rows"] == {"total": 300, "ok": 296, "invalid": 3, "failed": 1, "unprocessed": 0}

    model.misbehave()
    body = fixed(
        api,
        job["file_id"],
        lambda line: line | dict(zip(names, lines[int(line["_row"]) - 1], strict=True)),
    )
    correction = ended(api, send(api, job["file_id"], body))
    assert (correction["status"], correction["rows"]["ok"]) == ("completed", 4)
    assert model.stats()["rows"] == 4, "only they are scored again"
    status = api.status(job["file_id"])
    assert (status["status"], status["rows"]["ok"]) == ("completed", 300)
    assert sum(status["summary"]["predictions"].values()) == 300
    assert status["summary"]["written"]["predictions"] == {
        "inserted": 300,
        "updated": 0,
        "unchanged": 0,
    }
    assert api.proof(job["file_id"])["closes"]
    assert api.proof(correction["file_id"])["closes"]

    def held(table: str) -> list[tuple[object, ...]]:
        columns = "transaction_id, row_number, content_hash, job_id"
        found = (
            f"SELECT {columns} FROM {table} WHERE transaction_id LIKE 'tx-15-%' ORDER BY row_number"
        )
        return [(*row[:3], str(row[3]).replace("-", "")) for row in query(server.url, found)]

    before = {table: held(table) for table in ("transactions", "predictions")}
    assert [row[:2] for row in before["predictions"]] == [
        (line[0], i) for i, line in enumerate(lines, 1)
    ]
    assert {row[3] for rows in before.values() for row in rows} == {job["job_id"].replace("-", "")}
    clean = api.run(good, processor="scoring", chunk_size=100)
    assert clean["summary"]["written"]["transactions"] == {
        "inserted": 0,
        "updated": 0,
        "unchanged": 300,
    }
    assert clean["summary"]["predictions"] == status["summary"]["predictions"]
    assert api.rows(clean["file_id"]) == api.rows(job["file_id"])
    assert api.proof(clean["file_id"])["hash"] == api.proof(job["file_id"])["hash"]

    def is_undone(job_id: str) -> bool:
        undo = api.client.get(f"/api/v1/jobs/{job_id}/status").json()["undo"]
        return bool(undo["state"] == "undone")

    for each in (clean, job):
        assert api.client.post(f"/api/v1/undo/{each['job_id']}").status_code in (200, 202)
        wait_until(partial(is_undone, each["job_id"]), what="the undo")
        left = {table: held(table) for table in before}
        assert left == (before if each is clean else {"transactions": [], "predictions": []})


def test_digits_alone_are_not_a_time_and_times_keep_their_precision(
    api: Api, server: Server, model: ModelService
) -> None:
    exact = "2026-01-05T10:20:30.123456000+02:00"
    times = {1: "46023", 2: "31122025", 3: "2026", 4: "2026-01-05T10:20:30.123456789Z", 5: exact}
    data = transactions(6, seed=16, timestamp=times, amount={6: "1_0.5"})

    status = api.run(data, processor="scoring")

    assert (status["rows"]["ok"], status["rows"]["invalid"]) == (1, 5)
    rejects = {
        r["row_number"]: (r["code"], r["column"], r["value"])
        for r in api.rejects(status["file_id"])
    }
    expected = {
        number: ("invalid_value", "timestamp", text)
        for number, text in times.items()
        if number != 5
    }
    assert rejects == {**expected, 6: ("invalid_value", "amount", "1_0.5")}
    ((moment,),) = query(
        server.url, "SELECT timestamp FROM transactions WHERE transaction_id LIKE 'tx-16-%'"
    )
    assert "08:20:30.123456" in str(moment)


def test_a_file_that_was_uploaded_before_can_be_scored(api: Api, model: ModelService) -> None:
    upload = api.upload(transactions(300, seed=12, amount={7: "nothing"}))  # for its rows alone
    assert api.finished(upload["file_id"])["rows"]["ok"] == 300

    outcomes = []
    for _ in range(2):
        response = api.client.post(
            "/api/v1/jobs/score", json={"file_id": upload["file_id"], "chunk_size": 100}
        )
        assert response.status_code == 201, response.text
        outcomes.append(api.finished(response.json()["job_id"]))

    assert [outcome["rows"]["ok"] for outcome in outcomes] == [299, 299]
    chunks = api.client.get(f"/api/v1/jobs/{outcomes[0]['job_id']}/chunks").json()["items"]
    assert len(chunks) == 3
    assert outcomes[0]["summary"]["written"]["predictions"] == {
        "inserted": 299,
        "updated": 0,
        "unchanged": 0,
    }
    assert outcomes[1]["summary"]["written"]["predictions"] == {
        "inserted": 0,
        "updated": 0,
        "unchanged": 299,
    }
    assert len(api.rows(outcomes[1]["job_id"])) == 299
    assert [reject["row_number"] for reject in api.rejects(outcomes[1]["job_id"])] == [7]

    def refused(**body: object) -> tuple[int, str]:
        answer = api.client.post("/api/v1/jobs/score", json=body)
        return answer.status_code, answer.json()["code"]

    assert refused(file_id="00000000-0000-4000-8000-000000000000") == (404, "not_found")
    assert refused(file_id=upload["file_id"], source="s3://transactions/a.csv") == (
        422,
        "invalid_parameter",
    )
    assert refused(file_id=upload["file_id"], delimiter=";") == (422, "invalid_parameter")
    assert refused() == (422, "invalid_parameter")


def test_suspects_are_scored_in_isolated_processes_with_the_same_result(
    api: Api, server: Server, model: ModelService
) -> None:
    data = transactions(300, seed=19, amount={3: "-5"})
    model.misbehave(refuse=["tx-19-000000100"])
    usual = api.run(data, processor="scoring", chunk_size=100)
    suspect_all(server)
    try:
        alone = api.run(data, processor="scoring", chunk_size=100)
    finally:
        query(
            server.url,
            (
                "DROP TRIGGER suspect"
                if server.url.startswith("sqlite")
                else "DROP FUNCTION suspect CASCADE"
            ),
        )
    assert (
        alone["rows"]
        == usual["rows"]
        == {
            "total": 300,
            "ok": 298,
            "invalid": 1,
            "failed": 1,
            "unprocessed": 0,
        }
    )
    assert api.rows(alone["file_id"]) == api.rows(usual["file_id"])
    assert alone["summary"]["predictions"] == usual["summary"]["predictions"]
    assert api.proof(alone["file_id"])["closes"]
