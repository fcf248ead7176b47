"""Which column of one file is which of another. The job has two parts, the profiles of both files;
this concludes it.
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
EXAMPLES = 3
EXAMPLE_CHARACTERS = 40


# Called in the processes beside the service: pyarrow and scipy are memory that the service itself
# can do without.
def match(given: Any, wanted: Any, given_state: str, *more: Any) -> dict[str, Any]:
    from app.features.mapping.match import match
    from app.features.mapping.proposals import checked

    return checked(match(given, wanted, given_state, *more), given_state)


def adopt(result: Any, given: Any, wanted: Any, given_state: str, *more: Any) -> dict[str, Any]:
    from app.features.mapping.match import adopt
    from app.features.mapping.proposals import checked

    return checked(adopt(result, given, wanted, given_state, *more), given_state)


class StoredOptions(Options):
    """What a mapping job was made with."""

    input_file_id: str = ""
    reference_file_id: str = ""
    provider: str = LOCAL
    accepted: dict[str, Any] = Field(default={})


class MappingProcessor(ReducesParts):
    name = "mapping"
    needs = "mapping"
    title = "Mapping: which column is which"
    version = "3"
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
        """Whether there is a sentence model; a language model may answer otherwise the next
        time.
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
        """`parts` are the profiles of the input and of the reference."""
        given, wanted = (part.result["columns"] for part in parts)
        notes: list[str] = []
        cosines = await self._cosines(given, wanted, notes, in_thread)
        accepted = options.accepted
        result = await compute(
            match, given, wanted, parts[0].state, parts[1].state, cosines, accepted
        )
        provider = options.provider
        if provider == OPENAI:
            try:
                if self._chat is None:
                    raise ChatUnavailable("no endpoint is set (OPENAI_BASE_URL)")
                pairs = await self._chat.map_columns(given, wanted)
                result = await compute(
                    adopt, result, given, wanted, parts[0].state, parts[1].state, pairs
                )
            except ChatUnavailable as error:
                logger.warning("Falling back to a local mapping: %s", error.detail)
                provider = LOCAL
                notes.append(
                    f"Made locally, since the provider openai did not help: {error.detail}"
                )
        body = {
            "input_file_id": str(parts[0].file_id),
            "reference_file_id": str(parts[1].file_id),
            "provider": provider,
            "embeddings": cosines is not None,
            "notes": notes,
            **result,
        }
        return Conclusion(
            {"matched": result["matched"], "of": len(wanted), "provider": provider}, body
        )

    async def _cosines(
        self,
        given: Sequence[dict[str, Any]],
        wanted: Sequence[dict[str, Any]],
        notes: list[str],
        in_thread: Callable[..., Awaitable[Any]],
    ) -> Any:
        """How near each wanted column is to each given one in meaning; None without the model."""
        if self._embedder is None or not given or not wanted:
            return None
        texts = [_described(column) for column in [*wanted, *given]]
        try:
            vectors = await in_thread(self._embedder.encode, texts)
        except ModelUnavailable as error:
            notes.append(f"Made without the sentence model: {error.detail}")
            return None
        return np.asarray(vectors[: len(wanted)] @ vectors[len(wanted) :].T, np.float64)


def _described(column: dict[str, Any]) -> str:
    """The name and some values, as a text."""
    from app.features.mapping.names import normal

    name = " ".join(normal(column["name"]).words)
    values = ", ".join(value[:EXAMPLE_CHARACTERS] for value in column["examples"][:EXAMPLES])
    return f"{name}: {values}" if values and column["type"] == "text" else name
