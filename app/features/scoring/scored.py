"""What scoring computes: rows to what is asked, answers to what is stored. It runs in a process
beside the service, so that the event loop, which the calls of the model service wait for, never has
to wait for the interpreter.
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
"""Validated by one call. If one of them is invalid, the others are validated again."""

_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
MAX_VALUE_CHARACTERS = 200
VALIDATOR = re.compile(r"[\[(]")
"""Holds what Pydantic calls the choices of a union in the place of an error, like
`constrained-str[...]`.
"""

_decode = msgspec.json.Decoder(float_hook=Number).decode
_answers = msgspec.msgpack.Decoder(list[Answer])


def load_model(path: str) -> type[BaseModel]:
    """The Pydantic model `package.module:Model`; raises SettingsInvalid if it cannot describe
    transactions.
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
    typed: list[tuple[datetime | None, str | None, Decimal | None, str | None]] = field(
        default_factory=list
    )
    """The fields that have a column of their own in the table: timestamp, account_id, amount,
    currency.
    """


class _Model:
    """A model of transactions, ready to validate many at once."""

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
    """The names that a column, or a key of an object, may have for each field. None: it is a part
    of another value, which only JSON has.
    """
    config = model.model_config
    by_name = config.get("validate_by_name") or config.get("populate_by_name")
    by_alias = config.get("validate_by_alias", True)
    found: dict[str, list[str]] = {}
    for name, info in model.model_fields.items():
        alias = info.validation_alias if by_alias else None
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        paths = [
            [each] if isinstance(each, str) else each.path for each in choices if each is not None
        ]
        plain = [path[0] for path in paths if len(path) == 1 and isinstance(path[0], str)]
        found[name] = [*plain, name] if by_name or alias is None else plain
    return found


# ---------------------------------------------------------------------- before the calls


def check(path: str, rows: Rows) -> Checked:
    """Hold rows against the model of this path."""
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
            # An empty cell is no value: a field with a default takes it, any other is told to be
            # missing.
            some = [_given(rows.columns, cells) for cells in some]
        wrong = _check_some(model, validator, some, start, valid)
        for i, error in wrong.items():
            raw = undecoded[start + i] if rows.are_objects else None
            rejects.append(_invalid(model, numbers[start + i], error, some[i], raw))
    of_valid = array("q", (numbers[place] for place in valid.places))
    bodies = [
        _with_id(model, data, number) for data, number in zip(valid.data, of_valid, strict=True)
    ]
    return Checked(of_valid, bodies, rejects, pickle.dumps(valid))


def _given(columns: Sequence[str], cells: Sequence[str | None]) -> dict[str, str]:
    """The values of a row by name, those beyond the header (on_bad_row=keep) too."""
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
    """The first error of each record that is not valid."""
    wrong: dict[int, dict[str, Any]] = {}
    try:
        found = validator.validate_python(records)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_context=False):
            wrong.setdefault(int(each["loc"][0]), dict(each))
        found = validator.validate_python([r for i, r in enumerate(records) if i not in wrong])
    valid.places += (start + i for i in range(len(records)) if i not in wrong)
    valid.keys += (str(getattr(each, KEY)) for each in found)
    dumped = model.dump(found, by_alias=True)
    valid.data += map(bytes, msgspec.json.decode(dumped, type=list[msgspec.Raw]))
    valid.typed += map(_typed, found)
    return wrong


def _with_id(model: _Model, data: bytes, number: int) -> bytes:
    if model.may_have_id:  # the model's own is known by its other fields
        members = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        return msgspec.json.encode({**members, "id": str(number)})
    return b'{"id":"%d",%b' % (number, data[1:])


def _invalid(
    model: _Model, number: int, error: dict[str, Any], record: dict[str, Any], raw: bytes | None
) -> Reject:
    """`raw`: the object, if the record came as one."""
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
    """The member of this name, or the whole record: a text as it is, anything else as its JSON."""
    if raw is None:
        return str(record[column]) if column in record else msgspec.json.encode(record).decode()
    member = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).get(
        column or "", msgspec.Raw(raw)
    )
    text = bytes(member).decode()
    return msgspec.json.decode(text, type=str) if text.startswith('"') else text


def _typed(model: BaseModel) -> tuple[datetime | None, str | None, Decimal | None, str | None]:
    """For the columns of their own, as far as a model has these fields and they are of that
    kind.
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


# ---------------------------------------------------------------------- after them


def pack(answers: Sequence[Answer]) -> bytes:
    """For `outcome`, cheaper to hand over than the answers themselves."""
    return msgspec.msgpack.encode(answers)


def outcome(
    rows: Rows, checked: Checked, answers: bytes, encode_table: TableEncoder
) -> ChunkOutcome:
    """What becomes of the rows; `answers` are those of its valid rows, in their order."""
    valid: _Valid = pickle.loads(checked.state)  # nosec B301: pickled by `check`, never by a client
    rejects = list(checked.rejects)
    kept: list[int] = []
    predictions: list[Prediction] = []
    transactions: list[tuple[Any, ...]] = []
    predicted: list[tuple[Any, ...]] = []
    every = zip(
        valid.places, valid.keys, valid.data, valid.typed, _answers.decode(answers), strict=True
    )
    for place, key, data, typed, answer in every:
        number = rows.numbers[place]
        if isinstance(answer, Refusal):
            rejects.append(
                Reject(number, 0, 0, 0, b"", answer.code, answer.message[:500], kind="failed")
            )
            continue
        kept.append(place)
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
        name: encode_table(name, given)
        for name, given in (("transactions", transactions), ("predictions", predicted))
        if given
    }
    results = PagedRows.of(_with_predictions(rows.select(kept), predictions))
    return ChunkOutcome(results, rejects, summary, tables)


def _with_predictions(rows: Rows, predictions: Sequence[Prediction]) -> CellRows | ObjectRows:
    if rows.are_objects:
        columns = dict.fromkeys(rows.columns)
        raw = []
        for each, prediction in zip(rows.undecoded(), predictions, strict=True):
            names = _added_names(each)
            columns |= dict.fromkeys(names)
            raw.append(_extended(each, names, prediction))
        return ObjectRows(list(columns), rows.numbers, raw)
    width = len(rows.columns)
    names = unique_names([*rows.columns, *ADDED_COLUMNS])
    cells = [
        # Cells beyond the header (on_bad_row=keep) come last: those that have names must stand
        # below them.
        [*cells[:width], p.label, repr(p.fraud_score), p.model_version, *cells[width:]]
        for cells, p in zip(rows.records(), predictions, strict=True)
    ]
    return CellRows(names, rows.numbers, cells)


def _added_names(raw: bytes) -> Sequence[str]:
    """What the members of a prediction are called in an object that may have members of these
    names.
    """
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
