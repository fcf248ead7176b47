"""Processor of mapping jobs. A job has two parts, the profiles of both files; the processor matches
their columns.
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
from app.processors.base import Conclusion, Part, ReducesParts
from app.processors.options import Options
from app.processors.stages import By, Stage, Stages

logger = logging.getLogger(__name__)
LOCAL, OPENAI = "local", "openai"


# Separate processes call this: pyarrow and scipy take memory that the service itself can do without.
def match(inputs: Any, references: Any, input_state: str, *more: Any) -> dict[str, Any]:
    from app.features.mapping.match import match
    from app.features.mapping.proposals import checked

    return checked(match(inputs, references, input_state, *more), input_state)


def adopt(
    result: Any, inputs: Any, references: Any, input_state: str, *more: Any
) -> dict[str, Any]:
    from app.features.mapping.match import adopt
    from app.features.mapping.proposals import checked

    return checked(adopt(result, inputs, references, input_state, *more), input_state)


class StoredOptions(Options):
    """Options of a mapping job as they are stored."""

    input_file_id: str = ""
    reference_file_id: str = ""
    provider: str = LOCAL
    accepted: dict[str, Any] = Field(default={})


class MappingProcessor(ReducesParts):
    name = "mapping"
    needs = "mapping"
    title = "Mapping: which column is which"
    version = "4"
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
        """Match the columns of `parts`, the profiles of the input and of the reference."""
        inputs, references = (part.result["columns"] for part in parts)
        notes: list[str] = []
        vectors = await self._vectors(inputs, references, notes, in_thread)
        accepted = options.accepted
        result = await compute(
            match, inputs, references, parts[0].state, parts[1].state, vectors, accepted
        )
        provider = options.provider
        if provider == OPENAI:
            try:
                if self._chat is None:
                    raise ChatUnavailable("no endpoint is set (OPENAI_BASE_URL)")
                pairs = await self._chat.map_columns(inputs, references)
                result = await compute(
                    adopt, result, inputs, references, parts[0].state, parts[1].state, pairs
                )
            except ChatUnavailable as error:
                logger.warning("Falling back to a local mapping: %s", error.detail)
                provider = LOCAL
                notes.append(f"Made by the local provider, because openai failed: {error.detail}")
        body = {
            "input_file_id": str(parts[0].file_id),
            "reference_file_id": str(parts[1].file_id),
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
