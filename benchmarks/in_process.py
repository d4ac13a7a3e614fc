"""The same transcripts without HTTP: ``Classifier.classify`` in a process of its own.

Reads jobs from standard input and answers each with one line: {"requests": 160} -> {"seconds": 3.1, "tokens": 104480}

    python benchmarks/in_process.py --model models/NAME
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from texts import transcripts

from classifier.formats import parse_record
from classifier.pipeline import Classifier
from classifier.records import Decision


def run(classifier: Classifier, texts: list[str], requests: int) -> dict[str, Any]:
    """Classify ``requests`` transcripts; the clock covers reading them, as it does over HTTP."""
    started = time.perf_counter()
    records = (parse_record(text, id=str(i)) for i, text in enumerate(islice(cycle(texts), requests)))
    decisions = [result for result in classifier.classify(records) if isinstance(result, Decision) and result.coverage == 1.0]
    seconds = time.perf_counter() - started
    if len(decisions) != requests:
        raise SystemExit(f"in_process: {requests - len(decisions)} of {requests} transcripts were not covered")
    return {"seconds": seconds, "tokens": sum(decision.tokens for decision in decisions)}


def main() -> None:
    """One line out for each line in."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True)
    classifier, texts = Classifier.load(parser.parse_args().model), transcripts()
    for line in sys.stdin:
        print(json.dumps(run(classifier, texts, json.loads(line)["requests"])), flush=True)


if __name__ == "__main__":
    main()
