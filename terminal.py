"""What the commands print for people: one place for how answers, summaries and complaints look on a terminal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from classifier.bundle import Bundle
    from classifier.tagging import Summary
    from classifier.training.fitting import Calibrated
    from classifier.training.parity import Parity

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_QUOTED = 60  # characters shown of a value that was sent
_GRAPHS = {"onnx": "int8", "onnx-float": "float"}


def say(message: str, value: str | None = None) -> None:
    """One line on standard error; of the value that is wrong its start, with escapes for what would steer a terminal."""
    found = "" if value is None else f" (found {value[:_QUOTED]!r}{'...' if len(value) > _QUOTED else ''})"
    typer.echo(plain(message) + found, err=True)


def plain(text: str) -> str:
    """Text from a transcript as one line, without what would steer a terminal: control characters and direction overrides."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))


def print_results(results: list[dict[str, Any]]) -> None:
    """Each answer as a headline and, where it was scored, a table."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for result in results:
        console.print(Text(_headline(result), "bold"))
        if result["status"] != "unscored":
            console.print(_table(result))


def _headline(result: dict[str, Any]) -> str:
    said = [f"{plain(result['id'])}: {result['status']}"]
    if result["status"] == "unscored":
        return f"{said[0]} ({result['unscored_reason']})"
    said.append(f"primary {result['primary']}" if result["primary"] else "no primary can be named")
    if outcome := result["outcome"]:
        likeliest = max(outcome, key=outcome.__getitem__)
        said.append(f"outcome {likeliest} ({outcome[likeliest]:.2f})")
    return ", ".join(said)


def _table(result: dict[str, Any]) -> Table:
    """Names, numbers and decisions are never cut or wrapped; evidence takes what width is left."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("label", "prob.", "decision"):
        table.add_column(column, no_wrap=True)
    table.add_column("evidence", overflow="fold")
    for name, label in shown(result):
        _add_row(table, name, label)
    return table


def shown(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Derived labels and motives always; of the others what is present or, if it is uncertain, as likely as its threshold."""
    yield from ((name, result[name]) for name in ("goal_guarding", "alignment_faking"))
    yield from result["labels"].items()
    for name, label in (result["other_reasons"] | result["behaviours"]).items():
        if label and (label["decision"] == "present" or label["probability"] >= label["threshold"]):
            yield name, label


def _add_row(table: Table, name: str, label: dict[str, Any] | None) -> None:
    from rich.text import Text

    colours = {"present": "bold red", "abstain": "yellow", "absent": "dim"}
    if label is None:
        table.add_row(name, "-", "not trained", "")
        return
    evidence = label["evidence"][0]["text"] if label["evidence"] else ""
    table.add_row(name, f"{label['probability']:.2f}", Text(label["decision"], colours[label["decision"]]), Text(plain(evidence)))


def print_training(folder: Path, calibrated: Calibrated, compared: Parity) -> None:
    """What a training or a calibration has given."""
    fitted, left = calibrated.calibrations.labels, ", ".join(calibrated.untrained) or "none"
    typer.echo(f"{folder}: {len(fitted)} labels; too few positives, or ranked too badly: {left}")
    typer.echo(f"{compared.encoder} moves probabilities by {compared.largest:.3f} at most, by {compared.p99:.3f} in 99 of 100")
    typer.echo(f"Next: motives evaluate --model {folder}")


def print_changes(before: Bundle, calibrated: Calibrated, compared: Parity) -> None:
    """What calibrating anew has changed of the model: the graph that ships, and the thresholds."""
    was, now = (_GRAPHS.get(kind, kind) for kind in (before.manifest["encoder"], compared.encoder))
    typer.echo(f"The {now} graph ships, as before" if was == now else f"The {now} graph ships now, in place of the {was} graph")
    old, new = before.calibrations.labels, calibrated.calibrations.labels
    moved = {name: abs(new[name].threshold - old[name].threshold) for name in old.keys() & new.keys()}
    most = max(moved, key=moved.__getitem__, default=None)
    typer.echo(f"Thresholds moved by {moved[most]:.3f} at most ({most})" if most and moved[most] else "No threshold moved")
    for change, names in (("now calibrated", new.keys() - old.keys()), ("no longer calibrated", old.keys() - new.keys())):
        if names:
            typer.echo(f"{change}: {', '.join(sorted(names))}")


def print_summary(summary: Summary, output: Path) -> None:
    """What an archive's tags hold."""
    counts = ", ".join(f"{n} {status}" for status, n in summary.statuses.most_common())
    if summary.untouched:
        remedy = "delete it, name another or give --overwrite to tag anew"
        typer.echo(f"nothing to do: {output} is complete, {summary.written} lines ({counts}); {remedy}")
        return
    typer.echo(f"{output}: {summary.written} lines ({counts}{f'; {summary.resumed} of them from before' if summary.resumed else ''})")
    for name, n in summary.present.most_common():
        typer.echo(f"  {name}: present in {n}")
