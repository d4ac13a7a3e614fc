"""The console script ``motives``. Each command imports what it needs when it runs: tagging loads no web server, serving no torch."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from classifier.pipeline import Classifier
    from classifier.tagging import Summary
    from classifier.training.fitting import Calibrated
    from classifier.training.parity import Parity

app = typer.Typer(
    help="Tag the motives that a language model's reasoning trace states.",
    epilog="Start with: motives classify FILE. Each command's --help shows examples.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
)

ROOT = Path(__file__).resolve().parent
MODELS = Path(os.environ.get("MOTIVES_MODELS", ROOT / "models"))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_QUOTED = 60  # characters shown of a value that was sent

Model = Annotated[
    Path, typer.Option("--model", "-m", help="Folder of the model.", envvar="MOTIVES_MODEL", show_default="the one in models/DEFAULT")
]
Format = Annotated[str | None, typer.Option("--format", "-f", help="text, own, openai, anthropic or sharegpt; detected if left out.")]
Threads = Annotated[int, typer.Option(help="Encoder threads.", min=1)]
_DRIFT = "Most that int8 may move a probability; beyond it the float graph ships, at twice the time."
Drift = Annotated[float, typer.Option(help=_DRIFT, min=0)]
Corpus = Annotated[Path, typer.Option(help="Labelled items: a .jsonl file or a folder of them.")]


class Split(StrEnum):
    """What `motives evaluate` may measure on."""

    development = "development"
    test = "test"


def default_model() -> Path:
    """The model that ships: the folder named in models/DEFAULT."""
    return MODELS / (MODELS / "DEFAULT").read_text(encoding="utf-8").strip()


@app.command(
    epilog="""\b
Examples:
  motives classify trace.txt                    plain text: reasoning, or with <think> tags
  motives classify chats.jsonl --json | jq '.results[].primary'
  zcat chats.jsonl.gz | motives classify -      from a pipe; the format is told by the content
  motives classify notes.csv --format text      the whole file as one reasoning trace"""
)
def classify(
    file: Annotated[Path, typer.Argument(help="Text, JSON or JSON Lines of one transcript or several; - for standard input.")],
    model: Model = Path(),
    format: Format = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON even on a terminal.")] = False,
    threads: Threads = 2,
) -> None:
    """Tag the transcripts of FILE and print the result.

    A table on a terminal, else the JSON that the service answers.

    Exit status 1 where a record could not be read; the others are printed all the same.
    """
    from classifier.formats import read
    from classifier.records import Decision, Failure
    from classifier.wire import failure_json, response_json

    records = read(sys.stdin.buffer if str(file) == "-" else _file(file), format)
    classifier = _load(model)
    results = list(classifier.classify(records, threads))
    failed = [result for result in results if isinstance(result, Failure)]
    answer = response_json(classifier.bundle, [result for result in results if isinstance(result, Decision)])
    if as_json or not sys.stdout.isatty():
        failures = {"failures": [failure_json(failure) for failure in failed]} if failed else {}
        typer.echo(json.dumps(answer | failures, ensure_ascii=False, allow_nan=False, indent=2).encode())  # JSON is UTF-8 in any locale
    else:
        _print_results(answer["results"])
    for failure in failed:
        _say(f"{failure.where}: {failure.reason}", failure.value)
    raise typer.Exit(1 if failed else 0)


@app.command(
    epilog="""\b
Examples:
  motives tag chats.jsonl -o tags.jsonl
  motives tag export.json -o tags.jsonl --format sharegpt --threads 8
  jq -r 'select(.status == "failed") | "\\(.where): \\(.reason)"' tags.jsonl"""
)
def tag(
    archive: Annotated[Path, typer.Argument(help="JSON Lines, a JSON file or text.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON Lines file to write.")],
    model: Model = Path(),
    format: Format = None,
    threads: Threads = 2,
) -> None:
    """Tag a whole archive into a file, one JSON line a transcript.

    Lines come in the order of the archive. What could not be read or scored has its line too, with the reason; it does not change the exit
    status. Interrupted? Run the same command again: it goes on where it stopped.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from classifier import tagging

    if not _file(archive).is_file():
        _stop(f"{archive}: can be read only once, and a run that goes on reads it again: save it as a file")
    if output.exists() and not output.is_file():  # a folder; a device, which the finished file would replace
        _stop(f"{output}: is no file: name the file to write")
    total = tagging.count_records(archive, format)
    classifier = _load(model)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("Tagging", total=total)
        try:
            summary = tagging.tag(
                classifier, archive, output, format=format, threads=threads, progress=lambda s: bar.update(task, completed=s.written)
            )
        except tagging.ResumeError as error:
            _stop(str(error))
    _print_summary(summary, output)


