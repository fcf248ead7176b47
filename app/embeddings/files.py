"""Files of the model: their names, their digests, and a check that they are complete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from app.embeddings.weights import INT8, SAFETENSORS
from app.errors import ModelUnavailable

MODEL_ID = "all-MiniLM-L6-v2"
TOKENIZER = "tokenizer.json"
PRECISIONS = ("fp32", "int8")
DIGESTS = {
    SAFETENSORS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    INT8: "4751123f32e400fa74ef5356ba531ef9659518bfd72475b9c6424861feb75050",
}
"""SHA-256 of every file of the model. Files built from the weights are a function of them, so their
digests are fixed too.
"""

SOURCES = (SAFETENSORS, TOKENIZER)
"""Files that must be fetched. The others are built from them."""

HOW_TO_INSTALL = (
    "Run ./scripts/install_model, or set EMBEDDING_MODEL_DIR to a folder that has the model."
)


def graph_path(precision: str) -> Path:
    """Return the path of the ONNX graph that comes with this package; it has no weights in it."""
    return Path(__file__).parent / "graphs" / f"{precision}.onnx"


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def needed(precision: str) -> tuple[str, ...]:
    """Return the files that a model of this precision is loaded from."""
    return (*SOURCES, INT8) if precision == "int8" else SOURCES


def missing(folder: Path, names: Iterable[str]) -> list[str]:
    """Return the `names` that are not in the folder, or have another digest."""
    return [
        name
        for name in names
        if not (folder / name).is_file() or digest(folder / name) != DIGESTS[name]
    ]


def verify(folder: Path, precision: str) -> None:
    """Read every byte that will be loaded; raises ModelUnavailable."""
    for name in needed(precision):
        path = folder / name
        if not path.is_file():
            raise ModelUnavailable(
                f"The model {MODEL_ID} is not installed: there is no {path}. {HOW_TO_INSTALL}"
            )
        if digest(path) != DIGESTS[name]:
            raise ModelUnavailable(
                f"{path} is not the file of {MODEL_ID}; it is not loaded. {HOW_TO_INSTALL}"
            )
