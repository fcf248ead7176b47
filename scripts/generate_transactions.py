"""Generate card transactions with planted fraud, as the scoring pipeline reads them.

python scripts/generate_transactions.py -n 10000 -o data/transactions.csv
python scripts/generate_transactions.py -n 10000 --files 4 --invalid 0.02 -o data/transactions.csv
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.features.scoring.model_service.transactions import COLUMNS, LabelledTransaction, make

WRONG = {
    "amount": "-5",
    "category": "spaceships",
    "timestamp": "yesterday",
    "country": "Germany",
    "channel": "",
}


def generate(
    count: int, *, seed: int = 1, fraud_rate: float = 0.03, invalid: float = 0.0
) -> Iterator[LabelledTransaction]:
    """Yield `count` transactions; the share `invalid` of them has one invalid field."""
    rng = random.Random(seed)
    for made in make(count, seed=seed, fraud_rate=fraud_rate):
        if rng.random() < invalid:
            field = rng.choice(sorted(WRONG))
            made.fields[field] = WRONG[field]
        yield made


def write(path: Path, made: Iterator[LabelledTransaction], *, form: str, label: bool) -> int:
    """Write CSV or JSON Lines; return the number of rows."""
    columns = [*COLUMNS, *(["is_fraud"] if label else [])]
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
        if form == "csv":
            writer.writeheader()
        for each in made:
            row: dict[str, Any] = {
                **each.fields,
                **({"is_fraud": int(each.is_fraud)} if label else {}),
            }
            writer.writerow(row) if form == "csv" else file.write(json.dumps(row) + "\n")
            count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "-n", "--count", type=int, default=10_000, help="transactions in all (default 10 000)"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("data/transactions.csv"))
    parser.add_argument(
        "--files",
        type=int,
        default=1,
        help="spread them over so many files: name-1.csv, name-2.csv, ...",
    )
    parser.add_argument("--fraud-rate", type=float, default=0.03)
    parser.add_argument(
        "--invalid", type=float, default=0.0, help="share of rows with a field that is wrong"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--format", choices=("csv", "jsonl"), default="csv")
    parser.add_argument("--label", action="store_true", help="add a column is_fraud")
    arguments = parser.parse_args()
    output: Path = arguments.output
    for number in range(arguments.files):
        path = output if arguments.files == 1 else output.with_stem(f"{output.stem}-{number + 1}")
        share = arguments.count // arguments.files + (number < arguments.count % arguments.files)
        summary = generate(
            share,
            seed=arguments.seed + number,
            fraud_rate=arguments.fraud_rate,
            invalid=arguments.invalid,
        )
        count = write(path, summary, form=arguments.format, label=arguments.label)
        print(f"{path}: {count} transactions, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
