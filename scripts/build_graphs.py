#!/usr/bin/env python3
"""Write the ONNX graphs that come with app/embeddings, from the code in
app/embeddings/onnx_graph.py.

Needed only when that code changes. Wants the model (./scripts/install_model) for the places of its
tensors.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.config import load_settings
from app.embeddings import files, weights
from app.embeddings.onnx_graph import build


def main() -> None:
    index = weights.safetensors_index(load_settings().embedding_model_dir / weights.SAFETENSORS)
    for precision in files.PRECISIONS:
        path = files.graph_path(precision)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(build(index, precision=precision))
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
