"""Network of all-MiniLM-L6-v2 as two small ONNX graphs. The weights stay in the files they came in.

A graph names its weights by file, offset and length (ONNX external data): the fp32 graph points
into `model.safetensors`, the int8 graph also into `model.int8.bin`. So the graphs depend on the
architecture alone and are part of this package. Nothing is converted at install time, and only
developers need `onnx`, which writes the graphs:

    python scripts/build_graphs.py
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from app.embeddings.weights import WORD_EMBEDDINGS, Stored, int8_index

INPUTS = ("input_ids", "attention_mask")
OUTPUT = "embeddings"
OPSET = 20
IR_VERSION = 10
MASKED = -10_000.0
"""Number added to the attention scores of padding; so far below any score that its weight is
exactly 0 in float32.
"""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Parameters of a BERT encoder that the shapes of its weights do not show."""

    layers: int = 6
    heads: int = 12
    hidden: int = 384
    epsilon: float = 1e-12


def build(
    index: Mapping[str, Stored],
    *,
    precision: str = "fp32",
    architecture: Architecture | None = None,
) -> bytes:
    """Return the serialised graph: `input_ids` and `attention_mask`, both int64 (texts, tokens), to
    `embeddings`, float32 (texts, hidden), each of unit length. `index` has the places of the fp32
    weights.
    """
    encoder = _Encoder(index, architecture or Architecture(), precision == "int8")
    return bytes(encoder.model().SerializeToString())


