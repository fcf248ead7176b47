#!/usr/bin/env python
"""Train the fraud model on generated transactions, and print how well it works on others: ROC AUC,
average precision.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.features.scoring.model_service.training import VERSION, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "-n", "--count", type=int, default=20_000, help="transactions to train on (default 20 000)"
    )
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    start = time.perf_counter()
    trained = train(arguments.count, seed=arguments.seed)
    print(f"Model:             {VERSION}")
    print(
        f"Trained on:        {trained.trained_on} transactions in"
        f" {time.perf_counter() - start:.1f} s"
    )
    print(f"Tested on:         {trained.tested_on} others")
    print(f"ROC AUC:           {trained.roc_auc:.4f}")
    print(f"Average precision: {trained.average_precision:.4f}")


if __name__ == "__main__":
    main()
