"""Scoring: each row is held against the model of a transaction, and the valid ones get a prediction from the model service.

Every row ends in exactly one of scored (a result), invalid (a reject that names the field), failed (a reject of kind
`failed`: the model service has no prediction for it). What computes is in `scored.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from app.clients.ml_api import Item, MLApi
from app.errors import MissingColumn
from app.formats.base import Rows, unique_names
from app.processors.base import ChunkContext, ChunkOutcome
from app.processors.scored import ADDED_COLUMNS, Checked, check, load_model, outcome, pack


class ScoringProcessor:
    name = "scoring"

    def __init__(self, ml_api: MLApi, model: str, chunk_size: int | None = None) -> None:
        """`model`: `package.module:Model`; `chunk_size`: rows of a chunk where a job does not ask for another number.

        Raises SettingsInvalid for a model that cannot describe transactions.
        """
        self.chunk_size = chunk_size
        self._ml_api = ml_api
        self._model = model
        self.computes_with = (check.__module__, model.partition(":")[0])
        fields = load_model(model).model_fields
        self._needed = [field.alias or name for name, field in fields.items() if field.is_required()]

    def columns(self, header: Sequence[str]) -> Sequence[str]:
        self._ml_api.check_configured()
        if header:
            for name in self._needed:
                if name not in header:
                    near = difflib.get_close_matches(name, header, 1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise MissingColumn(f"There is no column {name!r}{hint}", column=name)
        return unique_names([*header, *ADDED_COLUMNS])

    def check_available(self) -> None:
        """Raises MLApiUnavailable."""
        self._ml_api.check_available()

    async def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        checked: Checked = await context.in_thread(context.compute, check, self._model, rows)
        items = [Item(str(number), body) for number, body in zip(checked.numbers, checked.bodies, strict=True)]
        answers = await self._ml_api.score(str(context.job_id), items)
        return await context.in_thread(  # type: ignore[no-any-return]
            context.compute, outcome, rows, checked.without_bodies(), pack(answers), context.encode_table
        )

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
