"""Answers of a model service. Separate from the client, since compute processes need no HTTP."""

from __future__ import annotations

import msgspec


class Prediction(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    label: str
    fraud_score: float
    """Probability from 0 to 1."""
    model_version: str
    latency_ms: float
    """Latency of the call that returned it."""


class Refusal(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """The service has no prediction for this transaction."""

    code: str
    message: str


Answer = Prediction | Refusal
