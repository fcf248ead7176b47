"""What scoring computes: rows to what is asked, answers to what is stored. It runs in a process beside the service, so that
the event loop, which the calls of the model service wait for, never has to wait for the interpreter."""

from __future__ import annotations

import math
import pickle  # nosec B403
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib import import_module
from typing import Any

import msgspec
import xxhash
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.clients.answers import Answer, Prediction, Refusal
from app.errors import SettingsInvalid
from app.formats.base import CellRows, ObjectRows, PagedRows, Reject, Rows, unique_names
from app.processors.base import ChunkOutcome, TableEncoder

ADDED_COLUMNS = ("prediction", "fraud_score", "model_version")
ADDED_NAMES = [f'"{name}"'.encode() for name in ADDED_COLUMNS]
KEY = "transaction_id"
MAX_AMOUNT = 10**16
ROWS_AT_ONCE = 500
"""Validated by one call. If one of them is invalid, the others are validated again."""

_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_answers = msgspec.msgpack.Decoder(list[Answer])


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
class Checked:
    """A chunk of which the valid rows can be scored."""

    numbers: array[int]
    """Of the valid rows."""
    bodies: list[bytes]
    """Of the valid rows: JSON objects that hold the number as `id`."""
    rejects: list[Reject]
    state: bytes
    """For `outcome`."""

    def without_bodies(self) -> Checked:
        """What `outcome` needs."""
        return replace(self, bodies=[])


@dataclass(slots=True)
class _Valid:
    """Columns of the valid rows."""

    places: list[int] = field(default_factory=list)
    """Among the rows given."""
    keys: list[str] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    """The fields as JSON objects: what is sent, and what is stored."""
    typed: list[tuple[datetime | None, str | None, Decimal | None, str | None]] = field(default_factory=list)
    """The fields that have a column of their own in the table: timestamp, account_id, amount, currency."""


