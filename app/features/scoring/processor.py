"""Scoring: validates each row against a model of a transaction, and gets predictions for the valid
ones from the model service.

Every row ends as exactly one of scored (a result), invalid (a reject that names the field), failed
(a reject of kind `failed`: the model service has no prediction for it). The computation is in
`scored.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from app.errors import MissingColumn
from app.features.scoring.ml_api import Item, MLApi
from app.features.scoring.scored import (
    ADDED_COLUMNS,
    Checked,
    check,
    field_names,
    load_model,
    outcome,
    pack,
)
from app.formats.base import Rows, unique_names
from app.processors.base import ChunkContext, ChunkOutcome, WaitsForService, WritesTables
from app.suggestions import did_you_mean


class ScoringProcessor(WaitsForService, WritesTables):
    name = "scoring"
    title = "Scoring by the model service"
    tables = ("transactions", "predictions")

    def __init__(self, ml_api: MLApi, model: str, chunk_size: int | None = None) -> None:
        """`model` is `package.module:Model`; `chunk_size` is the default number of rows per chunk.

        Raises SettingsInvalid for a model that cannot describe transactions.
        """
        self.chunk_size = chunk_size
        self._ml_api = ml_api
        self.is_configured = bool(ml_api.url)
        self._model = model
        self.computes_with = (check.__module__, model.partition(":")[0])
        loaded = load_model(model)
        names = field_names(loaded)
        self._needed = {
            name: names[name] for name, field in loaded.model_fields.items() if field.is_required()
        }

    def columns(self, header: Sequence[str], options: Any) -> Sequence[str]:
        self._ml_api.check_configured()
        if header:
            for field, names in self._needed.items():
                if not any(name in header for name in names):
                    raise _missing(field, names, header)
        return unique_names([*header, *ADDED_COLUMNS])

    def check_available(self) -> None:
        """Raises MLApiUnavailable."""
        self._ml_api.check_available()

    async def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        checked: Checked = await context.in_thread(context.compute, check, self._model, rows)
        items = [
            Item(str(number), body)
            for number, body in zip(checked.numbers, checked.bodies, strict=True)
        ]
        answers = await self._ml_api.score(str(context.job_id), items)
        return await context.in_thread(  # type: ignore[no-any-return]
            context.compute,
            outcome,
            rows,
            checked.without_bodies(),
            pack(answers),
            context.encode_table,
        )

    async def close(self) -> None:
        await self._ml_api.close()

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        total: dict[str, Any] = {"predictions": {}, "model_versions": []}
        for summary in summaries:
            for label, count in summary.get("predictions", {}).items():
                total["predictions"][label] = total["predictions"].get(label, 0) + count
            total["model_versions"] = sorted(
                {*total["model_versions"], *summary.get("model_versions", ())}
            )
            for table, counts in summary.get("written", {}).items():
                written = total.setdefault("written", {}).setdefault(table, {})
                for kind, count in counts.items():
                    written[kind] = written.get(kind, 0) + count
        return (
            total if total["predictions"] or total["model_versions"] or "written" in total else {}
        )


def _missing(field: str, names: Sequence[str], header: Sequence[str]) -> MissingColumn:
    if not names:
        return MissingColumn(
            f"The field `{field}` is nested in an object, which only JSON has.",
            column=field,
        )
    expected = " or ".join(f"`{name}`" for name in names)
    hint = did_you_mean(names, header)
    return MissingColumn(f"The file has no column {expected}.{hint}", column=names[0])
