"""Whatever the model service answers, each transaction gets its own prediction or a reason, with no
unnecessary calls.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import msgspec
import pytest

from app.features.scoring.answers import Answer, Prediction, Refusal
from app.features.scoring.ml_api import Item, MLApi
from tests.scoring.services import ModelService, transactions


def items(count: int, seed: int) -> list[Item]:
    names, *rows = [
        line.split(",") for line in transactions(count, seed=seed).decode().splitlines()
    ]
    bodies = [dict(zip(names, row, strict=True)) | {"id": str(i)} for i, row in enumerate(rows)]
    return [Item(body["id"], msgspec.json.encode(body)) for body in bodies]


@pytest.fixture
async def client(model: ModelService) -> AsyncIterator[MLApi]:
    m_l_api = MLApi(model.url, batch_size=100, max_workers=5, timeout_seconds=1)
    yield m_l_api
    await m_l_api.close()


def scores(answers: list[Answer]) -> list[float | str]:
    return [
        answer.fraud_score if isinstance(answer, Prediction) else answer.code for answer in answers
    ]


@pytest.fixture(scope="module")
def given() -> list[Item]:
    return items(1000, seed=21)


@pytest.fixture(scope="module")
def truth(model_process: ModelService, given: list[Item]) -> list[float]:
    """Scores from the service without faults."""
    model_process.misbehave()
    sent = {"transactions": [msgspec.json.decode(item.body) for item in given]}
    answer = model_process.client.post("/predict", json=sent).json()
    found = {p["id"]: p["fraud_score"] for p in answer["predictions"]}
    return [found[item.id] for item in given]


@pytest.mark.parametrize(
    "faults",
    [
        {"error_rate": 0.3, "hang_rate": 0.1},
        {"requests_per_second": 40, "retry_after": "-5"},
        {"requests_per_second": 8, "retry_after": "1"},
        *(
            {"bad_answers": 3, "bad_answer": how}
            for how in ("truncated", "missing", "other_ids", "nan", "html", "huge")
        ),
        {"bad_answers": 1000, "bad_answer": "shuffled"},
    ],
    ids=lambda f: " ".join(map(str, f.values())),
)
async def test_transient_errors_are_waited_for_and_invalid_responses_retried(
    client: MLApi,
    model: ModelService,
    given: list[Item],
    truth: list[float],
    faults: dict[str, object],
) -> None:
    await asyncio.to_thread(model.misbehave, **faults)
    assert scores(await client.score("job", given)) == truth
    assert model.stats()["most_at_once"] <= 5


@pytest.mark.parametrize("bad", [1, 5, 50])
async def test_refused_rows_are_isolated_by_halving_and_cost_no_other_row(
    client: MLApi, model: ModelService, bad: int
) -> None:
    count, step = 10_000, 10_000 // bad
    refused = {step * i + i % 97 for i in range(bad)}
    model.misbehave(refuse=[f"tx-22-{number + 1:09d}" for number in refused])
    answers = await client.score("job", items(count, seed=22))
    assert {i for i, answer in enumerate(answers) if isinstance(answer, Refusal)} == refused
    assert {answer.code for answer in answers if isinstance(answer, Refusal)} == {"ml_refused"}
    extra = model.stats()["requests"] - count / 100
    assert extra <= bad * 2 * math.log2(100)
