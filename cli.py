"""The console script ``motives``. Each command imports what it needs when it runs: tagging loads no web server, serving no torch."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from classifier.pipeline import Classifier
    from classifier.tagging import Summary

app = typer.Typer(
    help="Tag the motives that a language model's reasoning trace states.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
)

ROOT = Path(__file__).resolve().parent
MODELS = Path(os.environ.get("MOTIVES_MODELS", ROOT / "models"))
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

Model = Annotated[Path, typer.Option("--model", "-m", help="Folder of the model.", envvar="MOTIVES_MODEL")]
Format = Annotated[str | None, typer.Option("--format", "-f", help="text, own, openai, anthropic or sharegpt; detected if left out.")]
Threads = Annotated[int, typer.Option(help="Encoder threads.", min=1)]
Corpus = Annotated[Path, typer.Option(help="Labelled items: a .jsonl file or a folder of them.")]


def default_model() -> Path:
    """The model that ships: the folder named in models/DEFAULT."""
    return MODELS / (MODELS / "DEFAULT").read_text(encoding="utf-8").strip()


@app.command()
def classify(
    file: Annotated[Path, typer.Argument(help="One transcript, or several; - for standard input (text).")],
    model: Model = Path(),
    format: Format = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON even on a terminal.")] = False,
    threads: Threads = 2,
) -> None:
    """Tag the transcripts of FILE and print the result: a table on a terminal, else the JSON that the service answers.

    Exit status 1 where a record could not be read; the others are printed all the same.
    """
    from classifier.formats import parse_record, read
    from classifier.records import Decision, Failure
    from classifier.wire import failure_json, response_json

    classifier = _load(model)
    records = [parse_record(sys.stdin.read(), id="stdin", format=format)] if str(file) == "-" else read(_existing(file), format)
    results = list(classifier.classify(records, threads))
    failed = [result for result in results if isinstance(result, Failure)]
    answer = response_json(classifier.bundle, [result for result in results if isinstance(result, Decision)])
    if as_json or not sys.stdout.isatty():
        failures = {"failures": [failure_json(failure) for failure in failed]} if failed else {}
        typer.echo(json.dumps(answer | failures, ensure_ascii=False, indent=2))
    else:
        _print_results(answer["results"])
    for failure in failed:
        typer.echo(_plain(f"{failure.where}: {failure.reason}"), err=True)
    raise typer.Exit(1 if failed else 0)


@app.command()
def tag(
    archive: Annotated[Path, typer.Argument(help="JSON Lines, a JSON file or text.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON Lines file to write.")],
    model: Model = Path(),
    format: Format = None,
    threads: Threads = 2,
) -> None:
    """Tag every transcript of ARCHIVE into OUTPUT, one JSON line each, in order.

    Interrupted? Run the same command again: it goes on where it stopped. What could not be read or scored has its line, with the reason.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from classifier import tagging

    classifier = _load(model)
    total = tagging.count_records(_existing(archive), format)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("Tagging", total=total)
        summary = tagging.tag(
            classifier, archive, output, format=format, threads=threads, progress=lambda s: bar.update(task, completed=s.written)
        )
    _print_summary(summary, output)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port [8000].")] = None,
    model: Model = Path(),
) -> None:
    """Serve POST /v1/classify on this machine (settings: MOTIVES_... in the environment, limits at /info)."""
    from service.app import run
    from service.settings import Settings

    given: dict[str, Any] = {"host": host, "port": port, "model": _folder(model)}
    run(Settings(**{key: value for key, value in given.items() if value is not None}))


@app.command()
def train(
    name: Annotated[str, typer.Option(help="Name of the new model: a folder in models/.")],
    corpus: Corpus = ROOT / "annotations" / "corpus",
    labels: Annotated[Path, typer.Option(help="The label set.")] = ROOT / "annotations" / "labels.toml",
    base: Annotated[str, typer.Option(help="Base encoder: a hub name or a local folder.")] = "all-MiniLM-L6-v2",
    out: Annotated[Path, typer.Option(help="Folder of models.")] = MODELS,
) -> None:
    """Train a model from labelled items and write it, with its evaluation on unseen scenarios, to models/NAME. Needs the train extra."""
    from classifier.fitting import Config
    from classifier.formats.labelled import read_labelled
    from classifier.training import train as run

    calibrated = run(list(read_labelled(_existing(corpus))), labels, out / name, Config(base=base))
    typer.echo(f"{out / name}: {len(calibrated.labels)} labels trained; too few positives for {', '.join(calibrated.untrained) or 'none'}")
    typer.echo(f"Next: motives evaluate --model {out / name}")


def _load(model: Path) -> Classifier:
    from classifier.bundle import BundleError
    from classifier.pipeline import Classifier

    try:
        return Classifier.load(_folder(model))
    except BundleError as error:
        _stop(str(error))


def _folder(model: Path) -> Path:
    return default_model() if model == Path() else model


def _existing(path: Path) -> Path:
    if not path.exists():
        _stop(f"{path}: no such file")
    return path


def _stop(message: str) -> NoReturn:
    typer.echo(_plain(f"motives: {message}"), err=True)
    raise typer.Exit(2)


def _plain(text: str) -> str:
    """Text from a transcript without what would steer a terminal: control characters and direction overrides."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


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


def _print_summary(summary: Summary, output: Path) -> None:
    counts = ", ".join(f"{n} {status}" for status, n in summary.statuses.most_common()) or "nothing new"
    typer.echo(f"{output}: {summary.written} lines ({counts}{f', {summary.resumed} from before' if summary.resumed else ''})")
    for name, n in summary.present.most_common():
        typer.echo(f"  {name}: present in {n}")


def main() -> None:
    """Entry point of the console script."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    app()


if __name__ == "__main__":
    main()
