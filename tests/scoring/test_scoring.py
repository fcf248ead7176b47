"""Each row of a scored file is in exactly one of scored, invalid, failed; the tables hold what the service said, once."""

from __future__ import annotations

from tests.harness import Api, Server, query
from tests.scoring.services import ModelService, transactions

SUMMARY = "SELECT prediction, COUNT(*) as count, AVG(fraud_score) as avg_score FROM predictions GROUP BY prediction"
PER_DAY = (
    "SELECT DATE(created_at) as date, COUNT(*) as transactions FROM transactions "
    "GROUP BY DATE(created_at) ORDER BY date DESC"
)


def test_rows_are_scored_rejected_or_failed_and_the_tables_hold_the_scored_ones(
    api: Api, server: Server, model: ModelService
) -> None:
    data = transactions(1000, seed=11, amount={3: "-5", 700: "a lot"}, merchant={9: ""}, channel={10: "carrier pigeon"})
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
        query(server.url, "SELECT transaction_id, fraud_score FROM predictions WHERE transaction_id LIKE 'tx-11-%'")
    )
    assert stored == {cells[0]: float(cells[-2]) for cells in rows.values()}
    assert status["summary"]["written"] == {
        table: {"inserted": 995, "updated": 0, "unchanged": 0} for table in ("transactions", "predictions")
    }
    assert sum(status["summary"]["predictions"].values()) == 995
    assert query(server.url, "SELECT COUNT(*) FROM transactions")[0][0] >= 995
    assert {row[0] for row in query(server.url, SUMMARY)} == {"fraud", "legitimate"}
    assert query(server.url, PER_DAY)
