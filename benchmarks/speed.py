"""How fast the service is, against the endpoint that most people would write, on the same transcripts in the same run.

    python benchmarks/speed.py [--model models/NAME] [--rounds 5] [--json FILE] [--quick]

Both servers stay up all the time and take turns, in the other order every second round; each figure is the median over the rounds. CPU time
is that of the server's process, its clients run in another. Seconds and ratios of seconds need a quiet machine: the share of the CPU that
other processes took is printed with each round. Nothing is cached by either server, so transcripts may come again.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, Any

import typer
from processes import Foreign, Process, Server, Worker
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cli import default_model

CLIENTS = 8
STARTS = 3
QUIET = 0.03
_HERE = Path(__file__).resolve().parent
_MOTIVES = Path(sys.executable).with_name("motives")
_MEGABYTE = 1e6
_PACKAGES = ("onnxruntime", "torch", "sentence-transformers", "scikit-learn", "fastapi", "uvicorn")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Requests in one round: to our server, to the peer, in process, and to our server over a single connection."""

    ours: int
    peer: int
    in_process: int
    single: int


FULL, QUICK = Sizes(160, 40, 160, 160), Sizes(16, 8, 16, 16)


@dataclass(slots=True)
class Round:
    """What one round measured. CPU and latency are milliseconds a request, rates requests a second, ``foreign`` a share of the CPU."""

    cpu_ours: float = 0
    cpu_peer: float = 0
    cpu_in_process: float = 0
    rate_ours: float = 0
    rate_peer: float = 0
    rate_in_process: float = 0
    p50: float = 0
    p99: float = 0
    foreign: float = 0

    @property
    def cpu_ratio(self) -> float:
        """How many times as much CPU the peer takes."""
        return self.cpu_peer / self.cpu_ours

    @property
    def http_share(self) -> float:
        """Throughput over HTTP as a share of that in process."""
        return self.rate_ours / self.rate_in_process


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result. ``target`` is what it has to reach: at least (``">="``) or below (``"<"``) a number."""

    name: str
    title: str
    unit: str
    target: tuple[str, float] | None = None

    def ok(self, value: float) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        relation, bound = self.target
        return value >= bound if relation == ">=" else value < bound


FIGURES = (
    Figure("cpu_ratio", "CPU per request, peer / ours", "x", (">=", 7)),
    Figure("cpu_ours", "  ours", "ms"),
    Figure("cpu_peer", "  peer", "ms"),
    Figure("cpu_in_process", "  ours, in process", "ms"),
    Figure("http_share", "Throughput, HTTP / in process", "x", (">=", 0.9)),
    Figure("rate_ours", "  ours", "/s"),
    Figure("rate_in_process", "  ours, in process", "/s"),
    Figure("rate_peer", "  peer", "/s"),
    Figure("p50", "Latency on one connection, p50", "ms", ("<", 30)),
    Figure("p99", "  p99", "ms"),
    Figure("memory_loaded", "Resident memory, model loaded", "MB", ("<", 250)),
    Figure("memory_after", "  after the run", "MB", ("<", 250)),
    Figure("memory_peer", "  peer, after the run", "MB"),
    Figure("ready", f"Start to ready, median of {STARTS}", "s", ("<", 2)),
)
"""What is reported: each name is that of a Round's value, of which the median is taken, or of one measured once."""


class Bench:
    """All that is measured, up and warm."""

    def __init__(self, stack: ExitStack, model: Path, sizes: Sizes) -> None:
        self.sizes = sizes
        self.ours = stack.enter_context(_serve(model))
        self.loaded_bytes = self.ours.resident_bytes()
        self.peer = stack.enter_context(Server(sys.executable, str(_HERE / "peer.py"), "--labels", str(_trained_labels(model))))
        self.in_process = stack.enter_context(Worker("in_process.py", "--model", str(model)))
        self.client = stack.enter_context(Worker("client.py"))
        self._warm_up()

    def round(self, index: int) -> Round:
        """Every measurement once, the other way round for odd indices."""
        result = Round()
        foreign = Foreign([self.ours, self.peer, self.in_process, self.client])
        parts: list[Callable[[Round], None]] = [self._ours, self._in_process, self._peer, self._single]
        for part in parts if index % 2 == 0 else reversed(parts):
            part(result)
        result.foreign = foreign.share()
        return result

    def _warm_up(self) -> None:
        """A few requests each, which also shows that all of them read the same text, all of it."""
        jobs = [self._load(self.ours, CLIENTS), self._load(self.peer, CLIENTS), self.in_process.ask(requests=CLIENTS)]
        if len({job["tokens"] for job in jobs}) != 1:
            raise RuntimeError(f"not the same text: ours, the peer and the library counted {[job['tokens'] for job in jobs]} tokens")

    def _load(self, server: Server, requests: int, clients: int = CLIENTS) -> dict[str, Any]:
        return self.client.ask(port=server.port, clients=clients, requests=requests)

    def _ours(self, result: Round) -> None:
        requests = self.sizes.ours
        result.cpu_ours, result.rate_ours = _measured(self.ours, requests, lambda: self._load(self.ours, requests))

    def _peer(self, result: Round) -> None:
        requests = self.sizes.peer
        result.cpu_peer, result.rate_peer = _measured(self.peer, requests, lambda: self._load(self.peer, requests))

    def _in_process(self, result: Round) -> None:
        requests, worker = self.sizes.in_process, self.in_process
        result.cpu_in_process, result.rate_in_process = _measured(worker, requests, lambda: worker.ask(requests=requests))

    def _single(self, result: Round) -> None:
        latencies = self._load(self.ours, self.sizes.single, clients=1)["latencies"]
        result.p50 = median(latencies) * 1000
        result.p99 = quantiles(latencies, n=100, method="inclusive")[98] * 1000


