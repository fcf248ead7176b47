"""Train the sentiment head on the sentence vectors, and measure it beside the lexicon on texts that
it was not trained on.

    python scripts/train_sentiment.py                      writes the weights beside the code, and docs/sentiment.md
    python scripts/train_sentiment.py --cache /tmp/vectors keeps the vectors, which take minutes, for the next run

- Wants the model (./scripts/install_model) and the texts:
  GRANULA_CORPORA/sentiment/*_GroundTruth.txt, lines of id, mean human rating from -4 to 4 and text.
  The texts are not part of this repository; what is written holds their SHA-256.
- The head is a ridge regression of the rating. Its penalty and its cuts between negative, neutral
  and positive are chosen inside the training part only, on predictions of an inner 5-fold
  cross-validation. The cuts of the lexicon likewise.
- `auto` mixes the score of the head with that of the lexicon. The share of the lexicon and the cuts
  are chosen on the same predictions.
- Each corpus has the same say, and each label of it when cuts are chosen: of the reviews only 5 %
  are neutral, and a head tuned for plain accuracy on them would never call anything neutral.
- Folds keep together what belongs together: the sentences of one article, and equal texts.
- Nothing is random: the folds follow from hashes, so the same texts and the same model give the
  same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.config import load_settings
from app.embeddings.files import MODEL_ID, digest
from app.embeddings.model import Embedder
from app.features.sentiment.head import LEXICON_SCALE, WEIGHTS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "sentiment.md"
CORPORA = {"movie reviews": "movieReviewSnippets", "newspaper editorials": "nytEditorialSnippets"}
FOLDS, INNER_FOLDS = 10, 5
LEXICON_SHARES = (0.2, 0.3, 0.4, 0.5)
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)
NEUTRAL_TO = 0.5  # mean human rating; the authors of the corpora use the same
RATING_MAX = 4.0
LEXICON_CUT = 0.05  # the recommendation of the lexicon's own page
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """Texts with their ratings, all of the same length n. `truth` is -1, 0 or 1."""

    corpus: npt.NDArray[np.int64]
    group: npt.NDArray[np.str_]
    texts: npt.NDArray[np.str_]
    ratings: Floats
    vectors: Floats
    lexicon: Floats

    @property
    def truth(self) -> npt.NDArray[np.int64]:
        return cut(self.ratings, -NEUTRAL_TO, NEUTRAL_TO)

    def pick(self, mask: npt.NDArray[np.bool_]) -> Sample:
        return Sample(*(getattr(self, name)[mask] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Head:
    weights: Floats
    bias: float
    penalty: float
    negative_to: float
    positive_from: float
    lexicon_share: float
    """Share in the mixture with the lexicon, which has cuts of its own."""
    mixture_cuts: tuple[float, float]

    def score(self, vectors: Floats) -> Floats:
        return np.clip(vectors @ self.weights + self.bias, -1, 1)

    def mixture(self, sample: Sample) -> Floats:
        return mix(self.score(sample.vectors), sample.lexicon, self.lexicon_share)


def mix(head: Floats, lexicon: Floats, share: float) -> Floats:
    return (1 - share) * head + share * LEXICON_SCALE * lexicon


def cut(scores: Floats, negative_to: float, positive_from: float) -> npt.NDArray[np.int64]:
    return (scores >= positive_from).astype(np.int64) - (scores <= negative_to)


def ridge(sample: Sample, penalties: Sequence[float]) -> list[tuple[Floats, float]]:
    """Return for each penalty the weights and bias that minimise the mean squared error, weighting
    each corpus equally, plus `penalty` / n times the squared weights.
    """
    targets = sample.ratings / RATING_MAX
    say = shares(sample.corpus) * len(targets)
    total = say.sum()
    mean, middle = say @ sample.vectors / total, say @ targets / total
    centred = sample.vectors - mean
    weighted = centred * say[:, None]
    gram, right = weighted.T @ centred, weighted.T @ (targets - middle)
    solved = [np.linalg.solve(gram + penalty * np.eye(len(mean)), right) for penalty in penalties]
    return [(weights, float(middle - mean @ weights)) for weights in solved]


def best_cuts(scores: Floats, sample: Sample) -> tuple[float, float]:
    """Return the two cuts, with two decimals, with the best accuracy when each label of each corpus
    has the same weight.
    """
    truth = sample.truth
    say = shares(sample.corpus * 3 + truth)
    grid = np.round(np.arange(-0.6, 0.61, 0.01), 2)
    # Moving a cut past a text changes the outcome of that text alone, so each cut can be judged
    # separately.
    negative = [
        say[(scores <= g) & (truth == -1)].sum() - say[(scores <= g) & (truth == 0)].sum()
        for g in grid
    ]
    positive = [
        say[(scores >= g) & (truth == 1)].sum() - say[(scores >= g) & (truth == 0)].sum()
        for g in grid
    ]
    pairs = [
        (negative[i] + positive[j], i, j) for i in range(len(grid)) for j in range(i + 1, len(grid))
    ]
    _, i, j = max(pairs)
    return float(grid[i]), float(grid[j])


def shares(kinds: npt.NDArray[np.int64]) -> Floats:
    """Return a weight for each, such that every kind weighs the same and all together 1."""
    _, inverse, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    return 1 / (counts[inverse] * len(counts))


def splits(
    sample: Sample, folds: int, salt: str
) -> Iterator[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """Yield masks (train, test). A text in the test part is never in the training part, wherever it
    comes from.
    """
    fold = np.array(
        [int(hashlib.sha256(f"{salt}{g}".encode()).hexdigest(), 16) % folds for g in sample.group]
    )
    for number in range(folds):
        test = fold == number
        yield ~test & ~np.isin(sample.texts, sample.texts[test]), test


def train(sample: Sample) -> Head:
    predicted = np.zeros((len(PENALTIES), len(sample.ratings)))
    for fit, held in splits(sample, INNER_FOLDS, "inner"):
        for row, (weights, bias) in zip(predicted, ridge(sample.pick(fit), PENALTIES), strict=True):
            row[held] = np.clip(sample.vectors[held] @ weights + bias, -1, 1)
    best = int(np.argmax([agreement(row, sample) for row in predicted]))
    [(weights, bias)] = ridge(sample, [PENALTIES[best]])
    mixtures = [mix(predicted[best], sample.lexicon, share) for share in LEXICON_SHARES]
    place = int(np.argmax([agreement(scores, sample) for scores in mixtures]))
    return Head(
        weights,
        bias,
        PENALTIES[best],
        *best_cuts(predicted[best], sample),
        LEXICON_SHARES[place],
        best_cuts(mixtures[place], sample),
    )


def agreement(scores: Floats, sample: Sample) -> float:
    """Return the mean over the corpora of Pearson's r with the ratings."""
    masks = [sample.corpus == number for number in np.unique(sample.corpus)]
    return float(np.mean([np.corrcoef(scores[mask], sample.ratings[mask])[0, 1] for mask in masks]))


