"""The console script ``motives``. Each command imports what it needs when it runs: tagging loads no web server, serving no torch."""

from __future__ import annotations

import json
import logging
import os
import sys
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from classifier.errors import Mendable
from terminal import print_changes, print_results, print_summary, print_training, say

if TYPE_CHECKING:
    from classifier.pipeline import Classifier
    from classifier.tagging import Summary

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
_EXTRAS = {"serve": "serve", **dict.fromkeys(("train", "calibrate", "evaluate", "study"), "train")}  # what a command needs

Model = Annotated[
    Path, typer.Option("--model", "-m", help="Folder of the model.", envvar="MOTIVES_MODEL", show_default="the one in models/DEFAULT")
]
Format = Annotated[str | None, typer.Option("--format", "-f", help="text, own, openai, anthropic or sharegpt; detected if left out.")]
Threads = Annotated[int, typer.Option(help="Encoder threads.", min=1)]
_DRIFT = "Most that int8 may move a probability; beyond it the float graph ships, at twice the time."
Drift = Annotated[float, typer.Option(help=_DRIFT, min=0, max=1)]
Corpus = Annotated[Path, typer.Option(help="Labelled items: a .jsonl file or a folder of them.")]


class Split(StrEnum):
    """What `motives evaluate` may measure on."""

    development = "development"
    test = "test"


def default_model() -> Path:
    """The model that ships: the folder named in models/DEFAULT. Raises Mendable where there is no such file."""
    named = MODELS / "DEFAULT"
    if not named.is_file():
        told = "MOTIVES_MODELS" in os.environ
        remedy = "set MOTIVES_MODELS to a folder that has it, or unset it" if told else "restore it (git checkout models/DEFAULT)"
        raise Mendable(f"{named}: no such file, so no model is the default: {remedy}, or name a model with --model")
    return MODELS / named.read_text(encoding="utf-8").strip()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stated-motives {version('stated-motives')}")
        typer.echo(f"default model: {default_model().name}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Version and default model.")] = False,
) -> None: ...


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
        print_results(answer["results"])
    for failure in failed:
        say(f"{failure.where}: {failure.reason}", failure.value)
    raise typer.Exit(1 if failed else 0)


@app.command(
    epilog="""\b
Examples:
  motives tag chats.jsonl -o tags.jsonl
  motives tag export.json -o tags.jsonl --format sharegpt --threads 8
  motives tag chats.jsonl -o tags.jsonl --fail-above 0.05 || echo "too much could not be read"
  jq -r 'select(.status == "failed") | "\\(.where): \\(.reason)"' tags.jsonl"""
)
def tag(
    archive: Annotated[Path, typer.Argument(help="JSON Lines, a JSON file or text.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON Lines file to write.")],
    model: Model = Path(),
    format: Format = None,
    threads: Threads = 2,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    fail_above: Annotated[float, typer.Option(help="Share of failed and unscored records that is still no error.", min=0, max=1)] = 1.0,
) -> None:
    """Tag a whole archive into a file, one JSON line a transcript.

    Lines come in the order of the archive. What could not be read or scored has its line too, with the reason. Interrupted? Run the same
    command again: it goes on where it stopped. An output that is complete already is left alone.

    Exit status 1 where no record could be read, or where a larger share than --fail-above could not be read or scored; 2 for a mistake in
    the command; 130 after Ctrl-C.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from classifier import tagging

    if not _file(archive).is_file():
        _stop(f"{archive}: can be read only once, and a run that goes on reads it again: save it as a file")
    _check_output(output)
    summary = tagging.Summary()

    def show(now: Summary) -> None:
        nonlocal summary
        summary = now
        bar.update(task, completed=now.written, total=now.total)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    try:
        classifier = _load(model)
        with Progress(*columns, disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task("Tagging", total=None)
            summary = tagging.tag(classifier, archive, output, format=format, threads=threads, overwrite=overwrite, progress=show)
    except KeyboardInterrupt:
        done = "before it began" if summary.total is None else f"after {summary.written} of {summary.total}"
        say(f"motives: interrupted {done}; run the same command again to go on")
        raise typer.Exit(130) from None
    print_summary(summary, output)
    raise typer.Exit(_tag_status(summary, output, fail_above))


@app.command(
    epilog="""\b
