"""The head that is shipped says what plain sentences say, and where it comes from."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from app.embeddings import files
from app.embeddings.model import Embedder
from app.features.sentiment.head import WEIGHTS, SentimentHead, classify, trained_head

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


def test_praise_scores_above_blame_and_nothing_is_neutral(model_dir: Path) -> None:
    found = classify([*PRAISE, *BLAME, "", " \n"], Embedder(model_dir))
    scores = [score for _, score in found]
    assert min(scores[:4]) > max(scores[4:8])
    assert all(type(score) is float and -1 <= score <= 1 for score in scores)
    assert found[0][0] == "positive"
    assert found[4][0] == "negative"
    assert found[8:] == [("neutral", 0), ("neutral", 0)]
    assert [label for label, _ in found] == trained_head().labels(np.array(scores))


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
