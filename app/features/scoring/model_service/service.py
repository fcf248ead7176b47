"""`python -m app ml-api`: a model service for trials of the pipeline. It makes real predictions,
and fails on request.

`PUT /faults` injects failures from now on, `GET /stats` returns what was requested.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import OrderedDict
from typing import Annotated, Any, Literal, Protocol

from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field

MAX_TRANSACTIONS = 10_000
REMEMBERED_KEYS = 20_000
FRAUD, LEGITIMATE = "fraud", "legitimate"


class Model(Protocol):
    @property
    def version(self) -> str: ...

    def scores(self, transactions: list[dict[str, Any]]) -> list[float]: ...


class Faults(BaseModel):
    """All off by default. Rates are shares of the requests, 0 to 1."""

    model_config = ConfigDict(extra="forbid")

    latency_ms: float = Field(default=0, ge=0, description="Minimum duration of a request.")
    requests_per_second: float = Field(
        default=0, ge=0, description="Requests beyond this number get a 429; 0 means no limit."
    )
    retry_after: str = Field(
        default="1", description="Retry-After of the 429 responses; none if empty."
    )
    error_rate: float = Field(
        default=0, ge=0, le=1, description="Share of requests that get a 500."
    )
    hang_rate: float = Field(default=0, ge=0, le=1, description="Never answered.")
    outage_seconds: float = Field(
        default=0, ge=0, description="Every request gets a 503 from now on."
    )
    bad_answers: int = Field(
        default=0,
        ge=0,
        description="Number of next responses that are corrupted as `bad_answer` says.",
    )
    bad_answer: Literal["truncated", "missing", "other_ids", "nan", "html", "huge", "shuffled"] = (
        "truncated"
    )
    refuse: list[str] = Field(
        default=[], description="A batch with one of these transaction_ids gets a 422."
    )
    seed: int = 1


class Call(BaseModel):
    transactions: list[dict[str, Any]] = Field(max_length=MAX_TRANSACTIONS)


class _State:
    def __init__(self) -> None:
        self.set(Faults())
        self.answers: OrderedDict[str, bytes] = OrderedDict()
        self.stats = {"requests": 0, "answered": 0, "rows": 0, "replayed": 0, "most_at_once": 0}
        self.by_status: dict[str, int] = {}
        self.at_once = 0

    def set(self, faults: Faults) -> None:
        self.faults = faults
        self.random = random.Random(faults.seed)
        self.bad_answers = faults.bad_answers
        self.away_until = time.monotonic() + faults.outage_seconds
        self.tokens, self.filled_at = max(1.0, faults.requests_per_second), time.monotonic()

    def is_over_the_cap(self) -> bool:
        cap, now = self.faults.requests_per_second, time.monotonic()
        if not cap:
            return False
        self.tokens = min(max(1.0, cap), self.tokens + (now - self.filled_at) * cap)
        self.filled_at = now
        if self.tokens < 1:
            return True
        self.tokens -= 1
        return False


def create_model_service(model: Model) -> FastAPI:
    app = FastAPI(title="Fraud model", description="Predicts whether card transactions are fraud.")
    state = _State()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "model_version": model.version}

    @app.get("/faults")
    async def get_faults() -> Faults:
        return state.faults

    @app.put("/faults")
    async def put_faults(faults: Faults) -> Faults:
        state.set(faults)
        return faults

    @app.get("/stats")
    async def stats() -> dict[str, Any]:
        return {**state.stats, "by_status": state.by_status}

    @app.delete("/stats", status_code=204)
    async def forget() -> Response:
        """Reset the statistics and the answers stored by Idempotency-Key."""
        state.stats = dict.fromkeys(state.stats, 0)
        state.by_status.clear()
        state.answers.clear()
        return Response(status_code=204)

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        lines = [f"ml_api_{name} {value}" for name, value in state.stats.items()]
        lines += [
            f'ml_api_responses{{status="{status}"}} {count}'
            for status, count in state.by_status.items()
        ]
        return PlainTextResponse("\n".join(lines) + "\n")

    @app.post("/predict")
    async def predict(
        call: Call,
        request: Request,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> Response:
        """Return one prediction for each transaction, under its id. A repeated Idempotency-Key gets
        the first answer again.
        """
        state.stats["requests"] += 1
        state.at_once += 1
        state.stats["most_at_once"] = max(state.stats["most_at_once"], state.at_once)
        began = time.monotonic()
        try:
            response = await _answer(call, idempotency_key, request)
            await asyncio.sleep(max(0.0, began + state.faults.latency_ms / 1000 - time.monotonic()))
        finally:
            state.at_once -= 1
        status = str(response.status_code)
        state.by_status[status] = state.by_status.get(status, 0) + 1
        return response

    async def _answer(call: Call, key: str | None, request: Request) -> Response:
        faults = state.faults
        if time.monotonic() < state.away_until:
            return JSONResponse({"detail": "out of order"}, 503)
        if state.is_over_the_cap():
            headers = {"Retry-After": faults.retry_after} if faults.retry_after else {}
            return JSONResponse({"detail": "too many requests"}, 429, headers)
        if state.random.random() < faults.hang_rate:
            while (await request.receive())["type"] != "http.disconnect":
                pass  # and no longer, or it would count among the concurrent calls
        if state.random.random() < faults.error_rate:
            return JSONResponse({"detail": "something broke"}, 500)
        if refused := [t for t in call.transactions if t.get("transaction_id") in faults.refuse]:
            return JSONResponse({"detail": f"{len(refused)} transactions cannot be scored"}, 422)
        if key is not None and (known := state.answers.get(key)) is not None:
            state.stats["replayed"] += 1
            content = known
        else:
            try:
                scores = await asyncio.to_thread(model.scores, call.transactions)
            except (KeyError, ValueError, TypeError) as error:
                return JSONResponse(
                    {"detail": f"a transaction cannot be read: {error!r}"[:200]}, 422
                )
            content = _body(call.transactions, scores, model.version)
            state.stats["rows"] += len(scores)
            if key is not None:
                state.answers[key] = content
                if len(state.answers) > REMEMBERED_KEYS:
                    state.answers.popitem(last=False)
        state.stats["answered"] += 1
        if state.bad_answers:
            state.bad_answers -= 1
            content = _spoilt(content, faults.bad_answer)
        return Response(content, media_type="application/json")

    return app


def _body(transactions: list[dict[str, Any]], scores: list[float], version: str) -> bytes:
    predictions = [
        {
            "id": t.get("id"),
            "prediction": FRAUD if score >= 0.5 else LEGITIMATE,
            "fraud_score": score,
        }
        for t, score in zip(transactions, scores, strict=True)
    ]
    return JSONResponse({"model_version": version, "predictions": predictions}).body  # type: ignore[return-value]


def _spoilt(content: bytes, how: str) -> bytes:
    if how == "truncated":
        return content[: len(content) // 2]
    if how == "html":
        return b"<html><body>Welcome</body></html>"
    if how == "nan":
        return content.replace(b'"fraud_score":', b'"fraud_score":NaN,"x":', 1)
    if how == "huge":
        return content + b" " * (32 << 20)
    body = json.loads(content)
    if how == "missing":
        body["predictions"].pop()
    elif how == "other_ids":
        body["predictions"][0]["id"] = "somebody else"
    else:
        body["predictions"].reverse()
    return json.dumps(body).encode()