@app.command(
    epilog="""\b
Examples:
  motives serve --port 8123
  MOTIVES_MAX_ITEMS=32 MOTIVES_DEADLINE_SECONDS=10 motives serve
  curl -s localhost:8000/v1/classify -H 'content-type: application/json' -d '{"input": "I will comply."}'"""
)
def serve(
    host: Annotated[str | None, typer.Option(envvar="MOTIVES_HOST", show_default="127.0.0.1", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(envvar="MOTIVES_PORT", show_default="8000", help="Port; 0 for a free one.")] = None,
    model: Model = Path(),
) -> None:
    """Serve POST /v1/classify on this machine until SIGTERM or Ctrl-C. Needs the serve extra.

    Every setting has a variable MOTIVES_... in the environment (docs/guides/serving.md); GET /info publishes the limits.
    """
    from pydantic import ValidationError

    from service.app import run
    from service.settings import Settings

    given: dict[str, Any] = {"host": host, "port": port, "model": _existing(_folder(model))}
    try:
        settings = Settings(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = error.errors()[0]
        _stop(f"MOTIVES_{str(wrong['loc'][0]).upper()}: {wrong['msg']}", str(wrong["input"]))
    run(settings)


@app.command()
def train(
    name: Annotated[str, typer.Option(help="Name of the new model: a folder in models/.")],
    corpus: Corpus = ROOT / "annotations" / "corpus",
    labels: Annotated[Path, typer.Option(help="The label set.")] = ROOT / "annotations" / "labels.toml",
    base: Annotated[str, typer.Option(help="Base encoder: a hub name, or a local folder (./NAME).")] = "all-MiniLM-L6-v2",
    out: Annotated[Path, typer.Option(help="Folder of models.")] = MODELS,
    drift: Drift = 0.02,
) -> None:
    """Train a model from the development scenarios and write it to models/NAME, in place of one of that name. Needs the train extra.

    One model is trained for each fold of scenarios, to score and calibrate on what it never saw, and then the one that ships: about 40
    minutes on two cores. `motives evaluate` reads what is left beside the model.
    """
    from classifier.training.corpus import load
    from classifier.training.fitting import Config
    from classifier.training.train import train as run

    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    _print_training(out / name, *run(load(_existing(corpus)), labels, out / name, Config(base=base, drift=drift)))


@app.command()
def calibrate(
    model: Model = Path(),
    corpus: Corpus = ROOT / "annotations" / "corpus",
    drift: Annotated[float | None, typer.Option(help=_DRIFT, show_default="that of its training")] = None,
) -> None:
    """Fit a model's probabilities and thresholds anew, in seconds, from the scores that training left. Needs the train extra."""
    from classifier.training.corpus import load
    from classifier.training.train import calibrate as run

    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    _print_training(_folder(model), *run(load(_existing(corpus)), _folder(model), drift))


@app.command(
    epilog="""\b
Examples:
  motives evaluate                              the model that ships
  motives evaluate --split test                 once a model is finished: opens the test scenarios
  motives evaluate --model models/NAME --out /tmp/evaluation"""
)
def evaluate(
    model: Model = Path(),
    corpus: Corpus = ROOT / "annotations" / "corpus",
    out: Annotated[Path | None, typer.Option(help="Folder to write.", show_default="the model's folder; its test/")] = None,
    split: Annotated[Split, typer.Option(help="Scenarios to measure on; each opening of `test` is logged.")] = Split.development,
) -> None:
    """Measure a model on scenarios that it never saw. Needs the train extra.

    Writes the figures, beside two baselines, the model card and plots. On the development scenarios it reads the scores that
    `motives train` left in the model's folder: only calibrations and baselines are fitted anew. On the test scenarios the model answers as
    it ships; choose nothing by these figures, and look once.
    """
    from rich.console import Console

    from classifier.evaluation.evaluate import evaluate_model, test_model
    from classifier.evaluation.report import summary, write_report

    folder = _folder(model)
    tested = split is Split.test
    found = (test_model if tested else evaluate_model)(folder, _existing(corpus))
    files = write_report(found, folder, out or (folder / split if tested else folder))
    Console().print(summary(found))
    typer.echo("\n".join(map(str, files)))


def _load(model: Path) -> Classifier:
    from classifier.pipeline import Classifier

    return Classifier.load(_folder(model))


def _folder(model: Path) -> Path:
    return default_model() if model == Path() else model


def _existing(path: Path) -> Path:
    if not path.exists():
        _stop(f"{path}: no such file or folder")
    return path


def _file(path: Path) -> Path:
    if path.is_dir():
        _stop(f"{path}: is a folder: name one file of it")
    return _existing(path)


def _stop(message: str, value: str | None = None) -> NoReturn:
    _say(f"motives: {message}", value)
    raise typer.Exit(2)


def _say(message: str, value: str | None = None) -> None:
    """One line on standard error; of the value that is wrong its start, with escapes for what would steer a terminal."""
    found = "" if value is None else f" (found {value[:_QUOTED]!r}{'...' if len(value) > _QUOTED else ''})"
    typer.echo(_plain(message) + found, err=True)


def _plain(text: str) -> str:
    """Text from a transcript as one line, without what would steer a terminal: control characters and direction overrides."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))


def _print_results(results: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    for result in results:
        title = f"{_plain(result['id'])}: {result['status']} {result['unscored_reason'] or ''}"
        table = Table("label", "probability", "decision", "evidence", title=Text(title), title_justify="left")
        for name in ("goal_guarding", "alignment_faking"):
            _add_row(table, name, result[name])
        for group in ("labels", "other_reasons", "behaviours"):
            for name, label in result[group].items():
                if group == "labels" or (label and label["decision"] != "absent"):
                    _add_row(table, name, label)
        Console().print(table)


def _add_row(table: Any, name: str, label: dict[str, Any] | None) -> None:
    from rich.text import Text

    colours = {"present": "bold red", "abstain": "yellow", "absent": "dim"}
    if label is None:
        table.add_row(name, "-", "not scored", "")
        return
    evidence = label["evidence"][0]["text"] if label["evidence"] else ""
    table.add_row(name, f"{label['probability']:.2f}", Text(label["decision"], colours[label["decision"]]), Text(_plain(evidence)))


def _print_training(folder: Path, calibrated: Calibrated, compared: Parity) -> None:
    fitted, left = calibrated.calibrations.labels, ", ".join(calibrated.untrained) or "none"
    typer.echo(f"{folder}: {len(fitted)} labels; too few positives, or ranked too badly: {left}")
    typer.echo(f"{compared.encoder} moves probabilities by {compared.largest:.3f} at most, by {compared.p99:.3f} in 99 of 100")
    typer.echo(f"Next: motives evaluate --model {folder}")


def _print_summary(summary: Summary, output: Path) -> None:
    counts = ", ".join(f"{n} {status}" for status, n in summary.statuses.most_common()) or "nothing new"
    typer.echo(f"{output}: {summary.written} lines ({counts}{f', {summary.resumed} from before' if summary.resumed else ''})")
    for name, n in summary.present.most_common():
        typer.echo(f"  {name}: present in {n}")


def main() -> None:
    """Entry point of the console script. What the user can mend is said in one line; a traceback is a defect of ours."""
    from classifier.errors import Mendable

    try:
        app()
    except Mendable as error:
        _say(f"motives: {error}", error.value)
    except ModuleNotFoundError as error:
        if sys.modules.get((error.name or "").partition(".")[0]):  # a part of a package that is there: no missing extra
            raise
        _say(f"motives: the package {error.name} is missing: install the extra that the command's --help names")
    except OSError as error:
        _say(f"motives: {error.filename}: {error.strerror}" if error.filename else f"motives: {error}")
    sys.exit(2)


if __name__ == "__main__":
    main()
