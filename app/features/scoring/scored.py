"""The computation of scoring: from rows to requests, and from answers to stored rows. It runs in a
separate process, so that the event loop, on which the calls of the model service depend, never
waits for the interpreter.
"""

from __future__ import annotations

import math
import pickle  # nosec B403
import re
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib import import_module
from typing import Any

import msgspec
import xxhash
from pydantic import AliasChoices, BaseModel, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator

from app.errors import SettingsInvalid
from app.features.scoring.answers import Answer, Prediction, Refusal
from app.formats.base import CellRows, ObjectRows, PagedRows, Reject, Rows, cell_names, unique_names
from app.processors.base import ChunkOutcome, TableEncoder
from app.schemas.strict import Number, strict_validator

ADDED_COLUMNS = ("prediction", "fraud_score", "model_version")
ADDED_NAMES = [f'"{name}"'.encode() for name in ADDED_COLUMNS]
KEY = "transaction_id"
MAX_AMOUNT = 10**16
ROWS_AT_ONCE = 500
"""Rows validated by one call. If one of them is invalid, the others are validated again."""

_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
MAX_VALUE_CHARACTERS = 200
VALIDATOR = re.compile(r"[\[(]")
"""Matches pydantic's names for the choices of a union in the place of an error, like
`constrained-str[...]`.
"""

_decode = msgspec.json.Decoder(float_hook=Number).decode
_answers = msgspec.msgpack.Decoder(list[Answer])


def load_model(path: str) -> type[BaseModel]:
    """Return the Pydantic model `package.module:Model`; raises SettingsInvalid if it cannot
    describe transactions.
    """
    module, _, name = path.partition(":")
    try:
        model = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsInvalid(f"TRANSACTION_MODEL: {path!r} cannot be loaded: {error}") from error
    if not (isinstance(model, type) and issubclass(model, BaseModel) and KEY in model.model_fields):
        raise SettingsInvalid(
            f"TRANSACTION_MODEL: {path!r} must be a Pydantic model with a field {KEY}."
        )
    return model


@dataclass(frozen=True, slots=True)
class Checked:
    """A chunk whose valid rows can be scored."""

    numbers: array[int]
    """Numbers of the valid rows."""
    bodies: list[bytes]
    """JSON objects of the valid rows, with the row number as `id`."""
    rejects: list[Reject]
    state: bytes
    """Input of `outcome`."""

    def without_bodies(self) -> Checked:
        """Return what `outcome` needs."""
        return replace(self, bodies=[])


@dataclass(slots=True)
class _Valid:
    """Columns of the valid rows."""

    places: list[int] = field(default_factory=list)
    """Positions among the given rows."""
    keys: list[str] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    """Fields as JSON objects, for sending and for storing."""
    typed: list[tuple[datetime | None, str | None, Decimal | None, str | None]] = field(
        default_factory=list
    )
    """Fields with columns of their own in the table: timestamp, account_id, amount, currency."""


class _Model:
    """A model of transactions that validates many at once."""

    def __init__(self, model: type[BaseModel]) -> None:
        many = list[model]  # type: ignore[valid-type]
        self.validator = strict_validator(many, of_cells=False)
        self.cell_validator = strict_validator(many, of_cells=True)
        self.dump: Callable[..., bytes] = TypeAdapter(many).dump_json
        fields, computed = model.model_fields, model.model_computed_fields
        written = {info.serialization_alias or name for name, info in fields.items()}
        written |= {info.alias or name for name, info in computed.items()}
        self.may_have_id = "id" in written or model.model_config.get("extra") == "allow"
        self.read = field_names(model)


@cache
def _model(path: str) -> _Model:
    return _Model(load_model(path))


def field_names(model: type[BaseModel]) -> dict[str, list[str]]:
    """Return for each field the names that a column, or a key of an object, may have. None: it is a
    part of another value, which only JSON has.
    """
    config = model.model_config
    by_name = config.get("validate_by_name") or config.get("populate_by_name")
    by_alias = config.get("validate_by_alias", True)
    names_by_field: dict[str, list[str]] = {}
    for name, info in model.model_fields.items():
        alias = info.validation_alias if by_alias else None
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        paths = [
            [choice] if isinstance(choice, str) else choice.path
            for choice in choices
            if choice is not None
        ]
        plain = [path[0] for path in paths if len(path) == 1 and isinstance(path[0], str)]
        names_by_field[name] = [*plain, name] if by_name or alias is None else plain
    return names_by_field


