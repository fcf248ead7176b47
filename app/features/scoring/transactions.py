"""The model of a transaction. Replace it by your own with `TRANSACTION_MODEL=package.module:Model`
(docs/scoring.md).
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Category = Literal[
    "grocery",
    "fuel",
    "restaurant",
    "travel",
    "electronics",
    "clothing",
    "health",
    "entertainment",
    "transfer",
    "other",
]
Channel = Literal["online", "pos", "atm"]


def _aware(value: datetime) -> datetime:
    """Interpret a time without a zone as UTC."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _storable(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not hold a NUL character")
    return value


Identifier = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_storable)]
Country = Annotated[str, Field(pattern="^[A-Z]{2}$", description="ISO 3166 code of two letters.")]


class Transaction(BaseModel):
    """One card transaction. Other columns of the file are kept in the results unread."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    transaction_id: Identifier
    timestamp: Annotated[datetime, AfterValidator(_aware)]
    account_id: Identifier
    merchant: Annotated[str, Field(max_length=100), AfterValidator(_storable)]
    category: Category
    channel: Channel
    country: Country
    home_country: Country
    amount: Annotated[Decimal, Field(gt=0, max_digits=14, decimal_places=2)]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR"
    transactions_24h: Annotated[
        int, Field(ge=0, description="Transactions of the account in the 24 hours before.")
    ] = 0
    account_age_days: Annotated[int, Field(ge=0)] = 0
