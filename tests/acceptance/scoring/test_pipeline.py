"""`python -m app pipeline`: from a bucket to the tables, with the documented lines and exit
codes.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, query
from tests.scoring.services import Bucket, ModelService, Pipeline, transactions

STAMP = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - "


@pytest.fixture
def pipeline(databases: Databases, bucket: Bucket, model: ModelService, tmp_path: Path) -> Pipeline:
    storage = tmp_path / "storage"
    return Pipeline(
        databases.create(storage).replace("+asyncpg", ""),
        storage,
        ML_API_URL=model.url,
        **bucket.environment,
    )


def count(pipeline: Pipeline, table: str) -> int:
    return int(query(pipeline.url, f"SELECT count(*) FROM {table}")[0][0])


def test_a_run_prints_the_documented_summary_and_writes_every_transaction(
    pipeline: Pipeline, bucket: Bucket, model: ModelService
) -> None:
    bucket.put("2026/a.csv", transactions(700, seed=1))
    bucket.put("2026/b.csv", transactions(400, seed=2, amount={5: "nothing"}))
    bucket.put("2026/notes.txt", b"not for us")

    code, lines = pipeline.run_from_nothing(ROW_BATCH_SIZE=500)

    assert code == 0, lines
    assert all(re.match(STAMP + "INFO - ", line) for line in lines), lines
    said = [re.sub(STAMP + "INFO - ", "", line) for line in lines]
    assert said[0] == "Starting batch pipeline"
    assert re.fullmatch(r"Pipeline Run ID: batch_\d{8}_\d{6}", said[1])
    batches = [
        re.fullmatch(r"Batch (\d+): processed (\d+) transactions", line) for line in said[2:-2]
    ]
    assert [int(match[1]) for match in batches if match] == list(range(3))
    assert sorted(int(match[2]) for match in batches if match) == [200, 399, 500]
    assert said[-2:] == [
        "Successfully wrote 1099 transactions to database",
        "Pipeline complete: 1099 processed, 0 failed, 1 invalid",
    ]
    assert (pipeline.folder / "logs" / "batch_pipeline.log").read_text().splitlines() == lines
    assert count(pipeline, "transactions") == count(pipeline, "predictions") == 1099

    model.misbehave(refuse=["tx-2-000000007"])  # earlier predictions stay
    code, lines = pipeline.run()
    assert (code, lines[-1].rpartition(" - ")[2]) == (
        1,
        "Pipeline complete: 1098 processed, 1 failed, 1 invalid",
    )
    assert count(pipeline, "transactions") == count(pipeline, "predictions") == 1099


CONTENT = (
    "SELECT t.transaction_id, t.content_hash, t.row_number, p.prediction, p.fraud_score,"
    " p.model_version, p.row_number FROM transactions t JOIN predictions p ON p.transaction_id ="
    " t.transaction_id WHERE t.transaction_id LIKE 'tx-3%' ORDER BY t.transaction_id"
)


def test_repeated_kills_give_the_tables_of_an_undisturbed_run(
    pipeline: Pipeline, api: Api, server: Server, bucket: Bucket
) -> None:
    """With repeated transactions, so that the order in which chunks end would show."""
    header, rows = transactions(400, seed=31).split(b"\n", 1)
    _, changed = transactions(400, seed=31, currency=dict.fromkeys(range(1, 401, 7), "USD")).split(
        b"\n", 1
    )
    bucket.put("a.csv", header + b"\n" + rows + changed)
    bucket.put("b.csv", header + b"\n" + rows)
    response = api.client.post(
        "/api/v1/jobs/score", json={"source": f"s3://{bucket.name}/*.csv", "chunk_size": 100}
    )
    assert api.finished(response.json()["job_id"])["status"] == "completed"

    patient = {
        "ROW_BATCH_SIZE": 100,
        "LEASE_SECONDS": 1,
        "HEARTBEAT_SECONDS": 0.3,
        "RECONCILE_SECONDS": 0.3,
    }
    for point in (
        "split.after_commit=kill",
        "ml.after_response=kill@5",
        "chunk.after_write=kill@3",
    ):
        code, lines = pipeline.run(**patient, GRANULA_FAIL=point)
        assert code == -9, lines
    code, lines = pipeline.run(**patient)

    assert code == 0, lines
    assert any(line.endswith("(continued)") for line in lines), lines
    assert lines[-1].endswith("Pipeline complete: 1200 processed, 0 failed, 0 invalid")
    assert query(pipeline.url, CONTENT) == query(server.url, CONTENT)
    assert query(pipeline.url, "SELECT count(*) FROM jobs") == [(3,)]


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_fifty_random_kills_give_the_tables_of_an_undisturbed_run(
    pipeline: Pipeline, databases: Databases, bucket: Bucket, model: ModelService, tmp_path: Path
) -> None:
    """Two kills for each database."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201
    rng, killed_at_work = random.Random(seed), 0
    bucket.put("a.csv", transactions(3000, seed=33))
    patient = {
        "ROW_BATCH_SIZE": 100,
        "LEASE_SECONDS": 1,
        "HEARTBEAT_SECONDS": 0.3,
        "RECONCILE_SECONDS": 0.3,
    }
    assert pipeline.run(**patient)[0] == 0
    undisturbed = query(pipeline.url, CONTENT)
    active = "SELECT count(*) FROM jobs WHERE status IN ('queued', 'processing')"
    for number in range(25):
        begun = 1
        folder = tmp_path / f"run {number}"
        run = Pipeline(
            databases.create(folder).replace("+asyncpg", ""), folder, **pipeline.environment
        )
        for _ in range(2):
            model.misbehave(latency_ms=100)
            run.launch(**patient)
            run.kill_after(rng.uniform(0, 1.0))
            at_work = query(run.url, active) != [(0,)]
            killed_at_work += at_work
            # it finished before it was killed: the next one has nothing to continue
            begun += not at_work
        model.misbehave()
        code, lines = run.run(**patient)
        assert code == 0, lines
        assert query(run.url, CONTENT) == undisturbed
        assert query(run.url, "SELECT count(*) FROM jobs") == [(2 * begun,)], (
            "of the run and of its object"
        )
    assert killed_at_work > 15, "or this proves little"


def test_a_prefix_is_literal_and_the_pattern_follows_it(pipeline: Pipeline, bucket: Bucket) -> None:
    bucket.put("rep[1]/a.csv", transactions(20, seed=33))
    bucket.put("rep[1]/b.txt", b"not for us")
    bucket.put("rep1/a.csv", transactions(30, seed=34))
    for arguments in (("--prefix", "rep[1]/"), ("--prefix", "rep[1]/a.csv", "--pattern", "")):
        code, lines = pipeline.run(*arguments)
        assert code == 0, lines
        assert (
            lines[-1].rpartition(" - ")[2] == "Pipeline complete: 20 processed, 0 failed, 0 invalid"
        )


def test_the_exit_code_tells_cron_what_happened(pipeline: Pipeline, bucket: Bucket) -> None:
    code, lines = pipeline.run()
    assert (code, lines[-1].rpartition(" - ")[2]) == (
        2,
        f"No object matches s3://{bucket.name}/*.csv.",
    )

    bucket.put("a.csv", transactions(300, seed=32))
    code, lines = pipeline.run("--give-up-after", "1", ML_API_URL="http://127.0.0.1:9")
    assert code == 3
    assert any(
        "Failed to get predictions: Connection refused (http://127.0.0.1:9)" in line
        for line in lines
    ), lines
