"""Compare our encoder with others in sentences per second, on the same cores and texts, in turns.

    python scripts/benchmark_embeddings.py
    /tmp/reference/bin/python scripts/benchmark_embeddings.py --reference MODEL_FOLDER    # with sentence-transformers

- The texts are the two files in GRANULA_CORPORA/sentiment, mixed, if they exist, otherwise generated;
  of all lengths either way.
- "plain batches" is the same network without sorting and without finding equal texts, 64 texts a
  batch as they come.
- "half repeated" is a column with each text twice, as often in real tables; rates count
  all of its texts.
- Every contestant runs once per round, so that other load hits all alike; the ratio is the median
  over the rounds. On a busy machine only the ratios mean something.
- For --reference an environment needs sentence-transformers, onnxruntime and tokenizers.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.embeddings import model
from app.embeddings.model import Embedder

ROOT = Path(__file__).resolve().parents[1]
Contestant = Callable[[Sequence[str]], Any]


def main() -> None:
    arguments = _arguments()
    texts = sample(arguments.texts)
    half = random.Random(2).sample(doubled := texts[: len(texts) // 2] * 2, len(doubled))
    fp32 = Embedder(arguments.model, threads=arguments.threads)
    int8 = Embedder(arguments.model, precision="int8", threads=arguments.threads)
    contestants: dict[str, tuple[Contestant, Sequence[str]]] = {
        "ours": (fp32.encode, texts),
        "ours, half repeated": (fp32.encode, half),
        "ours, int8": (int8.encode, texts),
        "plain batches": (lambda texts: plain(fp32, texts), texts),
        "plain batches, half repeated": (lambda texts: plain(fp32, texts), half),
    }
    if arguments.reference:
        reference = sentence_transformers(arguments.reference, arguments.threads)
        contestants["sentence-transformers"] = (reference, texts)
        contestants["sentence-transformers, half repeated"] = (reference, half)
    for encode, _ in contestants.values():
        encode(texts[:64])
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(arguments.rounds):
        for name in random.Random(number).sample(list(contestants), len(contestants)):
            encode, column = contestants[name]
            start = time.perf_counter()
            encode(column)
            seconds[name].append((time.perf_counter() - start) / len(column))
    report(seconds, len(texts))


def report(seconds: dict[str, list[float]], count: int) -> None:
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    print(f"{count} texts, {len(seconds['ours'])} rounds{load}\n")
    print("| | texts/s: median (min to max) | ours / this |\n|---|---|---|")
    for name, took in seconds.items():
        rates = [1 / second for second in took]
        base = seconds["ours, half repeated" if name.endswith("repeated") else "ours"]
        ratio = statistics.median(other / own for own, other in zip(base, took, strict=True))
        print(
            f"| {name} | {statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f}) |"
            f" {ratio:.2f} |"
        )


def plain(embedder: Embedder, texts: Sequence[str]) -> None:
    tokenizer, session = embedder._network.parts()

    def encode(start: int) -> None:
        ids = [
            encoding.ids
            for encoding in tokenizer.encode_batch_fast(
                list(texts[start : start + model.BATCH_TEXTS])
            )
        ]
        # _padded expects the longest first; within a batch the order has no effect
        ids.sort(key=len, reverse=True)
        session.run(None, model._padded(ids))

    list(embedder._pool.map(encode, range(0, len(texts), model.BATCH_TEXTS)))


def sentence_transformers(folder: str, threads: int) -> Contestant:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads or model._cores())
    reference = SentenceTransformer(folder, device="cpu")
    return lambda texts: reference.encode(
        list(texts), batch_size=32, normalize_embeddings=True, show_progress_bar=False
    )


def sample(count: int) -> list[str]:
    """Return different texts, in an order fixed by a seed."""
    folder = (
        Path(os.environ.get("GRANULA_CORPORA", ROOT.parent / "shared" / "corpora")) / "sentiment"
    )
    found: set[str] = set()
    for path in sorted(folder.glob("*_GroundTruth.txt")):
        found |= {
            line.split("\t", 2)[2].strip()
            for line in path.read_text("utf-8").split("\n")
            if line.count("\t") >= 2
        }
    if not found:
        print(f"No corpora in {folder}: the texts are made up.")
        words = "the of row file and bytes in a table was sent again by some other service before noon".split()
        chance = random.Random(0)
        found = {
            " ".join(chance.choices(words, k=int(chance.lognormvariate(2.7, 0.6)) + 1))
            for _ in range(2 * count)
        }
    return random.Random(1).sample(sorted(found), min(count, len(found)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=ROOT / "storage" / "models" / "all-MiniLM-L6-v2",
        metavar="FOLDER",
    )
    parser.add_argument(
        "--reference",
        metavar="MODEL_FOLDER",
        help="also measure sentence-transformers on this model",
    )
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: every core")
    return parser.parse_args()


if __name__ == "__main__":
    main()
