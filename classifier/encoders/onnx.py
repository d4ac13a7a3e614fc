"""The serving encoder: a BERT graph on onnxruntime, token ids by ``tokenizers``. No torch, no transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from classifier.encoders import Floats


class OnnxEncoder:
    """One window at a time through a single-threaded session.

    Dynamic int8 scales belong to a whole batch, so a window scored beside others would change with its neighbours; alone it cannot.
    Parallelism comes from calling ``states`` in several threads: onnxruntime releases the interpreter while it runs.
    """

    def __init__(self, graph: Path, tokenizer: Path, special: tuple[int, int], unknown: int, exact: bool) -> None:
        options = ort.SessionOptions()
        if exact:  # else onnxruntime multiplies dequantised weights by activations that it quantises in blocks of 32
            options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # The fused SkipLayerNormalization is slower than what the graph builder wrote.
        self._session = ort.InferenceSession(graph, options, ["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"])
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        # A published tokenizer.json may bake in truncation and padding, which would drop text in silence.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._first, self._last = special
        self.dimensions = int(self._session.get_outputs()[0].shape[-1])
        self.unknown_id = unknown

    @classmethod
    def load(cls, folder: Path, graph: str = "encoder.onnx", exact: bool = False) -> OnnxEncoder:
        """From a bundle's folder, which holds the graph and tokenizer.json. ``exact`` makes the float graph all float32, and slow."""
        tokenizer = folder / "tokenizer.json"
        vocabulary = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]["vocab"]
        return cls(folder / graph, tokenizer, (vocabulary["[CLS]"], vocabulary["[SEP]"]), vocabulary["[UNK]"], exact)

    def tokenize(self, text: str) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        """WordPiece ids and code-point offsets into ``text`` as it was received."""
        # The batch call lets other threads run while it works on a long text; encode does not.
        (encoding,) = self._tokenizer.encode_batch([text], add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def states(self, ids: Sequence[int]) -> Floats:
        """Shape (len(ids), dimensions), float32."""
        with_special = np.array([[self._first, *ids, self._last]], dtype=np.int64)
        (states,) = self._session.run(["states"], {"input_ids": with_special})
        inner: Floats = states[0, 1:-1]
        return inner
