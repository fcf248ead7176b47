"""Measure the search by meaning over imported people, on the embedded SQLite and on PostgreSQL with pgvector.

    python scripts/benchmark_search.py --rows 50000 --queries 200

The people are imported through the API and get their vectors from the real model, which takes most of the time. Latencies
are whole HTTP requests, one after another, the encoding of the query included. Recall is the share of the exact ten nearest
(by numpy, over the stored vectors) that the answer has; one as near as the tenth counts, too.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, median

import httpx
import numpy as np
from rich.console import Console
from rich.progress import Progress

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.embeddings.model import Embedder  # noqa: E402
from tests.harness import Postgres, Server, migrate, query, wait_until  # noqa: E402

MODEL = ROOT / "storage" / "models" / "all-MiniLM-L6-v2"
FIRST = (
    "Ada Alan Barbara Claude Donald Edsger Frances Grace Hedy John Katherine Ken Linus Margaret Niklaus Radia".split()
)
SYLLABLES = [c + v for c in "bdfghjklmnprst" for v in "aeio"]
LEVELS = "Junior Senior Lead Assistant Chief Deputy Interim Regional".split()
FIELDS = (
    "software development", "nursing", "tax law", "marine biology", "sales", "bakery", "logistics", "music teaching",
    "data analysis", "gardening", "aircraft maintenance", "human resources", "marketing", "bookkeeping", "carpentry",
    "customer support", "electrical engineering", "film editing", "forestry", "veterinary medicine",
)  # fmt: skip
QUERIES = (
    "writes programs", "looks after patients", "knows about taxes", "repairs planes", "makes bread", "plays instruments",
    "hires people", "sells things", "works with wood", "helps customers", "cuts movies", "treats animals", "plans trucks",
    "studies fish", "counts money", "manages a region", "wires machines", "grows plants", "advertises", "predicts numbers",
)  # fmt: skip


def write_people(path: Path, rows: int) -> None:
    rng = random.Random(7)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(("name", "email", "age", "department"))
        for i in range(rows):
            last = "".join(rng.choices(SYLLABLES, k=3)).title()
            title = f"{rng.choice(LEVELS)} {rng.choice(FIELDS)}, team {rng.randrange(100)}"
            out.writerow((f"{rng.choice(FIRST)} {last}", f"p{i}@example.com", rng.randrange(18, 90), title))


@contextmanager
def serving(url: str, folder: Path) -> Iterator[Server]:
    server = Server(url, folder, EMBEDDING_MODEL_DIR=MODEL)
    try:
        yield server.start()
    finally:
        server.stop()


def measure(url: str, folder: Path, people: Path, rows: int, queries: int, progress: Progress, name: str) -> str:
    with serving(url, folder) as server, server.client() as client:
        task = progress.add_task(f"{name}: vectors", total=rows)
        started = time.perf_counter()
        with people.open("rb") as file:
            number = client.post("/api/upload", files={"file": ("people.csv", file)}).json()["id"]
        while (found := client.get(f"/api/imports/{number}?limit=1").json())["vectors"]["status"] == "pending":
            progress.update(task, completed=found["vectors"]["ready"])
            time.sleep(1)
        progress.remove_task(task)
        seconds = time.perf_counter() - started
        if not url.startswith("sqlite"):
            has_index = (
                "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('ix_record_halfvecs_hnsw') AND indisvalid"
            )
            wait_until(lambda: query(url, has_index) or rows < 5_000, 600, "the HNSW index")
        return report(name, url, client, queries, rows / seconds)


def report(name: str, url: str, client: httpx.Client, queries: int, rate: float) -> str:
    stored = query(url, "SELECT row_number, vector FROM record_vectors")
    matrix = np.stack([np.frombuffer(vector, "<f4") for _, vector in stored])
    numbers = {int(row): i for i, (row, _) in enumerate(stored)}
    texts = [f"{level} who {words}" for words in QUERIES for level in ("somebody", *LEVELS)]
    texts = [texts[i % len(texts)] + ("" if i < len(texts) else f" {i}") for i in range(queries)]
    exact = Embedder(MODEL).encode(texts) @ matrix.T
    client.post("/api/records/search", json={"query": "warm up", "limit": 10})
    times, recalls = [], []
    for text, scores in zip(texts, exact, strict=True):
        started = time.perf_counter()
        found = client.post("/api/records/search", json={"query": text, "limit": 10}).json()["records"]
        times.append(1000 * (time.perf_counter() - started))
        tenth = np.sort(scores)[-10] - 1e-4
        recalls.append(sum(scores[numbers[r["row_number"]]] >= tenth for r in found) / 10)
    return (
        f"| {name} | {len(stored):,} | {median(times):.1f} | {np.percentile(times, 95):.1f} | "
        f"{fmean(recalls):.3f} | {rate:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=200)
    arguments = parser.parse_args()
    console = Console(stderr=True)
    lines = [
        "| | records | p50 ms | p95 ms | recall@10 | records/s to vectors |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory(prefix="granula-") as made, Progress(console=console) as progress:
        folder = Path(made)
        people = folder / "people.csv"
        write_people(people, arguments.rows)
        (folder / "sqlite").mkdir()
        url = f"sqlite+aiosqlite:///{folder / 'sqlite' / 'granula.db'}"
        lines.append(
            measure(url, folder / "sqlite", people, arguments.rows, arguments.queries, progress, "SQLite, exact")
        )
        os.chmod(folder, 0o755)
        (folder / "pg").mkdir()
        postgres = Postgres(folder / "pg")
        try:
            url = postgres.url(postgres.create())
            migrate(url, folder)
            lines.append(
                measure(url, folder / "files", people, arguments.rows, arguments.queries, progress, "PostgreSQL, HNSW")
            )
        finally:
            postgres.stop()
    print("\n".join(lines))


if __name__ == "__main__":
    main()
