"""Ordinary Pydantic models, as users write them: of a transaction, and of a record."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Any, ClassVar

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field

from app.schemas.base import RecordSchema


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Inner(BaseModel):
    at: datetime


class Everything(BaseModel):
    """One field of each type."""

    transaction_id: str = "t"
    moment: datetime | None = None
    day: date | None = None
    clock: time | None = None
    duration: timedelta | None = None
    whole: int | None = None
    decimal: Decimal | None = None
    double: float | None = None
    truth: bool | None = None
    level: Level | None = None
    inner: Inner | None = None
    many: list[datetime] = Field(default_factory=list)
    either: datetime | int | None = None


class StrictEverything(Everything):
    model_config = ConfigDict(strict=True)


class Record(RecordSchema):
    schema_name: ClassVar[str] = "everything"

    moment: datetime | None = None
    day: date | None = None
    clock: time | None = None
    duration: timedelta | None = None
    whole: int | None = None
    decimal: Decimal | None = None
    double: float | None = None
    truth: bool | None = None
    level: Level | None = None
    inner: Inner | None = None
    many: list[datetime] = Field(default_factory=list)
    either: datetime | int | None = None


class Aliased(BaseModel):
    """Columns and fields have different names."""

    transaction_id: str = Field(validation_alias="TxnID")
    account_id: str = Field(alias="Account")
    amount: Decimal = Field(validation_alias=AliasChoices("Betrag", "Amount"))
    timestamp: datetime = Field(validation_alias=AliasChoices(AliasPath("When"), "at"))
    note: str = ""


class ByName(BaseModel):
    model_config = ConfigDict(validate_by_name=True)

    transaction_id: str = Field(alias="TxnID")
    city: str = Field(default="", validation_alias=AliasPath("address", "city"))


class Generated(BaseModel):
    model_config = ConfigDict(alias_generator=str.upper, extra="allow")

    transaction_id: str
    amount: Decimal


class Inside(BaseModel):
    transaction_id: str = Field(validation_alias=AliasPath("meta", "id"))


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")

    transaction_id: str
    data: Any = None
