"""Generated transactions with planted fraud: the model is trained on them, and the demos and tests
score them.

Four kinds of fraud are hidden among ordinary purchases: abroad at night online, bursts of small
amounts (trying a stolen card), large electronics from new accounts, and repeated round sums from
cash machines. Ordinary customers do each of these things too; only in combination are they
suspicious, and some fraud looks ordinary.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from app.features.scoring.transactions import Category, Channel

CATEGORIES, CHANNELS = get_args(Category), get_args(Channel)
COUNTRIES = ("DE", "FR", "NL", "ES", "IT", "PL", "US", "GB", "BR", "NG", "VN", "TR")
COLUMNS = (
    "transaction_id",
    "timestamp",
    "account_id",
    "merchant",
    "category",
    "channel",
    "country",
    "home_country",
    "amount",
    "currency",
    "transactions_24h",
    "account_age_days",
)
START = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LabelledTransaction:
    fields: dict[str, Any]
    is_fraud: bool


def make(count: int, *, seed: int = 1, fraud_rate: float = 0.03) -> Iterator[LabelledTransaction]:
    """Yield `count` transactions, the same for the same seed."""
    rng = random.Random(seed)
    for number in range(1, count + 1):
        is_fraud = rng.random() < fraud_rate
        fields = _ordinary(rng)
        if is_fraud and rng.random() < 0.93:  # the rest looks legitimate
            rng.choice((_abroad_at_night, _card_being_tried, _new_account, _drawn_in_a_hurry))(
                rng, fields
            )
        hour, day = fields.pop("hour"), rng.randrange(365)
        when = START + timedelta(days=day, hours=hour, seconds=rng.randrange(3600))
        yield LabelledTransaction(
            {
                "transaction_id": f"tx-{seed}-{number:09d}",
                "timestamp": when.isoformat(),
                **fields,
                "amount": f"{fields['amount']:.2f}",
            },
            is_fraud,
        )


def _ordinary(rng: random.Random) -> dict[str, Any]:
    home = rng.choice(COUNTRIES[:8])
    return {
        "hour": int(rng.triangular(0, 24, 15)) % 24,
        "account_id": f"acc-{rng.randrange(20_000):05d}",
        "merchant": f"merchant-{rng.randrange(2_000):04d}",
        "category": rng.choices(CATEGORIES, (24, 10, 16, 5, 6, 9, 6, 8, 10, 6))[0],
        "channel": rng.choices(CHANNELS, (40, 50, 10))[0],
        "country": home if rng.random() < 0.93 else rng.choice(COUNTRIES),
        "home_country": home,
        "amount": min(9_999.0, rng.lognormvariate(3.4, 1.0) + 0.5),
        "currency": "EUR",
        "transactions_24h": min(12, int(rng.expovariate(0.6))),
        "account_age_days": int(rng.triangular(1, 4000, 900)),
    }


def _abroad_at_night(rng: random.Random, fields: dict[str, Any]) -> None:
    abroad = rng.choice([c for c in COUNTRIES if c != fields["home_country"]])
    amount = fields["amount"] * rng.uniform(3, 12)
    fields.update(hour=rng.randrange(0, 5), channel="online", country=abroad, amount=amount)


def _card_being_tried(rng: random.Random, fields: dict[str, Any]) -> None:
    fields.update(
        channel="online", amount=rng.uniform(0.5, 6), transactions_24h=rng.randrange(8, 40)
    )


def _new_account(rng: random.Random, fields: dict[str, Any]) -> None:
    fields.update(
        category="electronics", amount=rng.uniform(400, 3000), account_age_days=rng.randrange(0, 20)
    )


def _drawn_in_a_hurry(rng: random.Random, fields: dict[str, Any]) -> None:
    fields.update(
        channel="atm",
        amount=float(rng.choice((200, 300, 500))),
        transactions_24h=rng.randrange(4, 12),
    )
