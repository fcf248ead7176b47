"""The lexicon scores as its library does, in linear time; the output of a model is validated."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from vaderSentiment.vaderSentiment import (
    BOOSTER_DICT,
    NEGATE,
    SPECIAL_CASES,
    SentimentIntensityAnalyzer,
)

from app.embeddings.model import Embedder
from app.errors import ModelUnavailable, SettingsInvalid, UnknownModel
from app.features.sentiment.models import BadScores, checked
from app.features.sentiment.processor import SentimentOptions, SentimentProcessor
from app.features.sentiment.vader import Vader
from app.formats.base import CellRows, ObjectRows
from app.processors.base import ChunkContext, ChunkOutcome

LIBRARY = SentimentIntensityAnalyzer()


def expected(text: str) -> tuple[str, float]:
    compound = LIBRARY.polarity_scores(re.sub("[\u2019\u2018\u02bc\uff07]", "'", text))["compound"]
    return (
        "positive" if compound >= 0.05 else "negative" if compound <= -0.05 else "neutral"
    ), compound


def test_real_texts_score_as_the_library_scores_them(corpora: Path) -> None:
    lines = [
        line
        for path in sorted((corpora / "sentiment").glob("*.txt"))
        for line in path.read_text("utf-8", "replace").splitlines()[::8]
    ]
    texts = [line.split("\t")[-1] for line in lines]
    assert len(texts) > 1_500
    assert Vader().score(texts) == [expected(text) for text in texts]


def test_every_rule_of_the_library_holds_in_any_mix_of_words() -> None:
    rng = random.Random(1)
    words = [
        *list(LIBRARY.lexicon)[::50],
        *BOOSTER_DICT,
        *NEGATE * 2,
        *["but", "BUT", "least", "at", "very", "kind", "of"] * 9,
    ]
    words += [
        *["no", "nor", "or", "so", "this", "never", "without", "doubt", "\U0001f600"] * 9,
        *" ".join(SPECIAL_CASES).split() * 3,
    ]
    texts = [
        " ".join(rng.choices(words, k=rng.randint(0, 25))) + rng.choice(("", "!!", "??", "!?!?"))
        for _ in range(1_500)
    ]
    texts += [text.upper() if rng.random() < 0.3 else text.title() for text in texts[:500]]
    assert Vader().score(texts) == [expected(text) for text in texts]


@pytest.mark.parametrize("apostrophe", "\u2019\u2018\u02bc\uff07")
def test_a_text_scores_alike_with_whichever_apostrophe_it_is_written(apostrophe: str) -> None:
    """Phones and word processors write a curly one, which the lexicon does not know."""
    texts = [
        "I don't like it", "It isn't good", "We can't recommend this", "The food wasn't great, but the staff were lovely",
        "'great'", "It'll be the best", "couldn't be happier :')", "She won't love it", "nothing's wrong",
    ]  # fmt: skip
    curly = [text.replace("'", apostrophe) for text in texts]
    assert Vader().score(curly) == [expected(text) for text in texts]
    assert Vader().score(curly)[0][0] == "negative"


def test_a_result_has_the_text_as_it_was_written() -> None:
    text = "I don\u2019t like it"
    context = ChunkContext(uuid4(), 0, 1, SentimentOptions())
    outcome = SentimentProcessor().process(CellRows(["text"], [1], [[text]]), context)
    (page,) = outcome.results.pages()
    (row,) = msgspec.json.decode(page.data)
    assert (row["text"], row["sentiment"], row["score"]) == (text, "negative", -0.2755)


def test_a_long_text_costs_as_much_as_its_words_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at = 0
    original = SentimentIntensityAnalyzer._negation_check

    def note(valence: float, words: Sequence[str], start: int, index: int) -> float:
        nonlocal looked_at
        looked_at += len(words)
        return float(original(valence, words, start, index))

    monkeypatch.setattr(SentimentIntensityAnalyzer, "_negation_check", staticmethod(note))
    text = "not good but bad " * 500
    assert Vader().score([text])[0][0] in ("positive", "negative")
    assert looked_at < 20 * len(text.split())


def stored_rows(outcome: ChunkOutcome) -> list[dict[str, Any]]:
    return [row for page in outcome.results.pages() for row in json.loads(page.data)]


def test_an_id_that_is_a_number_keeps_its_digits_and_a_text_that_is_none_is_shown_as_it_was_written() -> (
    None
):
    def compute(function: object, model: str, texts: list[str]) -> list[tuple[str, float]]:
        return [("positive", 0.5)] * len(texts)

    raw = [
        b'{"id": 12345678901234567.89, "text": "a"}',
        b'{"id": null, "text": "b"}',
        b'{"id": "x", "text": 1.10}',
    ]
    done = SentimentProcessor().process(
        ObjectRows([], [1, 2, 3], raw),
        ChunkContext(uuid4(), 0, 1, SentimentOptions(), compute=compute),
    )
    assert [row["row_id"] for row in stored_rows(done)] == ["12345678901234567.89", "2"]
    assert [(reject.code, reject.value) for reject in done.rejects] == [("text_not_string", "1.10")]


def test_equal_texts_of_a_chunk_are_scored_once() -> None:
    calls: list[list[str]] = []

    def compute(function: object, model: str, texts: list[str]) -> list[tuple[str, float]]:
        calls.append(texts)
        return [("positive", 0.5)] * len(texts)

    rows = CellRows(["text"], [4, 5, 6], [["b"], ["a"], ["b"]])
    context = ChunkContext(uuid4(), 0, 1, SentimentOptions(), compute=compute)
    outcome = SentimentProcessor().process(rows, context)
    assert calls == [["a", "b"]]
    assert [row["row_id"] for row in stored_rows(outcome)] == ["4", "5", "6"]
    assert outcome.summary == {"positive": 3, "neutral": 0, "negative": 0}


def test_without_the_sentence_model_its_chunks_fail_saying_what_to_do(tmp_path: Path) -> None:
    processor = SentimentProcessor(embedder=Embedder(tmp_path))
    processor.check(SentimentOptions(model="minilm"))
    with pytest.raises(ModelUnavailable, match="install_model"):
        processor.process(
            CellRows(["text"], [1], [["a"]]),
            ChunkContext(uuid4(), 0, 1, SentimentOptions(model="minilm")),
        )
    with pytest.raises(UnknownModel):
        SentimentProcessor().check(SentimentOptions(model="minilm"))


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [("positive", 1.0)] * 2,
        [("good", 1.0)],
        [("neutral", float("nan"))],
        [("neutral", float("inf"))],
    ],
)
def test_an_answer_that_does_not_fit_the_texts_is_an_error(answer: list[tuple[str, float]]) -> None:
    with pytest.raises(BadScores):
        checked(answer, 1)


def test_only_listed_models_are_taken_and_only_those_that_are_there_can_be_listed() -> None:
    processor = SentimentProcessor(["tests.acceptance.scorers:Flaky"])
    processor.check(SentimentOptions(model="tests.acceptance.scorers:Flaky"))
    with pytest.raises(UnknownModel, match=r"vader, tests\.acceptance\.scorers:Flaky"):
        processor.check(SentimentOptions(model="tests.acceptance.scorers:Fragile"))
    for path in ("no.such:Thing", "json", "json:", ":x", "json:no good"):
        with pytest.raises(SettingsInvalid, match="SENTIMENT_MODELS"):
            SentimentProcessor([path])
