"""Measure the search by meaning over imported people, on the embedded SQLite and on PostgreSQL with
pgvector.

    python scripts/benchmark_search.py --rows 50000 --queries 200
    python scripts/benchmark_search.py --vectors vectors.npy     # keep the vectors there, and use them the next time

The people are imported through the API. Their vectors are made once, by the encoder of the service,
and put into both databases, since making them takes most of the time. Latencies are whole HTTP
requests, one after another, each with another text, the encoding of the query included. Recall is
the share of the exact ten nearest (by numpy, over the vectors) that the answer has; one as near as
the tenth counts, too.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
import numpy as np
from rich.console import Console
from rich.progress import Progress

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.embeddings.model import Embedder  # noqa: E402
from app.features.imports.words import VALUES, VALUES_ON_SQLITE  # noqa: E402
from tests.harness import Postgres, Server, migrate, query, wait_until  # noqa: E402

Answer = TypeVar("Answer")
MODEL = ROOT / "storage" / "models" / "all-MiniLM-L6-v2"
FIRST = (
    "Ada Alan Barbara Claude Donald Edsger Frances Grace Hedy John Katherine Ken Linus Margaret"
    " Niklaus Radia".split()
)
SYLLABLES = [c + v for c in "bdfghjklmnprst" for v in "aeio"]
LEVELS = "Junior Senior Lead Assistant Chief Deputy Interim Regional".split()
FIELDS = (
    "software development",
    "nursing",
    "tax law",
    "marine biology",
    "sales",
    "bakery",
    "logistics",
    "music teaching",
    "data analysis",
    "gardening",
    "aircraft maintenance",
    "human resources",
    "marketing",
    "bookkeeping",
    "carpentry",
    "customer support",
    "electrical engineering",
    "film editing",
    "forestry",
    "veterinary medicine",
)
QUERIES = (
    "writes programs",
    "looks after patients",
    "knows about taxes",
    "repairs planes",
    "makes bread",
    "plays instruments",
    "hires people",
    "sells things",
    "works with wood",
    "helps customers",
    "cuts movies",
    "treats animals",
    "plans trucks",
    "studies fish",
    "counts money",
    "manages a region",
    "wires machines",
    "grows plants",
    "advertises",
    "predicts numbers",
)

KINDS: dict[str, dict[str, Any]] = {
    "by meaning": {},
    "within one import": {"import_id": 0},
    "with text": {"text": "Senior nursing"},
    "with a text of all": {"text": "example.com"},
}
FILL = "INSERT INTO record_words (job_id, row_number, words) SELECT job_id, row_number,"
HAS_INDEX = (
    "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('ix_record_halfvecs_hnsw') AND"
    " indisvalid"
)


def write_people(path: Path, rows: int) -> None:
    rng = random.Random(7)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(("name", "email", "age", "department"))
        for i in range(rows):
            last = "".join(rng.choices(SYLLABLES, k=3)).title()
            title = f"{rng.choice(LEVELS)} {rng.choice(FIELDS)}, team {rng.randrange(100)}"
            out.writerow(
                (f"{rng.choice(FIRST)} {last}", f"p{i}@example.com", rng.randrange(18, 90), title)
            )


def vectors_of(people: Path, kept: Path | None, progress: Progress) -> np.ndarray:
    """Return an array (rows, 384), from the file if it exists."""
    with people.open(encoding="utf-8") as file:
        texts = [f"{row['name']}, {row['department']}" for row in csv.DictReader(file)]
    if kept is not None and kept.exists():
        vectors: np.ndarray = np.load(kept)
        if len(vectors) == len(texts):
            return vectors
    embedder = Embedder(MODEL)
    made = np.zeros((len(texts), embedder.dimensions), np.float32)
    for start in progress.track(range(0, len(texts), 1000), description="vectors"):
        made[start : start + 1000] = embedder.encode(texts[start : start + 1000])
    if kept is not None:
        np.save(kept, made)
    return made


@contextmanager
def serving(url: str, folder: Path, model: Path) -> Iterator[Server]:
    server = Server(url, folder, EMBEDDING_MODEL_DIR=model)
    try:
        yield server.start()
    finally:
        server.stop()


def load(url: str, folder: Path, people: Path, vectors: np.ndarray) -> None:
    """Import the people without a model, and insert their vectors."""
    with (
        serving(url, folder, folder / "none") as server,
        server.client() as client,
        people.open("rb") as file,
    ):
        number = client.post("/api/upload", files={"file": ("people.csv", file)}).json()["id"]

        def is_stored() -> bool:
            body = client.get(f"/api/imports/{number}?limit=1").json()
            return bool(body["status"] == "completed" and body["vectors"]["status"] == "failed")

        wait_until(is_stored, 300, "the import")
    ((job_id,),) = query(url, "SELECT DISTINCT job_id FROM vector_tasks")
    rows = [
        (
            job_id,
            i,
            Embedder.model_id,
            "fp32",
            i.to_bytes(32, "big"),
            vector.astype("<f4").tobytes(),
        )
        for i, vector in enumerate(vectors, 1)
    ]
    columns = ("job_id", "row_number", "model", "precision", "text_hash", "vector")
    if url.startswith("sqlite"):
        with sqlite3.connect(url.partition(":///")[2]) as connection:
            listed = ", ".join(columns)
            connection.executemany(
                f"INSERT INTO record_vectors ({listed}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
                rows,
            )
            connection.create_function("folded", 1, lambda value: str(value).lower())
            connection.execute(f"{FILL} {VALUES_ON_SQLITE} FROM records")
    else:
        asyncio.run(copy(url, rows, columns))
        query(url, f"{FILL} {VALUES} FROM records", "ANALYZE record_words")
    query(url, "UPDATE vector_tasks SET done = true")


async def copy(url: str, rows: list[tuple[Any, ...]], columns: tuple[str, ...]) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.copy_records_to_table("record_vectors", records=rows, columns=columns)
    await connection.execute("ANALYZE")
    await connection.close()


def measure(
    name: str, url: str, folder: Path, people: Path, vectors: np.ndarray, queries: int
) -> Iterator[str]:
    load(url, folder, people, vectors)
    with serving(url, folder, MODEL) as server, server.client() as client:
        search(client, query="warm up")
        if not url.startswith("sqlite") and len(vectors) >= 5_000:
            started = time.perf_counter()
            wait_until(lambda: query(url, HAS_INDEX), 900, "the HNSW index")
            print(
                f"{name}: the index was there after {time.perf_counter() - started:.0f} s",
                file=sys.stderr,
            )
            query(
                url, "VACUUM ANALYZE", "CHECKPOINT"
            )  # what PostgreSQL does in the minutes after a bulk load
        number = client.get("/api/imports").json()["imports"][0]["id"]
        texts = [f"{level} who {words}" for words in QUERIES for level in ("somebody", *LEVELS)]
        texts = [
            texts[i % len(texts)] + ("" if i < len(texts) else f" {i}")
            for i in range(queries * len(KINDS))
        ]
        random.Random(1).shuffle(texts)
        for place, (kind, given) in enumerate(KINDS.items()):
            some = texts[place * queries :][:queries]
            given = given | ({"import_id": number} if "import_id" in given else {})
            yield report(f"{name} | {kind}", client, vectors, some, given)


def search(client: httpx.Client, **body: object) -> list[dict[str, Any]]:
    answer = client.post("/api/records/search", json={"limit": 10, **body})
    return list(answer.raise_for_status().json()["records"])


def report(
    name: str, client: httpx.Client, vectors: np.ndarray, texts: list[str], given: dict[str, Any]
) -> str:
    exact = Embedder(MODEL).encode(texts) @ vectors.T
    matching = np.ones(len(vectors), bool)
    if "text" in given:
        everybody = csv.DictReader((Path(given["people"])).open(encoding="utf-8"))
        matching = np.array(
            [given["text"] in f"{row['email']}\n{row['department']}" for row in everybody]
        )
    given = {key: value for key, value in given.items() if key != "people"}
    times, answers = timed(lambda text: search(client, query=text, **given), texts)
    recalls = []
    for found, scores in zip(answers, exact, strict=True):
        tenth = np.sort(scores[matching])[-10] - 1e-4
        recalls.append(sum(scores[record["row_number"] - 1] >= tenth for record in found) / 10)
    p50, p95 = np.percentile(times, (50, 95))
    return (
        f"| {name} | {len(vectors):,} | {p50:.1f} | {p95:.1f} | {times.max():.1f} |"
        f" {np.mean(recalls):.3f} |"
    )


def encoding(queries: int) -> str:
    texts = [f"somebody who {QUERIES[i % len(QUERIES)]} {i}" for i in range(queries)]
    p50, p95 = np.percentile(timed(Embedder(MODEL).encode_query, texts)[0], (50, 95))
    return f"p50 {p50:.1f} ms, p95 {p95:.1f} ms"


def timed(call: Callable[[str], Answer], texts: list[str]) -> tuple[np.ndarray, list[Answer]]:
    """Return milliseconds and answers of consecutive calls; the first ones are not counted."""
    for i in range(5):
        call(f"warm up {i}")
    times, answers = [], []
    for text in texts:
        started = time.perf_counter()
        answers.append(call(text))
        times.append(1000 * (time.perf_counter() - started))
    return np.array(times), answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=200, help="of each kind")
    parser.add_argument("--vectors", type=Path, metavar="FILE", help="keep the vectors here")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    arguments = parser.parse_args()
    lines = [
        "| | search | records | p50 ms | p95 ms | slowest | recall@10 |",
        "|---|---|---|---|---|---|---|",
    ]
    bar = Progress(console=Console(stderr=True), redirect_stdout=False)
    with tempfile.TemporaryDirectory(prefix="granula-") as made, bar as progress:
        folder = Path(made)
        folder.chmod(0o755)  # the server of PostgreSQL runs as another user
        people = folder / "people.csv"
        write_people(people, arguments.rows)
        for kind in KINDS.values():
            if "text" in kind:
                kind["people"] = people
        vectors = vectors_of(people, arguments.vectors, progress)
        if arguments.only != "postgresql":
            storage = folder / "sqlite"
            storage.mkdir()
            url = f"sqlite+aiosqlite:///{storage / 'granula.db'}"
            lines += measure("SQLite, exact", url, storage, people, vectors, arguments.queries)
        if arguments.only != "sqlite":
            (folder / "pg").mkdir()
            postgres = Postgres(folder / "pg")
            try:
                url = postgres.url(postgres.create())
                migrate(url)
                lines += measure(
                    "PostgreSQL, HNSW", url, folder / "files", people, vectors, arguments.queries
                )
            finally:
                postgres.stop()
    print("\n".join(lines))
    print(f"\nOf each, making the vector of the query: {encoding(arguments.queries)}.")
    print(f"Measured on: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end.")


if __name__ == "__main__":
    main()