def measure(sample: Sample) -> list[dict[str, Any]]:
    """Return correlation and accuracy of the head and of the lexicon on held-out texts, for each
    way of splitting and each corpus.
    """
    names = list(CORPORA)
    rows = []
    for way in ("folds", "corpus"):
        labels = {
            who: np.zeros(len(sample.ratings), np.int64)
            for who in ("head", "lexicon", "lexicon, cuts tuned", "both (auto)")
        }
        scores, mixed = np.zeros(len(sample.ratings)), np.zeros(len(sample.ratings))
        parts = list(splits(sample, FOLDS, "outer")) if way == "folds" else _corpora(sample)
        for fit, held in parts:
            part = sample.pick(fit)
            head = train(part)
            scores[held] = head.score(sample.vectors[held])
            labels["head"][held] = cut(scores[held], head.negative_to, head.positive_from)
            mixed[held] = head.mixture(sample.pick(held))
            labels["both (auto)"][held] = cut(mixed[held], *head.mixture_cuts)
            tuned = best_cuts(part.lexicon, part)
            labels["lexicon, cuts tuned"][held] = cut(sample.lexicon[held], *tuned)
            labels["lexicon"][held] = cut(sample.lexicon[held], -LEXICON_CUT, LEXICON_CUT)
        for number, name in enumerate(names):
            here = sample.corpus == number
            for who, given in labels.items():
                own = {"head": scores, "both (auto)": mixed}.get(who, sample.lexicon)
                is_told = here & (sample.truth != 0)
                rows.append(
                    {
                        "way": way,
                        "corpus": name,
                        "who": who,
                        "texts": int(here.sum()),
                        "r": float(np.corrcoef(own[here], sample.ratings[here])[0, 1]),
                        "sign": float((np.sign(own) == np.sign(sample.ratings))[is_told].mean()),
                        "accuracy": float((given[here] == sample.truth[here]).mean()),
                        "balanced": float(
                            np.mean(
                                [
                                    (given[here & (sample.truth == t)] == t).mean()
                                    for t in (-1, 0, 1)
                                ]
                            )
                        ),
                    }
                )
    return rows


