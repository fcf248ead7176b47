"""The shipped head rates plain sentences correctly, and names its origin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import pytest

from app.embeddings import files
from app.embeddings.model import Embedder
from app.features.sentiment.auto import wants_lexicon
from app.features.sentiment.head import (
    WEIGHTS,
    Mixture,
    SentimentHead,
    classify,
    is_readable,
    trained_head,
    trained_mixture,
)
from app.features.sentiment.models import score
from app.features.sentiment.processor import SentimentOptions, SentimentProcessor
from app.formats.base import CellRows
from app.processors.base import ChunkContext

PRAISE = [
    "What a wonderful, moving film; I loved every minute of it.",
    "The staff were friendly and the room was spotless and quiet.",
    "Works perfectly, arrived early, and the battery lasts for days.",
    "Her best book so far: witty, warm and impossible to put down.",
]
BLAME = [
    "Boring, badly acted and far too long. I walked out.",
    "It broke after two days and nobody answered my letters.",
    "The food was cold, the waiter was rude and the bill was wrong.",
    "A cruel and pointless law that will make poor families suffer.",
]


def test_praise_scores_above_blame_and_an_empty_text_is_neutral(model_dir: Path) -> None:
    found = classify([*PRAISE, *BLAME, "", " \n"], Embedder(model_dir))
    scores = [score for _, score in found]
    assert min(scores[:4]) > max(scores[4:8])
    assert all(type(score) is float and -1 <= score <= 1 for score in scores)
    assert found[0][0] == "positive"
    assert found[4][0] == "negative"
    assert found[8:] == [("neutral", 0), ("neutral", 0)]
    assert [label for label, _ in found] == trained_head().labels(np.array(scores))


NO_TEXTS = [
    "",
    " \n",
    "\U0001f600\U0001f600",
    "!!! ???",
    "12345",
    "Это плохой фильм",
    "とても良い",
    "a",
]


@pytest.mark.parametrize("text", NO_TEXTS)
def test_text_that_the_model_cannot_read_has_no_score(text: str, model_dir: Path) -> None:
    assert not is_readable(text)
    assert classify([text, PRAISE[0]], Embedder(model_dir))[0] == ("neutral", 0.0)


@pytest.mark.parametrize("text", [*PRAISE, *BLAME, "Très bon café à Köln", "ok :)", "No. 7 failed"])
def test_words_in_latin_letters_are_read(text: str) -> None:
    assert is_readable(text)


@pytest.mark.parametrize(
    ("text", "is_informal"),
    [
        *((text, False) for text in (*PRAISE, *BLAME, "At 10:30 we left; see (D) and page 8.")),
        *((text, True) for text in NO_TEXTS),
        ("@anna that was great", True),
        ("so good #happy", True),
        ("see https://example.org", True),
        ("I am sooooo tired", True),
        ("fine :)", True),
        ("love it \u2764", True),
    ],
)
def test_auto_leaves_short_messages_to_the_lexicon(text: str, is_informal: bool) -> None:
    assert wants_lexicon(text) is is_informal


def test_the_mixture_has_both_scores_by_their_shares() -> None:
    mixture = Mixture(lexicon_share=0.25, negative_to=-0.1, positive_from=0.2)
    scores = mixture.score(np.array([0.4, -0.4, 0.0]), np.array([0.8, -0.8, 0.0]))
    assert scores.tolist() == [0.4, -0.4, 0.0]
    assert mixture.score(np.array([0.4]), np.array([-0.8])).tolist() == [0.2]
    assert mixture.labels(np.array([-0.1, -0.09, 0.19, 0.2])) == [
        "negative", "neutral", "neutral", "positive",
    ]  # fmt: skip


def test_auto_scores_each_text_by_what_suits_it(model_dir: Path) -> None:
    def compute(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    texts = [PRAISE[0], "@anna great!!! :)", "", BLAME[0]]
    context = ChunkContext(uuid4(), 0, 1, SentimentOptions(model="auto"), compute=compute)
    processor = SentimentProcessor(embedder=Embedder(model_dir))
    processor.check(SentimentOptions(model="auto"))
    rows = CellRows(["text"], range(1, 5), [[text] for text in texts])
    outcome = processor.process(rows, context)
    found = [row for page in outcome.results.pages() for row in msgspec.json.decode(page.data)]
    lexicon = dict(zip(texts, score("vader", texts), strict=True))
    assert [row["sentiment"] for row in found] == ["positive", "positive", "neutral", "negative"]
    assert [found[1]["score"], found[2]["score"]] == [lexicon[texts[1]][1], 0.0]
    ((_, by_head),) = classify([PRAISE[0]], Embedder(model_dir))
    mixture = trained_mixture()
    share = mixture.lexicon_share
    expected = (1 - share) * by_head + share * 0.5 * lexicon[PRAISE[0]][1]
    assert found[0]["score"] == pytest.approx(expected, abs=1e-4)


def test_a_score_is_between_minus_one_and_one_and_the_cuts_match_their_labels() -> None:
    head = SentimentHead(np.array([4, 0], np.float32), 0.5, negative_to=-0.5, positive_from=0.25)
    scores = head.score(
        np.array([[-1, 0], [-0.25, 0], [-0.2, 0], [-0.0625, 0], [1, 0]], np.float32)
    )
    assert np.allclose(scores, [-1, -0.5, -0.3, 0.25, 1])
    assert scores.dtype == np.float32
    assert head.labels(scores) == ["negative", "negative", "neutral", "positive", "positive"]
    assert head.labels(head.score(np.empty((0, 2), np.float32))) == []


def test_the_weights_name_the_model_and_the_texts_they_come_from(corpora: Path) -> None:
    stored = msgspec.json.decode(WEIGHTS.read_bytes())
    assert stored["model"] == files.MODEL_ID
    texts = sorted((corpora / "sentiment").glob("*_GroundTruth.txt"))
    assert stored["trained_on"] == {path.name: files.digest(path) for path in texts}
    assert trained_head().weights.shape == (384,)
    assert trained_head().negative_to < trained_head().positive_from
    assert WEIGHTS.stat().st_size < 20_000
