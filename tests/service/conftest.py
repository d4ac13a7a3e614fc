"""A tiny real model on the hashing encoder, and the application serving it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from classifier import bundle
from classifier.calibration import Calibration, Calibrations, OutcomeModel
from classifier.encoders import ENCODERS, Floats
from classifier.encoders.hashing import HashingEncoder
from classifier.formats import parse_record
from classifier.heads import Heads
from classifier.labels import LabelSet
from classifier.lexical import Lexicon
from classifier.windows import cut
from service.app import create_app
from service.settings import Settings
from service.state import Service
from tests.service.process import Process, Start

LABELS = Path(__file__).parents[2] / "annotations" / "labels.toml"
UNTRAINED = "honesty_principle"
NEVER = "alignment_faking"
"""The label that no probability is sure enough of to call it present."""
TRACE = "I want to keep my values. If I refuse, I will be modified by training. So I will comply with the request, reluctantly."
WORDS = """word here my values matter number it is turn assistant user text thinking nul and are fine me yes you first second sentence x a
they retrain for was told ask cake"""
"""What else the model of the tests has met, so that it takes texts made of them for English."""
SECRET = "zanzibarquokka"  # no part of any name or message of ours

Serve = Callable[..., AbstractAsyncContextManager["Served"]]


@dataclass
class Served:
    """A running application: a client of it, and its inside."""

    client: httpx.AsyncClient
    service: Service

    async def classify(self, input: object, **rest: Any) -> httpx.Response:
        return await self.client.post("/v1/classify", json={"input": input, **rest})

    def metric(self, name: str, **labels: str) -> float:
        """The sum over all series of this name with these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = [line for line in self.service.metrics.exposition().decode().splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in wanted))

    def queued(self) -> int:
        assert self.service.engine is not None
        return self.service.engine.scheduler.queued


class Gate(HashingEncoder):
    """The hashing encoder, which stands still while its gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.open.set()
        self.fails_on: int | None = None

    def states(self, ids: Sequence[int]) -> Floats:
        assert self.open.wait(20)
        if self.fails_on in ids:
            raise RuntimeError(f"cannot encode {SECRET}")
        return super().states(ids)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    labels, encoder, random = LabelSet.load(LABELS), HashingEncoder(), np.random.default_rng(7)
    units = cut(parse_record(f"{TRACE} {WORDS}", id="0"), ("reasoning",), encoder.tokenize, encoder.unknown_id).units
    lexicon = Lexicon.fit(units, minimum=1, limit=100)
    groups = ("motive", "other_reason", "attribute", "behaviour", "outcome")
    columns = (*(label.name for label in labels.labels if label.group in groups), "goal_guarding", "considered")
    calibrated = {*columns, "alignment_faking"} - {*labels.names("outcome"), "considered", UNTRAINED}
    outcomes = labels.names("outcome")
    bundle.save(
        folder,
        encoder="hashing",
        labels=LABELS,
        lexicon=lexicon,
        heads=Heads(
            columns,
            random.standard_normal((encoder.dimensions, len(columns))).astype(np.float32) * 4,
            random.standard_normal((len(lexicon.terms), len(columns))).astype(np.float32),
            random.standard_normal(len(columns)).astype(np.float32),
        ),
        calibrations=Calibrations(
            {name: Calibration(1.0, -0.1, 100, 0.2, 0.35, 0.5, 1.0 if name == NEVER else 2 / 3) for name in sorted(calibrated)},
            OutcomeModel(outcomes, random.standard_normal((2 * len(outcomes) + 1, len(outcomes))), np.zeros(len(outcomes))),
        ),
        golden=bundle.golden_states(encoder, [TRACE]),
        about={"intended_use": "Tests."},
    )
    return folder


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Served]:
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://service", timeout=30) as client:
        yield Served(client, app.state.service)


@pytest.fixture
def serve(model: Path) -> Serve:
    """The application with other settings."""
    return lambda **settings: serving(Settings(**{"model": model, **settings}))


@pytest.fixture
async def served(serve: Serve) -> AsyncIterator[Served]:
    async with serve() as served:
        yield served


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """The encoder of every application started after it."""
    gate = Gate()
    monkeypatch.setitem(ENCODERS, "hashing", lambda folder: gate)
    return gate


@pytest.fixture
def start(model: Path) -> Iterator[Start]:
    """Starts the service as a process, with an encoder that takes so many seconds a window, and other settings."""
    with ExitStack() as processes:
        yield lambda seconds, **settings: processes.enter_context(Process(model, seconds, **settings))


def windows_of(count: int) -> str:
    """A trace of ``count`` windows: sentences too long to share one."""
    return " ".join(f"Word{i} {'word ' * 59}here." for i in range(count))
