"""Build the ONNX graphs of a BERT encoder with onnx and numpy alone: no torch, no optimiser, no quantiser.

Why by hand (figures in docs/decisions/002-encoder-graph.md): layer normalisation as Add + LayerNormalization, because the fused
SkipLayerNormalization is scalar code in this onnxruntime; opset-23 Attention; one quantisation of the input for query, key and value;
biases inside the int8 products. Activations are smoothed channel by channel before they are quantised (SmoothQuant, arXiv:2211.10438),
and those of the feed-forward block's second matrix, whose outliers are worst, are quantised token by token. Two graphs share one file of
weights:

- ``encoder.onnx``: int8 weights per output column, activations quantised as they come;
- ``encoder_float.onnx``: the same int8 weights dequantised at load and multiplied in float32, for processors on which the int8 kernels
  saturate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

Array = NDArray[Any]
_MS = "com.microsoft"
_OPSET, _IR_VERSION = 23, 10
WEIGHTS_FILE = "encoder.weights"
MIGRATION = 0.8
"""SmoothQuant's alpha: how much of an activation's range moves into the weights (docs/decisions/002-encoder-graph.md has the trials)."""

_MATRICES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mix": "attention.output.dense",
    "up": "intermediate.dense",
    "down": "output.dense",
}
"""This module's names of a layer's matrices, and a state dict's."""

_INPUTS = {"query": "attention", "key": "attention", "value": "attention", "mix": "mix", "up": "up", "down": "down"}
"""The input that a matrix multiplies: three share one."""


@dataclass(frozen=True, slots=True)
class BertShape:
    """The numbers of a BERT configuration that its weights do not tell."""

    layers: int
    heads: int
    epsilon: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> BertShape:
        """From a Hugging Face config.json. Raises ValueError for an architecture that this builder does not know."""
        kind, activation = config.get("model_type"), config.get("hidden_act")
        if kind != "bert" or activation != "gelu":
            raise ValueError(
                f"cannot export a model of type {kind!r} with activation {activation!r}: the graph builder knows 'bert' with 'gelu' "
                "(MiniLM, BGE, E5, GTE and other BERT encoders of sentence-transformers)"
            )
        return cls(int(config["num_hidden_layers"]), int(config["num_attention_heads"]), float(config["layer_norm_eps"]))


@dataclass(slots=True)
class _Weights:
    """Initialisers by name, each stored once in the shared file however many graphs use it."""

    arrays: dict[str, Array] = field(default_factory=dict)

    def add(self, name: str, array: Array) -> str:
        self.arrays[name] = np.ascontiguousarray(array)
        return name

    def add_quantised(self, name: str, matrix: Array, axis: int) -> None:
        """Symmetric int8 with one scale for each slice along the axis that is kept."""
        scale = np.abs(matrix).max(axis) / 127
        scale[scale == 0] = 1
        self.add(f"{name}.int8", np.clip(np.round(matrix / np.expand_dims(scale, axis)), -127, 127).astype(np.int8))
        self.add(f"{name}.scale", scale.astype(np.float32))