class _Encoder:
    def __init__(self, index: Mapping[str, Stored], architecture: Architecture, int8: bool) -> None:
        self._places = {**index, **(int8_index(index) if int8 else {})}
        self._shape = architecture
        self._int8 = int8
        self._nodes: list[NodeProto] = []
        self._initializers: dict[str, TensorProto] = {}
        self._quantised: dict[str, tuple[str, str, str]] = {}

    def model(self) -> ModelProto:
        hidden = self._embed("input_ids")
        bias = self._mask_bias()
        for layer in range(self._shape.layers):
            hidden = self._layer(hidden, bias, f"encoder.layer.{layer}.")
        self._pool(hidden)
        of_tokens = ["texts", "tokens"]
        of_vectors: list[str | int | None] = ["texts", self._shape.hidden]
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, of_tokens) for name in INPUTS
        ]
        outputs = [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, of_vectors)]
        weights = list(self._initializers.values())
        graph = helper.make_graph(self._nodes, "encoder", inputs, outputs, weights)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)

    # ------------------------------------------------------------------ the parts of the network

    def _embed(self, ids: str) -> str:
        if self._int8:
            integers = self._op("Gather", self._weight(WORD_EMBEDDINGS + ".int8"), ids)
            numbers = self._op("Cast", integers, to=TensorProto.FLOAT)
            scales = self._op("Gather", self._weight(WORD_EMBEDDINGS + ".scale"), ids)
            words = self._op("Mul", numbers, scales)
        else:
            words = self._op("Gather", self._weight(WORD_EMBEDDINGS), ids)
        tokens = self._op("Shape", ids, start=1, end=2)
        positions = self._weight("embeddings.position_embeddings.weight")
        places = self._op("Slice", positions, self._constant([0]), tokens, self._constant([0]))
        kind = self._op(
            "Gather", self._weight("embeddings.token_type_embeddings.weight"), self._constant(0)
        )
        return self._normalise(
            self._op("Add", self._op("Add", words, places), kind), "embeddings.LayerNorm"
        )

    def _mask_bias(self) -> str:
        """Add a node that is 0 for a token and MASKED for padding, as (texts, 1, 1, tokens)."""
        padding = self._op(
            "Sub",
            self._constant(np.float32(1)),
            self._op("Cast", "attention_mask", to=TensorProto.FLOAT),
        )
        return self._op(
            "Unsqueeze",
            self._op("Mul", padding, self._constant(np.float32(MASKED))),
            self._constant([1, 2]),
        )

    def _layer(self, hidden: str, bias: str, prefix: str) -> str:
        attended = self._linear(
            self._attention(hidden, bias, prefix + "attention.self."),
            prefix + "attention.output.dense",
        )
        hidden = self._normalise(
            self._op("Add", attended, hidden), prefix + "attention.output.LayerNorm"
        )
        wide = self._op("Gelu", self._linear(hidden, prefix + "intermediate.dense"))
        narrow = self._linear(wide, prefix + "output.dense")
        return self._normalise(self._op("Add", narrow, hidden), prefix + "output.LayerNorm")

    def _attention(self, hidden: str, bias: str, prefix: str) -> str:
        size = self._shape.hidden // self._shape.heads
        split = self._constant([0, 0, self._shape.heads, size])
        query, key, value = (
            self._op("Reshape", self._linear(hidden, prefix + part), split)
            for part in ("query", "key", "value")
        )
        query, value = (self._op("Transpose", part, perm=[0, 2, 1, 3]) for part in (query, value))
        scores = self._op("MatMul", query, self._op("Transpose", key, perm=[0, 2, 3, 1]))
        scaled = self._op("Mul", scores, self._constant(np.float32(size**-0.5)))
        weights = self._op("Softmax", self._op("Add", scaled, bias), axis=-1)
        mixed = self._op("Transpose", self._op("MatMul", weights, value), perm=[0, 2, 1, 3])
        return self._op("Reshape", mixed, self._constant([0, 0, self._shape.hidden]))

    def _pool(self, hidden: str) -> None:
        """Add the mean over the tokens, scaled to unit length: the sum scaled to unit length is the
        same, and saves a division.
        """
        mask = self._op(
            "Unsqueeze",
            self._op("Cast", "attention_mask", to=TensorProto.FLOAT),
            self._constant([1]),
        )
        total = self._op("Squeeze", self._op("MatMul", mask, hidden), self._constant([1]))
        self._op("LpNormalization", total, output=OUTPUT, axis=-1, p=2)

    # ------------------------------------------------------------------ operators

    def _linear(self, x: str, name: str) -> str:
        product = self._int8_product(x, name) if self._int8 else self._product(x, name)
        return self._op("Add", product, self._weight(name + ".bias"))

    def _product(self, x: str, name: str) -> str:
        # Stored as (out, in); onnxruntime transposes constants once, when it loads the graph.
        return self._op(
            "MatMul", x, self._op("Transpose", self._weight(name + ".weight"), perm=[1, 0])
        )

    def _int8_product(self, x: str, name: str) -> str:
        """Add a product of int8. Activations are quantised once for all products that use them."""
        if x not in self._quantised:
            names = [f"{x}_{part}" for part in ("uint8", "scale", "zero")]
            self._nodes.append(
                helper.make_node("DynamicQuantizeLinear", [x], names, name=f"{x}_quantise")
            )
            self._quantised[x] = (names[0], names[1], names[2])
        integers, scale, zero = self._quantised[x]
        product = self._op("MatMulInteger", integers, self._weight(name + ".weight.int8"), zero)
        scales = self._op("Mul", scale, self._weight(name + ".weight.scale"))
        return self._op("Mul", self._op("Cast", product, to=TensorProto.FLOAT), scales)

    def _normalise(self, x: str, name: str) -> str:
        weight, bias = self._weight(name + ".weight"), self._weight(name + ".bias")
        epsilon = self._shape.epsilon
        return self._op("LayerNormalization", x, weight, bias, axis=-1, epsilon=epsilon)

    def _op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = f"{kind}_{len(self._nodes)}"
        self._nodes.append(
            helper.make_node(kind, inputs, [output or name], name=name, **attributes)
        )
        return output or name

    def _constant(self, value: Any) -> str:
        array = np.asarray(value)
        numbers = "_".join(map(str, np.atleast_1d(array)))
        suffix = "" if array.ndim else "_scalar"
        name = f"constant_{array.dtype}_{numbers}{suffix}"
        self._initializers.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def _weight(self, name: str) -> str:
        if name not in self._initializers:
            stored = self._places[name]
            tensor = TensorProto(
                name=name,
                data_type=helper.np_dtype_to_tensor_dtype(stored.dtype),
                dims=stored.shape,
                data_location=TensorProto.EXTERNAL,
            )
            for key, value in (
                ("location", stored.file),
                ("offset", stored.offset),
                ("length", stored.length),
            ):
                tensor.external_data.add(key=key, value=str(value))
            self._initializers[name] = tensor
        return name
