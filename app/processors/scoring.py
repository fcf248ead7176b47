"""Scoring: each row is held against the model of a transaction, and the valid ones get a prediction from the model service.

Every row ends in exactly one of scored (a result), invalid (a reject that names the field), failed (a reject of kind
`failed`: the model service has no prediction for it).
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from typing import Any

import msgspec
import xxhash
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.clients.ml_api import Answer, Item, MLApi, Prediction, Refusal
from app.errors import MissingColumn, SettingsInvalid
from app.formats.base import CellRows, ObjectRows, Reject, Rows
from app.processors.base import ChunkContext, ChunkOutcome

ADDED_COLUMNS = ("prediction", "fraud_score", "model_version")
KEY = "transaction_id"
MAX_AMOUNT = 10**16
ROWS_AT_ONCE = 50
"""Validated by one call, during which nobody else gets the interpreter: 5,000 would keep the event loop for 40 ms."""
TYPED = ("timestamp", "account_id", "amount", "currency")
"""Fields that have a column of their own in the table of transactions, besides the key; all are in `data`."""


def load_model(path: str) -> type[BaseModel]:
    """The Pydantic model `package.module:Model`; raises SettingsInvalid if it cannot describe transactions."""
    module, _, name = path.partition(":")
    try:
        model = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsInvalid(f"TRANSACTION_MODEL: {path!r} cannot be loaded: {error}") from error
    if not (isinstance(model, type) and issubclass(model, BaseModel) and KEY in model.model_fields):
        raise SettingsInvalid(f"TRANSACTION_MODEL: {path!r} must be a Pydantic model with a field {KEY}.")
    return model


@dataclass(frozen=True, slots=True)
class _Valid:
    """A row that may be scored."""

    place: int
    """Among the rows given."""
    key: str
    data: bytes
    """The fields as a JSON object: what is sent, and what is stored."""
    typed: tuple[Any, ...]
    """The values of TYPED."""


@dataclass(frozen=True, slots=True)
class _Checked:
    valid: list[_Valid] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    """Of the valid rows."""
    rejects: list[Reject] = field(default_factory=list)


class ScoringProcessor:
    name = "scoring"

    def __init__(self, ml_api: MLApi, model: type[BaseModel], chunk_size: int | None = None) -> None:
        """`chunk_size`: rows of a chunk where a job does not ask for another number."""
        self.chunk_size = chunk_size
        self._ml_api = ml_api
        self._model = model
        self._adapter: TypeAdapter[list[BaseModel]] = TypeAdapter(list[model])  # type: ignore[valid-type]
        self._one: TypeAdapter[BaseModel] = TypeAdapter(model)
        names = {name: field.serialization_alias or field.alias or name for name, field in model.model_fields.items()}
        self._has_id = "id" in names.values()
        self._needed = [field.alias or name for name, field in model.model_fields.items() if field.is_required()]

    def columns(self, header: Sequence[str]) -> Sequence[str]:
        self._ml_api.check_configured()
        if header:
            for name in self._needed:
                if name not in header:
                    near = difflib.get_close_matches(name, header, 1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise MissingColumn(f"There is no column {name!r}{hint}", column=name)
        return [*header, *ADDED_COLUMNS]

    async def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        checked: _Checked = await context.in_thread(self._check, rows)
        answers = await self._ml_api.score(str(context.job_id), checked.items)
        outcome: ChunkOutcome = await context.in_thread(self._outcome, rows, checked, answers)
        return outcome

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        total: dict[str, Any] = {"predictions": {}, "model_versions": []}
        for summary in summaries:
            for label, count in summary.get("predictions", {}).items():
                total["predictions"][label] = total["predictions"].get(label, 0) + count
            total["model_versions"] = sorted({*total["model_versions"], *summary.get("model_versions", ())})
            for table, counts in summary.get("written", {}).items():
                written = total.setdefault("written", {}).setdefault(table, {})
                for kind, count in counts.items():
                    written[kind] = written.get(kind, 0) + count
        return total if total["predictions"] or total["model_versions"] or "written" in total else {}

    # ------------------------------------------------------------------ before the call

    def _check(self, rows: Rows) -> _Checked:
        records, numbers, columns = rows.records(), rows.numbers, rows.columns
        checked = _Checked()
        for start in range(0, len(records), ROWS_AT_ONCE):
            some = records[start : start + ROWS_AT_ONCE]
            if isinstance(some[0], list):
                # An empty cell is no value: a field with a default takes it, any other is told to be missing.
                some = [{name: cell for name, cell in zip(columns, cells, strict=False) if cell} for cells in some]
            self._check_some(some, start, numbers, checked)
        return checked

    def _check_some(self, records: list[dict[str, Any]], start: int, numbers: Sequence[int], checked: _Checked) -> None:
        wrong: dict[int, dict[str, Any]] = {}
        try:
            models = self._adapter.validate_python(records)
        except ValidationError as error:
            for each in error.errors(include_url=False, include_context=False):
                wrong.setdefault(int(each["loc"][0]), dict(each))
            models = self._adapter.validate_python([r for i, r in enumerate(records) if i not in wrong])
        checked.rejects.extend(_invalid(numbers[start + i], error) for i, error in wrong.items())
        places = (start + i for i in range(len(records)) if i not in wrong)
        for place, model in zip(places, models, strict=True):
            data = self._one.dump_json(model, by_alias=True)
            number = str(numbers[place])
            checked.items.append(Item(number, self._with_id(data, number)))
            checked.valid.append(_Valid(place, str(getattr(model, KEY)), data, _typed(model)))

    def _with_id(self, data: bytes, number: str) -> bytes:
        if self._has_id:  # the model's own is known by its other fields
            return msgspec.json.encode({**msgspec.json.decode(data), "id": number})
        return b'{"id":"%b",%b' % (number.encode(), data[1:])

    # ------------------------------------------------------------------ after it

    def _outcome(self, rows: Rows, checked: _Checked, answers: Sequence[Answer]) -> ChunkOutcome:
        rejects = list(checked.rejects)
        kept: list[int] = []
        predictions: list[Prediction] = []
        transactions: list[tuple[Any, ...]] = []
        predicted: list[tuple[Any, ...]] = []
        for row, answer in zip(checked.valid, answers, strict=True):
            number = rows.numbers[row.place]
            if isinstance(answer, Refusal):
                rejects.append(Reject(number, 0, 0, 0, b"", answer.code, answer.message[:500], kind="failed"))
                continue
            kept.append(row.place)
            predictions.append(answer)
            score = (answer.label, answer.fraud_score, answer.model_version)
            transactions.append((row.key, number, *row.typed, row.data.decode(), _hash(row.data)))
            predicted.append((row.key, number, *score, answer.latency_ms, _hash(repr(score).encode())))
        labels = Counter(p.label for p in predictions)
        summary = {"predictions": dict(labels), "model_versions": sorted({p.model_version for p in predictions})}
        tables = {"transactions": transactions, "predictions": predicted}
        return ChunkOutcome(_with_predictions(rows.select(kept), predictions), rejects, summary, tables)


def _with_predictions(rows: Rows, predictions: Sequence[Prediction]) -> Rows:
    columns = [*rows.columns, *ADDED_COLUMNS]
    if isinstance(rows, ObjectRows):
        raw = [_extended(each, p) for each, p in zip(rows.raw, predictions, strict=True)]
        return ObjectRows(columns, rows.numbers, raw)
    cells = [
        [*cells, p.label, repr(p.fraud_score), p.model_version]
        for cells, p in zip(rows.records(), predictions, strict=True)
    ]
    return CellRows(columns, rows.numbers, cells)


def _extended(raw: bytes, prediction: Prediction) -> bytes:
    """The object as it came, with the prediction behind its other members."""
    added = (prediction.label, prediction.fraud_score, prediction.model_version)
    members = msgspec.json.encode(dict(zip(ADDED_COLUMNS, added, strict=True)))[1:]
    head = raw.rstrip()[:-1].rstrip()
    return head + (b"" if head.endswith(b"{") else b",") + members


def _invalid(number: int, error: dict[str, Any]) -> Reject:
    column = ".".join(str(part) for part in error["loc"][1:]) or None
    missing = error["type"] == "missing"
    value = None if missing else str(error["input"])[:200].replace("\0", "\\x00")
    message = "There is no value." if missing else str(error["msg"])[:300]
    return Reject(number, 0, 0, 0, b"", "missing_value" if missing else "invalid_value", message, column, value)


def _typed(model: BaseModel) -> tuple[datetime | None, str | None, Decimal | None, str | None]:
    """For the columns of their own, as far as a model has these fields and they are of that kind."""
    when: Any = getattr(model, "timestamp", None)
    account: Any = getattr(model, "account_id", None)
    currency: Any = getattr(model, "currency", None)
    return (
        when if isinstance(when, datetime) and when.tzinfo else None,
        None if account is None else str(account),
        _amount(getattr(model, "amount", None)),
        None if currency is None else str(currency),
    )


def _amount(value: Any) -> Decimal | None:
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool) or not math.isfinite(value):
        return None
    amount = value if isinstance(value, Decimal) else Decimal(str(value))
    return amount if abs(amount) < MAX_AMOUNT else None


def _hash(text: bytes) -> str:
    return xxhash.xxh3_64_hexdigest(text)