# ---------------------------------------------------------------------- before the calls


def check(path: str, rows: Rows) -> Checked:
    """Validate rows with the model of this path."""
    model = _model(path)
    numbers = rows.numbers
    undecoded = rows.undecoded()
    records = [_decode(raw) for raw in undecoded] if rows.are_objects else undecoded
    validator = model.validator if rows.are_objects else model.cell_validator
    valid = _Valid()
    rejects: list[Reject] = []
    for start in range(0, len(records), ROWS_AT_ONCE):
        some = records[start : start + ROWS_AT_ONCE]
        if not rows.are_objects:
            # An empty cell is a missing value: a field with a default uses it, any other is an
            # error.
            some = [_given(rows.columns, cells) for cells in some]
        wrong = _check_some(model, validator, some, start, valid)
        for i, error in wrong.items():
            raw = undecoded[start + i] if rows.are_objects else None
            rejects.append(_invalid(model, numbers[start + i], error, some[i], raw))
    of_valid = array("q", (numbers[position] for position in valid.places))
    bodies = [
        _with_id(model, data, number) for data, number in zip(valid.data, of_valid, strict=True)
    ]
    return Checked(of_valid, bodies, rejects, pickle.dumps(valid))


def _given(columns: Sequence[str], cells: Sequence[str | None]) -> dict[str, str]:
    """Return the values of a row by name, including those beyond the header (on_bad_row=keep)."""
    return {
        name: cell
        for name, cell in zip(cell_names(columns, len(cells)), cells, strict=False)
        if cell
    }


def _check_some(
    model: _Model,
    validator: SchemaValidator,
    records: list[dict[str, Any]],
    start: int,
    valid: _Valid,
) -> dict[int, dict[str, Any]]:
    """Return the first error of each invalid record."""
    wrong: dict[int, dict[str, Any]] = {}
    try:
        models = validator.validate_python(records)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False):
            wrong.setdefault(int(fault["loc"][0]), dict(fault))
        models = validator.validate_python([r for i, r in enumerate(records) if i not in wrong])
    valid.places += (start + i for i in range(len(records)) if i not in wrong)
    valid.keys += (str(getattr(model, KEY)) for model in models)
    dumped = model.dump(models, by_alias=True)
    valid.data += map(bytes, msgspec.json.decode(dumped, type=list[msgspec.Raw]))
    valid.typed += map(_typed, models)
    return wrong


def _with_id(model: _Model, data: bytes, number: int) -> bytes:
    if model.may_have_id:  # the model's own id is recognised by its other fields
        members = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        return msgspec.json.encode({**members, "id": str(number)})
    return b'{"id":"%d",%b' % (number, data[1:])


def _invalid(
    model: _Model, number: int, error: dict[str, Any], record: dict[str, Any], raw: bytes | None
) -> Reject:
    """Return a reject. `raw` is the object, if the record is JSON."""
    path = [str(part) for part in error["loc"][1:] if not VALIDATOR.search(str(part))]
    names = next((names for names in model.read.values() if path and path[0] in names), [])
    path[:1] = [next((name for name in names if name in record), path[0])] if path else []
    column = ".".join(path) or None
    missing = error["type"] == "missing"
    value = (
        None
        if missing
        else _as_written(record, path[0] if path else None, raw)[:MAX_VALUE_CHARACTERS].replace(
            "\0", "\\x00"
        )
    )
    message = "There is no value." if missing else str(error["msg"])[:300]
    return Reject(
        number,
        0,
        0,
        0,
        b"",
        "missing_value" if missing else "invalid_value",
        message,
        column,
        value,
    )


def _as_written(record: dict[str, Any], column: str | None, raw: bytes | None) -> str:
    """Return the member with this name, or the whole record: text as it is, anything else as its
    JSON.
    """
    if raw is None:
        return str(record[column]) if column in record else msgspec.json.encode(record).decode()
    member = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).get(
        column or "", msgspec.Raw(raw)
    )
    text = bytes(member).decode()
    return msgspec.json.decode(text, type=str) if text.startswith('"') else text


