"""Weights of all-MiniLM-L6-v2: the place of each tensor in its file, and the int8 copy of the large
ones.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SAFETENSORS = "model.safetensors"
INT8 = "model.int8.bin"
WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"
ALIGNMENT = 64  # bytes; fastest for vector instructions
INT8_MAX = 127
DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype(np.float32), "I64": np.dtype(np.int64)}


@dataclass(frozen=True, slots=True)
class Stored:
    """Tensor in a file: `offset` in bytes from the file's start, C order, little endian."""

    file: str
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def length(self) -> int:
        """Return the length in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, folder: Path) -> npt.NDArray[np.generic]:
        """Return the tensor, mapped from the file rather than read."""
        return np.memmap(folder / self.file, self.dtype, "r", offset=self.offset, shape=self.shape)


def safetensors_index(path: Path) -> dict[str, Stored]:
    """Return every tensor of a safetensors file by name; raises ValueError if the header cannot be
    read.
    """
    with path.open("rb") as file:
        (header_length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_length))
    start = 8 + header_length
    header.pop("__metadata__", None)
    index = {}
    for name, entry in header.items():
        offset = start + entry["data_offsets"][0]
        index[name] = Stored(path.name, offset, DTYPES[entry["dtype"]], tuple(entry["shape"]))
    return index


def is_quantised(name: str, tensor: Stored) -> bool:
    """Return whether a tensor is a matrix of a layer or the table of words: 99 % of the bytes."""
    return name == WORD_EMBEDDINGS or (name.startswith("encoder.") and len(tensor.shape) == 2)


def int8_index(index: Mapping[str, Stored]) -> dict[str, Stored]:
    """Return the places where `quantise` puts `{name}.int8` and `{name}.scale`. A matrix of a layer
    is stored as (in, out), as MatMul takes it, with a scale per output; the table of words has a
    scale per word.
    """
    places: dict[str, Stored] = {}
    offset = 0
    for name, tensor in sorted(index.items()):
        if not is_quantised(name, tensor):
            continue
        rows, columns = tensor.shape
        by_word = name == WORD_EMBEDDINGS
        for suffix, dtype, shape in (
            ("int8", np.dtype(np.int8), (rows, columns) if by_word else (columns, rows)),
            ("scale", np.dtype(np.float32), (rows, 1) if by_word else (rows,)),
        ):
            stored = Stored(INT8, offset, dtype, shape)
            places[f"{name}.{suffix}"] = stored
            offset += -(-stored.length // ALIGNMENT) * ALIGNMENT
    return places


def quantise(folder: Path, target: Path) -> None:
    """Write the int8 copy of the large tensors of `folder/model.safetensors`: symmetric, a scale
    per row. The bytes depend on the weights alone."""
    index = safetensors_index(folder / SAFETENSORS)
    places = int8_index(index)
    with target.open("wb") as file:
        for name in sorted(index):
            if f"{name}.int8" not in places:
                continue
            weights = index[name].read(folder).astype(np.float32)
            largest = np.abs(weights).max(axis=1, keepdims=True)
            scale = np.maximum(largest, np.finfo(np.float32).tiny) / np.float32(INT8_MAX)
            integers = np.rint(weights / scale).astype(np.int8)
            values = {"int8": integers if name == WORD_EMBEDDINGS else integers.T, "scale": scale}
            for suffix, value in values.items():
                file.seek(places[f"{name}.{suffix}"].offset)
                file.write(np.ascontiguousarray(value).tobytes())
