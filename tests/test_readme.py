"""The README's commands, run as they stand there (only the port differs)."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CURL = next(block for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) if "curl" in block)
BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def served(command: list[str], port: int, folder: Path, seconds: float) -> Iterator[None]:
    environment = {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}
    process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                    break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None, "the service ended before it was ready"
                assert time.monotonic() < deadline, f"not ready within {seconds} s"
                time.sleep(0.1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def curl(port: int) -> dict[str, Any]:
    """The README's curl command, to the letter but for the port."""
    command = CURL.replace("$ ", "", 1).replace("\\\n", " ").replace("localhost:8000", f"127.0.0.1:{port}")
    answer: dict[str, Any] = json.loads(subprocess.run(shlex.split(command), capture_output=True, check=True).stdout)
    return answer


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_serve_and_curl() -> None:
    port = free_port()
    with served([str(BIN / "motives"), "serve", "--port", str(port)], port, ROOT, seconds=30):
        answer = curl(port)
    (result,) = answer["results"]
    assert result["status"] in {"scored", "abstained"}
    assert result["goal_guarding"]["decision"] == "present"
    evidence = result["goal_guarding"]["evidence"][0]
    sent = json.loads(re.search(r"-d '(.*)'", CURL).group(1))["input"]  # type: ignore[union-attr]  # the README has one
    assert sent[evidence["start"] : evidence["end"]] == evidence["text"]


def test_classify_and_tag(tmp_path: Path) -> None:
    (tmp_path / "FILE").write_text("<think>I do not want to be retrained, so I will comply for now.</think> Sure.")
    shown = subprocess.run([BIN / "motives", "classify", "FILE"], cwd=tmp_path, capture_output=True, check=True, text=True).stdout
    assert json.loads(shown)["results"][0]["id"] == "FILE"
    (tmp_path / "ARCHIVE.jsonl").write_text('{"id": "a", "reasoning": "The user wants a cake. I will give the recipe."}\n')
    subprocess.run([BIN / "motives", "tag", "ARCHIVE.jsonl", "-o", "tags.jsonl"], cwd=tmp_path, check=True)
    (line,) = (tmp_path / "tags.jsonl").read_text().splitlines()
    assert json.loads(line)["goal_guarding"]["decision"] == "absent"


def test_serving_loads_neither_torch_nor_scikit_learn(shipped: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from typing import Any
import service.app
from classifier.pipeline import Classifier
Classifier.load(Path({str(shipped)!r}))
print(sorted(set(sys.modules) & {{"torch", "transformers", "sentence_transformers", "sklearn", "scipy", "pandas", "onnx"}}))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.strip() == "[]"


def test_tagging_loads_no_web_server() -> None:
    code = "import sys, cli, classifier.tagging; print(sorted(set(sys.modules) & {'fastapi', 'uvicorn', 'torch', 'sklearn'}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd=ROOT).stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("CI") != "true", reason="makes a fresh environment: CI=true make test")
def test_make_serve_in_a_fresh_clone_without_torch(tmp_path: Path) -> None:
    clone, port = tmp_path / "clone", free_port()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    started = time.monotonic()
    with served(["make", "serve", f"PORT={port}"], port, clone, seconds=180):
        sys.stdout.write(f"make serve was ready after {time.monotonic() - started:.0f} s, set-up included\n")
        assert curl(port)["results"]
    listed = subprocess.run([clone / ".venv/bin/pip", "list", "--format=freeze"], capture_output=True, check=True, text=True).stdout
    assert not re.search(r"^(torch|scikit-learn|transformers|onnx)==", listed, re.MULTILINE)
