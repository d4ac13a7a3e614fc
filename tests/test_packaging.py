"""What is shipped beside the code: the wheel's list of packages, the Makefile's switches, the image's health check."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.conftest import ROOT


def test_the_wheel_holds_every_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    roots = {name.split(".")[0] for name in listed}
    found = {path.parent.relative_to(ROOT) for root in roots for path in (ROOT / root).rglob("*.py")}
    assert sorted(listed) == sorted(".".join(folder.parts) for folder in found)


@pytest.mark.parametrize(("train", "wanted"), [("", False), ("0", False), ("no", False), ("1", True), ("yes", True)])
def test_torch_is_installed_only_where_it_is_asked_for(train: str, wanted: bool) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in {"CI", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}
    command = ["make", "--no-print-directory", "--eval", "show: ; @echo [$(TRAINING)]", "show"]
    shown = subprocess.run(command, cwd=ROOT, env={**environment, "TRAIN": train}, capture_output=True, check=True, text=True)
    assert shown.stdout.strip() == ("[yes]" if wanted else "[]")


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_the_health_check_asks_the_port_that_is_served() -> None:
    found = re.search(r"^HEALTHCHECK .*\\\n  CMD (.*)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    _, *arguments = json.loads(found[1])
    with HTTPServer(("127.0.0.1", 0), _Ready) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        environment = {**os.environ, "MOTIVES_PORT": str(server.server_port)}
        subprocess.run([sys.executable, *arguments], env=environment, check=True)
        server.shutdown()
