"""What a model service says of a transaction. Apart from the client, since a process that only
computes needs no HTTP.
"""

from __future__ import annotations

import msgspec


class Prediction(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    label: str
    fraud_score: float
    """0 to 1."""
    model_version: str
    latency_ms: float
    """Of the call that it came with."""


class Refusal(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """The service has no prediction for this transaction."""

    code: str
    message: str


Answer = Prediction | Refusal
