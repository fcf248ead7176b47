"""Processor that checks rows against a schema. Each row becomes a record: typed and searchable if
it is valid, with all its errors if it is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from app.errors import MissingColumn
from app.features.imports.checking import Checked, check_cells, check_objects
from app.formats.base import ObjectRows, Reject, Rows
from app.processors.base import ChecksRecords, ChunkContext, ChunkOutcome, WritesTables
from app.schemas import registry
from app.suggestions import did_you_mean


class RecordsProcessor(ChecksRecords, WritesTables):
    """Processor of one schema, under the name of the schema. Results are the valid records; the
    invalid ones are rejects. The table `records` holds both, and `vector_tasks` says which valid
    ones still need their vectors.
    """

    tables = ("records", "vector_tasks")

    def __init__(self, schema_path: str) -> None:
        """`schema_path` is `package.module:Class`; raises SettingsInvalid."""
        self._path = schema_path
        self.schema = registry.load(schema_path)
        self.name = self.schema.schema_name
        self.title = f"{self.name.capitalize()}: check and make searchable"

    def columns(self, header: Sequence[str], options: Any) -> Sequence[str]:
        if not header:
            return list(self.schema.model_fields)
        fields = self._fields(header)
        for name in self.schema.required():
            if name not in fields:
                hint = did_you_mean(name, header)
                raise MissingColumn(f"The file has no column `{name}`.{hint}")
        return fields

    def _fields(self, header: Sequence[str]) -> list[str]:
        """Return the columns by the names of the schema: `Email` and ` email` are names of `email`,
        but `E-Mail` is not.
        """
        field_names = {name.lower(): name for name in self.schema.model_fields}
        fields: list[str] = []
        for column in header:
            field = field_names.get(column.strip().lower(), column)
            fields.append(
                column if (field in header and field != column) or field in fields else field
            )
        return fields

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        checked: list[Checked]
        columns: Sequence[str]
        if rows.are_objects:
            columns = rows.columns
            checked = context.compute(check_objects, self._path, rows.undecoded())
        else:
            columns = self._fields(rows.columns)
            checked = context.compute(check_cells, self._path, columns, rows.undecoded())
        numbers: list[int] = []
        raw: list[bytes] = []
        rejects: list[Reject] = []
        records: list[tuple[Any, ...]] = []
        codes: Counter[str] = Counter()
        for number, (result, record, errors) in zip(rows.numbers, checked, strict=True):
            if result is None:
                errors = errors or []
                codes.update(error["code"] for error in errors)
                rejects.append(_reject(number, errors))
                records.append((number, "invalid", record, msgspec.json.encode(errors).decode()))
            else:
                numbers.append(number)
                raw.append(result)
                records.append((number, "valid", record, None))
        summary = {"valid": len(numbers), "invalid": len(rejects), "errors": dict(codes)}
        tables: dict[str, list[tuple[Any, ...]]] = {"records": records}
        if numbers and self.schema.embedded:
            tables["vector_tasks"] = [(numbers[0], numbers[-1], len(numbers), False)]
        return ChunkOutcome(ObjectRows(columns, numbers, raw), rejects, summary, tables)

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        valid, invalid, codes = 0, 0, Counter[str]()
        for summary in summaries:
            valid += summary["valid"]
            invalid += summary["invalid"]
            codes.update(summary["errors"])
        return {"valid": valid, "invalid": invalid, "errors": dict(codes.most_common())}

    def without(
        self, summary: dict[str, Any], removed: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> dict[str, Any]:
        invalid = [
            record["errors"] or []
            for record in removed.get("records", ())
            if record["status"] == "invalid"
        ]
        codes = Counter(summary["errors"])
        codes.subtract(error["code"] for errors in invalid for error in errors)
        errors = {code: count for code, count in codes.items() if count > 0}
        return {**summary, "invalid": summary["invalid"] - len(invalid), "errors": errors}


def _reject(number: int, errors: list[dict[str, Any]]) -> Reject:
    """Make a reject from the first error; the runner adds its location in the file."""
    first = errors[0]
    message = "; ".join(f"{error['field']}: {error['message']}" for error in errors)
    return Reject(
        number, 0, 0, 0, b"", first["code"], message[:500], first["field"], first["value"]
    )