def _corpora(sample: Sample) -> Iterator[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    for number in range(len(CORPORA)):
        test = sample.corpus == number
        yield ~test & ~np.isin(sample.texts, sample.texts[test]), test


def read(folder: Path, cache: Path | None) -> tuple[Sample, dict[str, str]]:
    corpus, group, texts, ratings, digests = [], [], [], [], {}
    for number, name in enumerate(CORPORA.values()):
        path = folder / f"{name}_GroundTruth.txt"
        digests[path.name] = digest(path)
        for line in path.read_bytes().decode("utf-8").split("\n"):
            if not line.strip():
                continue
            key, rating, text = line.rstrip("\r").split("\t", 2)
            corpus.append(number)
            # `12_3` is the third sentence of article 12
            group.append(f"{number}/{key.partition('_')[0]}")
            ratings.append(float(rating))
            texts.append(text)
    return (
        Sample(
            np.array(corpus),
            np.array(group),
            np.array(texts),
            np.array(ratings),
            embed(texts, cache),
            lexicon(texts),
        ),
        digests,
    )


def embed(texts: list[str], cache: Path | None) -> Floats:
    place = (
        cache / f"{hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]}.npy"
        if cache
        else None
    )
    if place and place.exists():
        kept: Floats = np.load(place).astype(np.float64)
        return kept
    embedder = Embedder(load_settings().embedding_model_dir)
    vectors = []
    for start in range(0, len(texts), 1000):
        vectors.append(embedder.encode(texts[start : start + 1000]))
        print(
            f"\r{min(start + 1000, len(texts))} of {len(texts)} texts embedded",
            end="",
            file=sys.stderr,
            flush=True,
        )
    print(file=sys.stderr)
    if place:
        place.parent.mkdir(parents=True, exist_ok=True)
        np.save(place, np.concatenate(vectors))
    return np.concatenate(vectors).astype(np.float64)


def lexicon(texts: list[str]) -> Floats:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    return np.array([analyzer.polarity_scores(text)["compound"] for text in texts])


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| held out | texts | scored by | Pearson r | sign | accuracy | balanced accuracy |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        held = (
            f"{row['corpus']},"
            f" {'the whole corpus' if row['way'] == 'corpus' else f'each of {FOLDS} folds'}"
        )
        figures = " | ".join(f"{row[name]:.3f}" for name in ("r", "sign", "accuracy", "balanced"))
        lines.append(f"| {held} | {row['texts']:,} | {row['who']} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep the vectors here")
    folder = (
        Path(os.environ.get("GRANULA_CORPORA", ROOT.parent / "shared" / "corpora")) / "sentiment"
    )
    sample, digests = read(folder, parser.parse_args().cache)
    figures = table(measure(sample))
    head = train(sample)
    WEIGHTS.write_text(
        json.dumps(
            {
                "model": MODEL_ID,
                "trained_on": digests,
                "penalty": head.penalty,
                "negative_to": head.negative_to,
                "positive_from": head.positive_from,
                "bias": round(head.bias, 5),
                "mixture": {
                    "lexicon_share": head.lexicon_share,
                    "negative_to": head.mixture_cuts[0],
                    "positive_from": head.mixture_cuts[1],
                },
                "weights": [round(weight, 5) for weight in head.weights.tolist()],
            }
        )
        + "\n"
    )
    print(figures)
    print(
        f"\npenalty {head.penalty}, negative to {head.negative_to}, positive from"
        f" {head.positive_from}"
    )
    page = PAGE.read_text()
    PAGE.write_text(
        re.sub(
            r"(<!-- figures -->\n).*?(<!-- /figures -->)",
            lambda m: m[1] + figures + "\n" + m[2],
            page,
            flags=re.S,
        )
    )


if __name__ == "__main__":
    main()
