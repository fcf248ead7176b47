"""Sentiment of a column of texts: `row_id, text, sentiment, score` for each row that has a text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Annotated, Any

import msgspec
from pydantic import Field

from app import extras
from app.embeddings.model import Embedder
from app.errors import MissingColumn, NotConfigured, UnknownModel
from app.features.sentiment.auto import mixed, wants_lexicon
from app.features.sentiment.head import classify
from app.features.sentiment.models import LEXICON, SENTIMENTS, check_paths, score
from app.formats.base import ObjectRows, Reject, Rows
from app.processors.base import ChunkContext, ChunkOutcome, Processor
from app.processors.options import Options
from app.suggestions import did_you_mean

TEXT, ID = "text", "id"
HEAD, AUTO = "minilm", "auto"
"""Names of the models that score by the vectors of the texts, alone and with the lexicon."""
EXTRAS = {LEXICON: ("sentiment",), HEAD: ("embeddings",), AUTO: ("sentiment", "embeddings")}
"""Extras of the package that a model needs."""
COLUMNS = ("row_id", "text", "sentiment", "score")


class Scored(msgspec.Struct, frozen=True):
    """Result of a row as it is stored; the score is a JSON number."""

    row_id: str
    text: str
    sentiment: str
    score: float


class _BadText(Exception):
    def __init__(self, code: str, message: str, value: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.value = code, message, value


class SentimentOptions(Options):
    model: Annotated[str, Field(max_length=200, description="Model that scores the texts.")] = (
        LEXICON
    )
    text_column: Annotated[
        str,
        Field(
            min_length=1,
            max_length=100,
            pattern=r"^[^\x00]*$",
            description="Name of the column of texts.",
        ),
    ] = TEXT


class SentimentProcessor(Processor):
    """Processor that scores texts by the model of the options, by default the lexicon. Equal texts
    of a chunk are scored once.
    """

    name = "sentiment"
    title = "Sentiment of a text column"
    options = SentimentOptions
    version = "3"

    def __init__(self, own_models: Iterable[str] = (), *, embedder: Embedder | None = None) -> None:
        """Allow the built-in models and `own_models`, as `package.module:Class`. Raises
        SettingsInvalid if one does not exist.
        """
        self._embedder = embedder
        self.models = [LEXICON, *([HEAD, AUTO] if embedder else []), *check_paths(own_models)]

    def columns(self, header: Sequence[str], options: SentimentOptions) -> Sequence[str]:
        """Return the columns of the results. Raises MissingColumn, with the `column`."""
        text = options.text_column
        if header and text not in header:
            raise MissingColumn(
                f"The file has no column `{text}`.{did_you_mean(text, header)}", column=text
            )
        return COLUMNS

    def depends_on(self, options: SentimentOptions) -> str | None:
        """Return what the scores depend on besides the texts; None for a custom model, of which that
        is not known.
        """
        model = options.model
        if model in (HEAD, AUTO) and self._embedder is not None:
            return f"{self._embedder.model_id}/{self._embedder.precision}"
        return "" if model == LEXICON else None

    def check(self, options: SentimentOptions) -> None:
        """Check that the model can be used. Raises UnknownModel if it is not allowed, NotConfigured if
        its packages are missing.
        """
        model = options.model
        if model not in self.models:
            raise UnknownModel(
                f"There is no sentiment model {model[:60]!r}; there are: {', '.join(self.models)}."
            )
        for extra in EXTRAS.get(model, ()):
            if not extras.is_installed(extra):
                raise NotConfigured(
                    f"The sentiment model {model} is not installed: {extras.how_to_install(extra)}."
                )

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        kept: list[tuple[int, str, str]] = []
        rejects: list[Reject] = []
        text_name = context.options.text_column
        read: Callable[[Any], tuple[str, str]]
        if rows.are_objects:
            read = partial(_read_object, text_name)
        else:
            read = _Cells(text_name, rows.columns, context.delimiter).read
        for number, row in zip(rows.numbers, rows.undecoded(), strict=True):
            try:
                row_id, text = read(row)
            except _BadText as bad:
                rejects.append(_reject(number, text_name, bad))
            else:
                kept.append((number, row_id or str(number), text))
        scores = self._scores({text for _, _, text in kept}, context)
        counts = dict.fromkeys(SENTIMENTS, 0)
        raw = []
        for _, row_id, text in kept:
            sentiment, value = scores[text]
            counts[sentiment] += 1
            raw.append(msgspec.json.encode(Scored(row_id, text, sentiment, value)))
        return ChunkOutcome(
            ObjectRows(COLUMNS, [number for number, _, _ in kept], raw), rejects, counts
        )

    def _scores(self, texts: set[str], context: ChunkContext) -> dict[str, tuple[str, float]]:
        ordered = sorted(texts)  # the same order in each attempt: the seed of hashes changes
        if not ordered:
            return {}
        model = context.options.model
        if model == HEAD and self._embedder is not None:
            # In this process: the model releases the interpreter lock, and is loaded once.
            scores = classify(ordered, self._embedder)
        elif model == AUTO and self._embedder is not None:
            scores = self._by_both(ordered, self._embedder, context)
        else:
            scores = context.compute(score, model, ordered)
        return dict(zip(ordered, scores, strict=True))

    def _by_both(
        self, texts: Sequence[str], embedder: Embedder, context: ChunkContext
    ) -> list[tuple[str, float]]:
        by_lexicon = context.compute(score, LEXICON, texts)
        suited = [place for place, text in enumerate(texts) if not wants_lexicon(text)]
        scores = list(by_lexicon)
        if suited:
            by_head = classify([texts[place] for place in suited], embedder)
            both = mixed(by_head, [by_lexicon[place] for place in suited])
            for place, mixture in zip(suited, both, strict=True):
                scores[place] = mixture
        return scores

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        total = dict.fromkeys(SENTIMENTS, 0)
        for summary in summaries:
            for sentiment in SENTIMENTS:
                total[sentiment] += summary.get(sentiment, 0)
        return total


class _Cells:
    """Reader of (id or "", text) from the cells of a CSV row."""

    def __init__(self, text: str, columns: Sequence[str], delimiter: str) -> None:
        self._text = columns.index(text)
        self._id = columns.index(ID) if ID in columns else None
        self._width = len(columns)
        self._delimiter = delimiter

    def read(self, row: list[str | None]) -> tuple[str, str]:
        text = row[self._text]
        # on_bad_row=keep: an unquoted delimiter, which can only be part of the last column
        if len(row) > self._width:
            if self._text != self._width - 1:
                raise _BadText("column_count", f"Expected {self._width} cells, found {len(row)}.")
            text = self._delimiter.join(cell or "" for cell in row[self._text :])
        if text is None:
            raise _BadText("missing_text", "The row has no text.")
        return ("" if self._id is None else row[self._id] or ""), text


def _read_object(name: str, raw: bytes) -> tuple[str, str]:
    """Return (id or "", text) of a JSON object. A number keeps its digits."""
    row = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    if name not in row:
        raise _BadText("missing_text", f"The object has no key `{name}`.{did_you_mean(name, row)}")
    text, row_id = _text(row[name]), _text(row[ID]) if ID in row else None
    if text is None:
        raise _BadText("missing_text", "The text is null.")
    if bytes(row[name])[:1] != b'"':
        raise _BadText("text_not_string", "The text is not a string.", text[:200])
    return row_id or "", text


def _text(value: msgspec.Raw) -> str | None:
    """Return a string, the JSON of anything else, or None for null."""
    json = bytes(value)
    if json.startswith(b'"'):
        return msgspec.json.decode(json, type=str)
    return None if json == b"null" else json.decode()


def _reject(number: int, column: str, bad: _BadText) -> Reject:
    """Return a reject without its place in the file, which the runner finds."""
    return Reject(number, 0, 0, 0, b"", bad.code, bad.message, column, bad.value)
