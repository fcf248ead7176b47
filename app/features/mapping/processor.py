"""Processor of mapping jobs. A job has two parts, the profiles of both files, or one and the columns
of a template; the processor matches their columns.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from app.embeddings.model import Embedder
from app.errors import ModelUnavailable
from app.features.mapping.chat import Chat, ChatUnavailable
from app.processors.base import NO_ROWS, Conclusion, Part, ReducesParts, RowSample
from app.processors.options import Options
from app.processors.stages import By, Stage, Stages

logger = logging.getLogger(__name__)
LOCAL, OPENAI = "local", "openai"


# Separate processes call this: pyarrow and scipy take memory that the service itself can do without.
def match(
    inputs: Any,
    references: Any,
    input_state: str,
    reference_state: str,
    vectors: Any,
    accepted: Any,
    sample: RowSample = NO_ROWS,
    kept: Any = (),
) -> dict[str, Any]:
    from app.features.mapping.match import as_kept, match
    from app.features.mapping.proposals import checked

    result = match(inputs, references, input_state, reference_state, vectors, accepted)
    return checked(as_kept(result, kept), input_state, sample)


def profile(target: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """Return what a profile says of wanted columns: (columns, state)."""
    from app.profiling.tables import of_cells, report

    height = max((len(column["values"]) for column in target), default=0)
    filled = [column["values"] + [""] * (height - len(column["values"])) for column in target]
    rows = list(map(list, zip(*filled, strict=True)))
    names = [column["name"] for column in target]
    packed = of_cells(rows, names, range(1, height + 1))
    return report(packed), packed


def adopt(
    result: Any,
    inputs: Any,
    references: Any,
    input_state: str,
    reference_state: str,
    pairs: Any,
    sample: RowSample = NO_ROWS,
) -> dict[str, Any]:
    from app.features.mapping.match import adopt
    from app.features.mapping.proposals import checked

    result = adopt(result, inputs, references, input_state, reference_state, pairs)
    return checked(result, input_state, sample)


class StoredOptions(Options):
    """Options of a mapping job as they are stored."""

    input_file_id: str = ""
    reference_file_id: str = ""
    provider: str = LOCAL
    accepted: dict[str, Any] = Field(default={})
    template_id: str = ""
    target: list[dict[str, Any]] = Field(default=[])
    """The wanted columns of the template, if there is no reference file."""
    kept: list[dict[str, Any]] = Field(default=[])
    """The mapping of the template."""


class MappingProcessor(ReducesParts):
    name = "mapping"
    needs = "mapping"
    title = "Mapping: which column is which"
    version = "5"
    options = StoredOptions
    stages = Stages(
        (
            Stage("profiling_input", 20, By.FIRST_PART),
            Stage("profiling_reference", 40, By.SECOND_PART),
            Stage("matching", 60),
        )
    )

    def __init__(self, embedder: Embedder | None = None, chat: Chat | None = None) -> None:
        self._embedder = embedder
        self._chat = chat

    def depends_on(self, options: StoredOptions) -> str | None:
        """Return which sentence model the result depends on; None for a language model, which may
        answer differently the next time.
        """
        if options.provider != LOCAL:
            return None
        model = self._embedder
        return (
            f"{model.model_id}/{model.precision}"
            if model is not None and model.folder.is_dir()
            else "names"
        )

    async def conclude_parts(
        self,
        parts: Sequence[Part],
        options: StoredOptions,
        compute: Callable[..., Awaitable[Any]],
        in_thread: Callable[..., Awaitable[Any]],
    ) -> Conclusion:
        """Match the columns of `parts`, the profiles of the input and, unless the options have the
        wanted columns, of the reference.
        """
        inputs, state = parts[0].result["columns"], parts[0].state
        if options.target:
            references, reference_state = await compute(profile, options.target)
        else:
            references, reference_state = parts[1].result["columns"], parts[1].state
        notes: list[str] = []
        vectors = await self._vectors(inputs, references, notes, in_thread)
        sample = await parts[0].sample()
        states, accepted, kept = (state, reference_state), options.accepted, options.kept
        result = await compute(match, inputs, references, *states, vectors, accepted, sample, kept)
        provider = options.provider
        if provider == OPENAI:
            try:
                if self._chat is None:
                    raise ChatUnavailable("no endpoint is set (OPENAI_BASE_URL)")
                pairs = await self._chat.map_columns(inputs, references)
                result = await compute(adopt, result, inputs, references, *states, pairs, sample)
            except ChatUnavailable as error:
                logger.warning("Falling back to a local mapping: %s", error.detail)
                provider = LOCAL
                notes.append(f"Made by the local provider, because openai failed: {error.detail}")
        body = {
            "input_file_id": str(parts[0].file_id),
            "reference_file_id": options.reference_file_id or None,
            "template_id": options.template_id or None,
            "provider": provider,
            "embeddings": vectors is not None,
            "notes": notes,
            **result,
        }
        return Conclusion(
            {"matched": result["matched"], "of": len(references), "provider": provider}, body
        )

    async def _vectors(
        self,
        inputs: Sequence[dict[str, Any]],
        references: Sequence[dict[str, Any]],
        notes: list[str],
        in_thread: Callable[..., Awaitable[Any]],
    ) -> Any:
        """Return what `match` takes as `vectors`; None without the model."""
        if self._embedder is None or not inputs or not references:
            return None
        try:
            return await in_thread(encoded, self._embedder, references, inputs)
        except ModelUnavailable as error:
            notes.append(f"Made without the sentence model: {error.detail}")
            return None


def encoded(
    embedder: Embedder, references: Sequence[dict[str, Any]], inputs: Sequence[dict[str, Any]]
) -> Any:
    """Return the vectors of the names and of the values, for the reference and for the input columns;
    zeros where there is no text. Blocks; raises ModelUnavailable.
    """
    from app.features.mapping.texts import column_texts
    from app.features.mapping.weights import trained

    sides = column_texts(references, inputs, trained().usual)
    texts = [text for side in sides for kind in zip(*side, strict=True) for text in kind]
    vectors = embedder.encode(texts)
    vectors[[not text for text in texts]] = 0
    n, m = len(references), len(inputs)
    parts = np.split(vectors, [n, 2 * n, 2 * n + m])
    return (parts[0], parts[1]), (parts[2], parts[3])
