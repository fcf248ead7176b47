"""Compute the vectors that tests compare ours with: the same model by sentence-transformers, on
torch.

    python -m venv /tmp/reference && /tmp/reference/bin/pip install sentence-transformers numpy
    /tmp/reference/bin/python scripts/make_reference_vectors.py MODEL_FOLDER

Needs an environment of its own, since nothing else of this project needs torch. MODEL_FOLDER is one
that sentence-transformers can load, or the name `sentence-transformers/all-MiniLM-L6-v2`. Run it
again only when tests/integration/embeddings/reference_texts.json has changed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "integration" / "embeddings"


def main(model_folder: str) -> None:
    texts = json.loads((FOLDER / "reference_texts.json").read_text("utf-8"))
    model = SentenceTransformer(model_folder, device="cpu")
    # One by one, so that the agreement cannot depend on padding or order.
    vectors = np.stack([model.encode(text, normalize_embeddings=True) for text in texts])
    # Halves the file; it turns a vector by less than 0.001 of the 0.0001 that the test allows.
    np.save(FOLDER / "reference_vectors.npy", vectors.astype(np.float16))
    print(
        f"{vectors.shape[0]} vectors of {vectors.shape[1]} dimensions; max_seq_length"
        f" {model.max_seq_length}"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