def _typed(model: BaseModel) -> tuple[datetime | None, str | None, Decimal | None, str | None]:
    """Return the values of the table's own columns, as far as the model has these fields with these
    types.
    """
    when: Any = getattr(model, "timestamp", None)
    account: Any = getattr(model, "account_id", None)
    currency: Any = getattr(model, "currency", None)
    if not isinstance(when, datetime):
        when = None
    elif when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (
        when,
        None if account is None else str(account),
        _amount(getattr(model, "amount", None)),
        None if currency is None else str(currency),
    )


def _amount(value: Any) -> Decimal | None:
    if (
        not isinstance(value, int | float | Decimal)
        or isinstance(value, bool)
        or not math.isfinite(value)
    ):
        return None
    amount = value if isinstance(value, Decimal) else Decimal(str(value))
    return amount if abs(amount) < MAX_AMOUNT else None


# ---------------------------------------------------------------------- after the calls


def pack(answers: Sequence[Answer]) -> bytes:
    """Pack answers for `outcome`; this is cheaper to transfer than the answers themselves."""
    return msgspec.msgpack.encode(answers)


def outcome(
    rows: Rows, checked: Checked, answers: bytes, encode_table: TableEncoder
) -> ChunkOutcome:
    """Return the outcome of a chunk; `answers` belong to its valid rows, in order."""
    valid: _Valid = pickle.loads(checked.state)  # nosec B301: pickled by `check`, never by a client
    rejects = list(checked.rejects)
    kept_rows: list[int] = []
    predictions: list[Prediction] = []
    transactions: list[tuple[Any, ...]] = []
    predicted: list[tuple[Any, ...]] = []
    every = zip(
        valid.places, valid.keys, valid.data, valid.typed, _answers.decode(answers), strict=True
    )
    for position, key, data, typed, answer in every:
        number = rows.numbers[position]
        if isinstance(answer, Refusal):
            rejects.append(
                Reject(number, 0, 0, 0, b"", answer.code, answer.message[:500], kind="failed")
            )
            continue
        kept_rows.append(position)
        predictions.append(answer)
        score = (answer.label, answer.fraud_score, answer.model_version)
        transactions.append((key, number, *typed, data.decode(), _hash(data)))
        predicted.append((key, number, *score, answer.latency_ms, _hash(repr(score).encode())))
    labels = Counter(p.label for p in predictions)
    summary = {
        "predictions": dict(labels),
        "model_versions": sorted({p.model_version for p in predictions}),
    }
    tables = {
        name: encode_table(name, typed_rows)
        for name, typed_rows in (("transactions", transactions), ("predictions", predicted))
        if typed_rows
    }
    results = PagedRows.of(_with_predictions(rows.select(kept_rows), predictions))
    return ChunkOutcome(results, rejects, summary, tables)


def _with_predictions(rows: Rows, predictions: Sequence[Prediction]) -> CellRows | ObjectRows:
    if rows.are_objects:
        columns = dict.fromkeys(rows.columns)
        raw = []
        for record, prediction in zip(rows.undecoded(), predictions, strict=True):
            names = _added_names(record)
            columns |= dict.fromkeys(names)
            raw.append(_extended(record, names, prediction))
        return ObjectRows(list(columns), rows.numbers, raw)
    width = len(rows.columns)
    names = unique_names([*rows.columns, *ADDED_COLUMNS])
    cells = [
        # Cells beyond the header (on_bad_row=keep) come last, so named columns must precede them.
        [*cells[:width], p.label, repr(p.fraud_score), p.model_version, *cells[width:]]
        for cells, p in zip(rows.records(), predictions, strict=True)
    ]
    return CellRows(names, rows.numbers, cells)


def _added_names(raw: bytes) -> Sequence[str]:
    """Return names for the members of a prediction in an object that may already use these
    names.
    """
    if b"\\" not in raw and not any(name in raw for name in ADDED_NAMES):
        return ADDED_COLUMNS
    return unique_names([*_keys(raw), *ADDED_COLUMNS])[-len(ADDED_COLUMNS) :]


def _extended(raw: bytes, names: Sequence[str], prediction: Prediction) -> bytes:
    """Return the object as received, with the prediction after its own members."""
    added = (prediction.label, prediction.fraud_score, prediction.model_version)
    members = msgspec.json.encode(dict(zip(names, added, strict=True)))[1:]
    head = raw.rstrip()[:-1].rstrip()
    return head + (b"" if head.endswith(b"{") else b",") + members


def _hash(text: bytes) -> str:
    return xxhash.xxh3_64_hexdigest(text)