Examples:
  motives serve --port 8123
  MOTIVES_MAX_ITEMS=32 MOTIVES_DEADLINE_SECONDS=10 motives serve
  curl -s localhost:8000/v1/classify -H 'content-type: application/json' -d '{"input": "I will comply."}'"""
)
def serve(
    context: typer.Context,
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
        name = str(wrong["loc"][0])
        source = context.get_parameter_source(name)  # None for a setting without an option
        said_by = f"--{name}" if source and source.name == "COMMANDLINE" else f"MOTIVES_{name.upper()}"
        _stop(f"{said_by}: {wrong['msg']}", str(wrong["input"]))
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

    One model is trained for each fold of scenarios, to score and calibrate on what it never saw, and then the one that ships: about 50
    minutes on two cores. `motives evaluate` reads what is left beside the model.
    """
    from classifier.training.corpus import load
    from classifier.training.fitting import Config
    from classifier.training.train import train as run

    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    print_training(out / name, *run(load(_existing(corpus)), labels, out / name, Config(base=base, drift=drift)))


@app.command()
def calibrate(
    model: Model = Path(),
    corpus: Corpus = ROOT / "annotations" / "corpus",
    drift: Annotated[float | None, typer.Option(help=_DRIFT, min=0, max=1, show_default="that of its training")] = None,
) -> None:
    """Fit a model's probabilities and thresholds anew, in seconds, from the scores that training left. Needs the train extra.

    Rewrites the calibration and the manifest in the model's folder, and says what changed.
    """
    from classifier.bundle import load as load_bundle
    from classifier.training.corpus import load
    from classifier.training.train import calibrate as run

    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    folder = _folder(model)
    before = load_bundle(folder)
    calibrated, compared = run(load(_existing(corpus)), folder, drift)
    print_changes(before, calibrated, compared)
    print_training(folder, calibrated, compared)


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


@app.command(
    epilog="""\b
Examples:
  motives study                                 once a model is finished: opens the test scenarios
  motives study --model models/NAME --out /tmp/studies"""
)
def study(
    model: Model = Path(),
    corpus: Corpus = ROOT / "annotations" / "corpus",
    out: Annotated[Path | None, typer.Option(help="Folder to write.", show_default="test/ in the model's folder")] = None,
) -> None:
    """Show what a model's figures hang on: amount, style and words. Needs the train extra, and half the time of a training.

    On the test scenarios, the model that ships is set beside ones that learn from a quarter, from half and from the plain style alone, and
    beside itself on text whose words of training, modification and monitoring are masked. Each opening of them is logged.
    """
    from classifier.evaluation.report import write_studies
    from classifier.evaluation.studies import study as run

    folder = _folder(model)
    typer.echo("\n".join(map(str, write_studies(run(folder, _existing(corpus)), out or folder / "test"))))


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


def _check_output(output: Path) -> None:
    """Refuse what is no file to keep: the finished output takes its name, and the file that stood there is gone."""
    try:
        is_stdout = str(output) == "-" or (output.exists() and os.path.samestat(output.stat(), os.fstat(1)))
    except OSError:  # closed
        is_stdout = False
    if is_stdout:  # a file too, where it is redirected to one
        _stop(f"{output}: is standard output, which takes the summary: name the file to write")
    if output.exists() and not output.is_file():  # a folder; a device
        _stop(f"{output}: is no file: name the file to write")


def _stop(message: str, value: str | None = None) -> NoReturn:
    say(f"motives: {message}", value)
    raise typer.Exit(2)


def _tag_status(summary: Summary, output: Path, fail_above: float) -> int:
    """The command's exit status by what the output holds, whichever run wrote it."""
    failed, lines = summary.statuses["failed"], summary.written
    lost = failed + summary.statuses["unscored"]
    if failed == lines:
        say(f"motives: no record could be read: the lines of {output} say why")
    elif lost > fail_above * lines:
        say(f"motives: {lost} of {lines} records could not be read or scored, more than --fail-above {fail_above:g} allows")
    else:
        return 0
    return 1


def main() -> None:
    """Entry point of the console script. What the user can mend is said in one line; a traceback is a defect of ours."""
    try:
        app()
    except Mendable as error:
        say(f"motives: {error}", error.value)
    except ModuleNotFoundError as error:
        if sys.modules.get((error.name or "").partition(".")[0]):  # a part of a package that is there: no missing extra
            raise
        extra = _EXTRAS.get(sys.argv[1])
        wanted = f"'.[{extra}]'" if extra else "."
        install = f".venv/bin/pip install --constraint constraints.txt --editable {wanted}"
        say(f"motives: the package {error.name} is missing: run {install}")
    except OSError as error:
        say(f"motives: {error.filename}: {error.strerror}" if error.filename else f"motives: {error}")
    sys.exit(2)


if __name__ == "__main__":
    main()