class _Model:
    """A model of transactions, ready to validate many at once."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.many: TypeAdapter[list[BaseModel]] = TypeAdapter(list[model])  # type: ignore[valid-type]
        names = {name: field.serialization_alias or field.alias or name for name, field in model.model_fields.items()}
        self.has_id = "id" in names.values()


@cache
def _model(path: str) -> _Model:
    return _Model(load_model(path))


# ---------------------------------------------------------------------- before the calls


def check(path: str, rows: Rows) -> Checked:
    """Hold rows against the model of this path."""
    model = _model(path)
    records, numbers, columns = rows.records(), rows.numbers, rows.columns
    valid = _Valid()
    rejects: list[Reject] = []
    for start in range(0, len(records), ROWS_AT_ONCE):
        some = records[start : start + ROWS_AT_ONCE]
        if isinstance(some[0], list):
            # An empty cell is no value: a field with a default takes it, any other is told to be missing.
            some = [{name: cell for name, cell in zip(columns, cells, strict=False) if cell} for cells in some]
        rejects += _check_some(model, some, start, numbers, valid)
    of_valid = array("q", (numbers[place] for place in valid.places))
    bodies = [_with_id(model, data, number) for data, number in zip(valid.data, of_valid, strict=True)]
    return Checked(of_valid, bodies, rejects, pickle.dumps(valid))


def _check_some(
    model: _Model, records: list[dict[str, Any]], start: int, numbers: Sequence[int], valid: _Valid
) -> list[Reject]:
    wrong: dict[int, dict[str, Any]] = {}
    try:
        found = model.many.validate_python(records)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_context=False):
            wrong.setdefault(int(each["loc"][0]), dict(each))
        found = model.many.validate_python([r for i, r in enumerate(records) if i not in wrong])
    valid.places += (start + i for i in range(len(records)) if i not in wrong)
    valid.keys += (str(getattr(each, KEY)) for each in found)
    dumped = model.many.dump_json(found, by_alias=True)
    valid.data += map(bytes, msgspec.json.decode(dumped, type=list[msgspec.Raw]))
    valid.typed += map(_typed, found)
    return [_invalid(numbers[start + i], error) for i, error in wrong.items()]


def _with_id(model: _Model, data: bytes, number: int) -> bytes:
    if model.has_id:  # the model's own is known by its other fields
        return msgspec.json.encode({**msgspec.json.decode(data), "id": str(number)})
    return b'{"id":"%d",%b' % (number, data[1:])


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


# ---------------------------------------------------------------------- after them


def pack(answers: Sequence[Answer]) -> bytes:
    """For `outcome`, cheaper to hand over than the answers themselves."""
    return msgspec.msgpack.encode(answers)


def outcome(rows: Rows, checked: Checked, answers: bytes, encode_table: TableEncoder) -> ChunkOutcome:
    """What becomes of the rows; `answers` are those of its valid rows, in their order."""
    valid: _Valid = pickle.loads(checked.state)  # nosec B301: pickled by `check`, never by a client
    rejects = list(checked.rejects)
    kept: list[int] = []
    predictions: list[Prediction] = []
    transactions: list[tuple[Any, ...]] = []
    predicted: list[tuple[Any, ...]] = []
    every = zip(valid.places, valid.keys, valid.data, valid.typed, _answers.decode(answers), strict=True)
    for place, key, data, typed, answer in every:
        number = rows.numbers[place]
        if isinstance(answer, Refusal):
            rejects.append(Reject(number, 0, 0, 0, b"", answer.code, answer.message[:500], kind="failed"))
            continue
        kept.append(place)
        predictions.append(answer)
        score = (answer.label, answer.fraud_score, answer.model_version)
        transactions.append((key, number, *typed, data.decode(), _hash(data)))
        predicted.append((key, number, *score, answer.latency_ms, _hash(repr(score).encode())))
    labels = Counter(p.label for p in predictions)
    summary = {"predictions": dict(labels), "model_versions": sorted({p.model_version for p in predictions})}
    tables = {
        name: encode_table(name, given)
        for name, given in (("transactions", transactions), ("predictions", predicted))
        if given
    }
    results = PagedRows.of(_with_predictions(rows.select(kept), predictions))
    return ChunkOutcome(results, rejects, summary, tables)


def _with_predictions(rows: Rows, predictions: Sequence[Prediction]) -> CellRows | ObjectRows:
    if isinstance(rows, ObjectRows):
        columns = dict.fromkeys(rows.columns)
        raw = []
        for each, prediction in zip(rows.raw, predictions, strict=True):
            names = _added_names(each)
            columns |= dict.fromkeys(names)
            raw.append(_extended(each, names, prediction))
        return ObjectRows(list(columns), rows.numbers, raw)
    width = len(rows.columns)
    names = unique_names([*rows.columns, *ADDED_COLUMNS])
    cells = [
        # Cells beyond the header (on_bad_row=keep) come last: those that have names must stand below them.
        [*cells[:width], p.label, repr(p.fraud_score), p.model_version, *cells[width:]]
        for cells, p in zip(rows.records(), predictions, strict=True)
    ]
    return CellRows(names, rows.numbers, cells)


def _added_names(raw: bytes) -> Sequence[str]:
    """What the members of a prediction are called in an object that may have members of these names."""
    if b"\\" not in raw and not any(name in raw for name in ADDED_NAMES):
        return ADDED_COLUMNS
    return unique_names([*_keys(raw), *ADDED_COLUMNS])[-len(ADDED_COLUMNS) :]


def _extended(raw: bytes, names: Sequence[str], prediction: Prediction) -> bytes:
    """The object as it came, with the prediction behind its other members."""
    added = (prediction.label, prediction.fraud_score, prediction.model_version)
    members = msgspec.json.encode(dict(zip(names, added, strict=True)))[1:]
    head = raw.rstrip()[:-1].rstrip()
    return head + (b"" if head.endswith(b"{") else b",") + members


def _hash(text: bytes) -> str:
    return xxhash.xxh3_64_hexdigest(text)