class _Graph:
    """Nodes of one graph over shared weights. Every method adds nodes and returns its output's name."""

    def __init__(self, weights: _Weights, shape: BertShape, quantised: bool) -> None:
        self.weights, self.shape, self.quantised = weights, shape, quantised
        self.nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, Array] = {}

    def node(self, op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def constant(self, name: str, value: Array) -> str:
        self._constants[name] = value
        return name

    def dequantised(self, name: str) -> str:
        return self.node("DequantizeLinear", [f"{name}.int8", f"{name}.scale"], f"{name}.float", axis=1)

    def smoothed(self, x: str, name: str) -> str:
        return self.node("Mul", [x, f"{name}.smooth"], f"{name}.smoothed")

    def linear(self, x: str, name: str, output: str, by_row: bool = False) -> str:
        """``x @ weight + bias`` by the kind of arithmetic this graph uses; ``by_row`` gives every token an int8 scale of its own."""
        w, s, b = f"{name}.int8", f"{name}.scale", f"{name}.bias"
        if not self.quantised:
            return self.node("Add", [self.node("MatMul", [x, self.dequantised(name)], f"{output}.product"), b], output)
        if not by_row:
            return self.node("DynamicQuantizeMatMul", [x, w, s, "", b], output, _MS)
        unit, largest = self.unit_rows(x, output)
        product = self.node("DynamicQuantizeMatMul", [unit, w, s], f"{output}.product", _MS)
        return self.node("Add", [self.node("Mul", [product, largest], f"{output}.scaled"), b], output)

    def unit_rows(self, x: str, name: str) -> tuple[str, str]:
        """Each row divided by its largest magnitude, and these magnitudes: quantised afterwards, every token has its own scale."""
        self.constant("last_axis", np.array([-1], np.int64))
        self.constant("tiny", np.array(1e-6, np.float32))
        largest = self.node("ReduceMax", [self.node("Abs", [x], f"{name}.abs"), "last_axis"], f"{name}.largest", keepdims=1)
        largest = self.node("Max", [largest, "tiny"], f"{name}.row_scale")
        return self.node("Div", [x, largest], f"{name}.unit"), largest

    def normalised(self, a: str, b: str, name: str, output: str) -> str:
        total = self.node("Add", [a, b], f"{output}.sum")
        return self.node("LayerNormalization", [total, f"{name}.weight", f"{name}.bias"], output, axis=-1, epsilon=self.shape.epsilon)

    def embeddings(self) -> str:
        self.constant("zero", np.array([0], np.int64))
        rows = self.node("Cast", [self.node("Gather", ["words.int8", "input_ids"], "words.rows")], "words.cast", to=TensorProto.FLOAT)
        scales = self.node("Gather", ["words.scale_column", "input_ids"], "words.scales")
        words = self.node("Mul", [rows, scales], "words.values")
        length = self.node("Shape", ["input_ids"], "length", start=1, end=2)
        positions = self.node("Slice", ["positions", "zero", length, "zero"], "positions.used")
        return self.normalised(words, positions, "embeddings.norm", "embedded")

    def attention(self, x: str, layer: str) -> str:
        parts = ("query", "key", "value")
        x = self.smoothed(x, f"{layer}.attention")
        if self.quantised:
            outputs = [f"{layer}.x.int8", f"{layer}.x.scale", f"{layer}.x.zero"]
            self.nodes.append(helper.make_node("DynamicQuantizeLinear", [x], outputs, name=f"{layer}.quantise"))
            for part in parts:
                name = f"{layer}.{part}"
                inputs = [outputs[0], f"{name}.int8", outputs[1], f"{name}.scale", outputs[2], "", f"{name}.bias"]
                self.node("MatMulIntegerToFloat", inputs, f"{name}.out", _MS)
        else:
            for part in parts:
                self.linear(x, f"{layer}.{part}", f"{layer}.{part}.out")
        heads = self.shape.heads
        return self.node("Attention", [f"{layer}.{p}.out" for p in parts], f"{layer}.mixed", q_num_heads=heads, kv_num_heads=heads)

    def layer(self, x: str, layer: str) -> str:
        mixed = self.linear(self.attention(x, layer), f"{layer}.mix", f"{layer}.mix.out")
        y = self.normalised(mixed, x, f"{layer}.norm1", f"{layer}.y")
        up = self.linear(self.smoothed(y, f"{layer}.up"), f"{layer}.up", f"{layer}.up.out")
        wide = self.smoothed(self.node("Gelu", [up], f"{layer}.gelu", _MS), f"{layer}.down")
        down = self.linear(wide, f"{layer}.down", f"{layer}.down.out", by_row=True)
        return self.normalised(down, y, f"{layer}.norm2", f"{layer}.out")

    def build(self) -> str:
        x = self.embeddings()
        for i in range(self.shape.layers):
            x = self.layer(x, f"layer{i}")
        return self.node("Identity", [x], "states")


def _collect(state: Mapping[str, Array], shape: BertShape, ranges: Mapping[str, Array]) -> _Weights:
    """The weights of a BertModel state dict under this module's names, matrices transposed to (input, output), smoothed and quantised."""
    weights, e = _Weights(), "embeddings."
    weights.add_quantised("words", state[e + "word_embeddings.weight"], axis=1)
    weights.add("words.scale_column", weights.arrays.pop("words.scale")[:, None])
    weights.add("positions", state[e + "position_embeddings.weight"] + state[e + "token_type_embeddings.weight"][0])
    _add_norm(weights, "embeddings.norm", state, e + "LayerNorm")
    for i in range(shape.layers):
        there = f"encoder.layer.{i}."
        smooth = _smoothing(state, there, ranges, f"layer{i}.")
        for name, key in _MATRICES.items():
            matrix, bias = state[f"{there}{key}.weight"].T * smooth[_INPUTS[name]][:, None], state[f"{there}{key}.bias"]
            # Attention mixes tokens, not channels: what its output is to be divided by, the values can be already.
            after = smooth["mix"] if name == "value" else np.float32(1)
            weights.add_quantised(f"layer{i}.{name}", matrix / after, axis=0)
            weights.add(f"layer{i}.{name}.bias", bias / after)
        for name in ("attention", "up", "down"):
            weights.add(f"layer{i}.{name}.smooth", 1 / smooth[name])
        _add_norm(weights, f"layer{i}.norm1", state, there + "attention.output.LayerNorm")
        _add_norm(weights, f"layer{i}.norm2", state, there + "output.LayerNorm")
    return weights


def _smoothing(state: Mapping[str, Array], there: str, ranges: Mapping[str, Array], layer: str) -> dict[str, Array]:
    """Divisors of each input's channels, by name of the input: range ** alpha / (largest weight that meets it) ** (1 - alpha)."""
    divisors = {}
    for name in dict.fromkeys(_INPUTS.values()):
        met = [np.abs(state[f"{there}{_MATRICES[m]}.weight"]).max(axis=0) for m, of in _INPUTS.items() if of == name]
        largest = np.maximum(np.max(met, axis=0), 1e-3)
        divisors[name] = (np.maximum(ranges[layer + name], 1e-3) ** MIGRATION / largest ** (1 - MIGRATION)).astype(np.float32)
    return divisors


def matrices(shape: BertShape) -> dict[str, str]:
    """For each input whose range ``write`` needs, a matrix of the state dict that multiplies it."""
    first = {of: _MATRICES[name] for name, of in reversed(_INPUTS.items())}
    return {f"layer{i}.{of}": f"encoder.layer.{i}.{key}" for i in range(shape.layers) for of, key in first.items()}


def _add_norm(weights: _Weights, name: str, state: Mapping[str, Array], key: str) -> None:
    weights.add(f"{name}.weight", state[f"{key}.weight"])
    weights.add(f"{name}.bias", state[f"{key}.bias"])


def write(state: Mapping[str, Array], shape: BertShape, folder: Path, ranges: Mapping[str, Array]) -> None:
    """Write ``encoder.onnx``, ``encoder_float.onnx`` and ``encoder.weights`` into ``folder``.

    ``state`` is a BertModel's state dict as float32 arrays; ``ranges`` maps the inputs of ``matrices`` to the largest magnitude that each
    channel took on sample texts, shape (channels,).
    """
    weights = _collect(state, shape, ranges)
    places = _write_weights(weights, folder / WEIGHTS_FILE)
    for file, quantised in (("encoder.onnx", True), ("encoder_float.onnx", False)):
        graph = _Graph(weights, shape, quantised)
        graph.build()
        (folder / file).write_bytes(_model(graph, weights, places).SerializeToString())


def rounded(state: Mapping[str, Array], shape: BertShape, ranges: Mapping[str, Array]) -> dict[str, Array]:
    """The state dict as the graphs hold it: every matrix on its int8 grid. In torch it gives what ``encoder_float.onnx`` gives."""
    arrays, result = _collect(state, shape, ranges).arrays, dict(state)
    result["embeddings.word_embeddings.weight"] = arrays["words.int8"] * arrays["words.scale_column"]
    for i in range(shape.layers):
        there = f"encoder.layer.{i}."
        smooth = _smoothing(state, there, ranges, f"layer{i}.")
        for name, key in _MATRICES.items():
            after = smooth["mix"] if name == "value" else np.float32(1)
            held = arrays[f"layer{i}.{name}.int8"] * arrays[f"layer{i}.{name}.scale"]
            result[f"{there}{key}.weight"] = np.ascontiguousarray((held * after / smooth[_INPUTS[name]][:, None]).T)
    return result


def _write_weights(weights: _Weights, path: Path) -> dict[str, tuple[int, int]]:
    """All arrays one after the other, each at a multiple of 64 bytes; (offset, length) by name."""
    places = {}
    with path.open("wb") as file:
        for name, array in weights.arrays.items():
            file.write(b"\0" * (-file.tell() % 64))
            places[name] = (file.tell(), array.nbytes)
            file.write(array.tobytes())
    return places


def _model(graph: _Graph, weights: _Weights, places: Mapping[str, tuple[int, int]]) -> onnx.ModelProto:
    used = {name for node in graph.nodes for name in node.input}
    tensors = [_external(name, weights.arrays[name], places[name]) for name in weights.arrays if name in used]
    tensors += [onnx.numpy_helper.from_array(value, name) for name, value in graph._constants.items()]
    width = len(weights.arrays["embeddings.norm.weight"])
    body = helper.make_graph(
        graph.nodes,
        "bert",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])],
        [helper.make_tensor_value_info("states", TensorProto.FLOAT, [1, "tokens", width])],
        tensors,
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_MS, 1)]
    return helper.make_model(body, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="stated-motives")


def _external(name: str, array: Array, place: tuple[int, int]) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(array.dtype), dims=array.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", WEIGHTS_FILE), ("offset", str(place[0])), ("length", str(place[1]))):
        tensor.external_data.add(key=key, value=value)
    return tensor