def _measured(process: Process, requests: int, job: Callable[[], dict[str, Any]]) -> tuple[float, float]:
    """CPU milliseconds of ``process`` for each request, and requests a second."""
    before = process.cpu_seconds()
    seconds = job()["seconds"]
    return (process.cpu_seconds() - before) * 1000 / requests, requests / seconds


def _serve(model: Path) -> Server:
    return Server(str(_MOTIVES), "serve", "--model", str(model))


def _ready_seconds(model: Path) -> float:
    """Median time from the start of the process to a ready service."""
    seconds = []
    for _ in range(STARTS):
        with _serve(model) as server:
            seconds.append(server.ready_seconds)
    return median(seconds)


def _trained_labels(model: Path) -> int:
    """How many labels our server gives a probability for: the peer has to give as many."""
    calibration = json.loads((model / "calibration.json").read_text(encoding="utf-8"))
    return len(calibration["labels"])


def measure(model: Path, rounds: int, sizes: Sizes, progress: Callable[[str], None]) -> tuple[list[Round], dict[str, float]]:
    """Every round, and every figure by name; ``progress`` is told what comes next."""
    progress("starting our server alone")
    once = {"ready": _ready_seconds(model)}
    with ExitStack() as stack:
        progress("starting both servers")
        bench = Bench(stack, model, sizes)
        results = []
        for index in range(rounds):
            progress(f"round {index + 1} of {rounds}")
            results.append(bench.round(index))
        memory = {"loaded": bench.loaded_bytes, "after": bench.ours.resident_bytes(), "peer": bench.peer.resident_bytes()}
    once |= {f"memory_{name}": size / _MEGABYTE for name, size in memory.items()}
    return results, {f.name: once[f.name] if f.name in once else median(getattr(r, f.name) for r in results) for f in FIGURES}


def _figures_table(values: Mapping[str, float]) -> Table:
    table = Table("figure", title=f"500-word transcripts, {CLIENTS} clients", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("measured", "target", ""):
        table.add_column(heading, justify="right")
    verdicts = {None: "", True: "[green]ok[/]", False: "[bold red]short[/]"}
    for figure in FIGURES:
        value = values[figure.name]
        target = f"{figure.target[0]} {figure.target[1]:g} {figure.unit}" if figure.target else ""
        table.add_row(figure.title, f"{_number(value)} {figure.unit:<2}", target, verdicts[figure.ok(value)])
    return table


def _rounds_table(rounds: Sequence[Round]) -> Table:
    table = Table(title="Rounds: CPU ms a request, requests a second, latency", title_justify="left", box=SIMPLE_HEAD, padding=0)
    kinds = ("ours", "peer", "in proc.")
    headings = ("", *(f"CPU ms\n{kind}" for kind in kinds), *(f"req/s\n{kind}" for kind in kinds), "p50\nms", "p99\nms", "foreign\nCPU")
    for heading in headings:
        table.add_column(heading, justify="right", min_width=6 if heading else 2)
    for index, each in enumerate(rounds, 1):
        *values, foreign = asdict(each).values()
        table.add_row(str(index), *map(_number, values), f"{foreign:.1%}", style="" if foreign <= QUIET else "yellow")
    return table


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _machine() -> dict[str, Any]:
    """What the figures hold for."""
    names = [line for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    cpu = names[0].partition(":")[2].strip() if names else platform.processor()
    versions = {name: version(name) for name in _PACKAGES}
    return {"cpu": cpu, "cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version(), "versions": versions}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _report(model: Path, sizes: Sizes, rounds: Sequence[Round], values: Mapping[str, float]) -> dict[str, Any]:
    return {
        "model": model.name,
        "machine": _machine(),
        "clients": CLIENTS,
        "requests": asdict(sizes),
        "figures": {f.name: {"value": values[f.name], "unit": f.unit, "target": f.target, "ok": f.ok(values[f.name])} for f in FIGURES},
        "rounds": [asdict(each) for each in rounds],
    }


def main(
    model: Annotated[Path | None, typer.Option(help="Folder of the model [the one that ships].")] = None,
    rounds: Annotated[int, typer.Option(help="How often everything is measured.", min=1)] = 5,
    quick: Annotated[bool, typer.Option(help="One short round, only to see that everything works.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file too.")] = None,
) -> None:
    """Measure the service against the endpoint that most people would write."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped then, too
    model, sizes, rounds = model or default_model(), QUICK if quick else FULL, 1 if quick else rounds
    console = Console()
    with console.status("") as status:
        results, values = measure(model, rounds, sizes, status.update)
    machine = _machine()
    console.print(_rounds_table(results), _figures_table(values))
    console.print(f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}; model {model.name}", highlight=False)
    if quick or max(each.foreign for each in results) > QUIET:
        console.print("[yellow]Not a measurement to quote:[/] a quick run, or other processes were at work.")
    if json_file:
        json_file.write_text(json.dumps(_report(model, sizes, results, values), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
