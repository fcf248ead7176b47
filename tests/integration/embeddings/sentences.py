"""The texts whose vectors are in reference_vectors.npy, one row each, as sentence-transformers
computes them.
"""

from __future__ import annotations

import json
from pathlib import Path

TEXTS: list[str] = json.loads((Path(__file__).parent / "reference_texts.json").read_text("utf-8"))
VECTORS_FILE = Path(__file__).parent / "reference_vectors.npy"
