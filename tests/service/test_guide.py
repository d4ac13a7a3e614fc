"""docs/guides/serving.md is true: its settings, its metrics, its commands and the problems that it shows."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from typing import Any

import httpx
import pytest

from service.problems import KINDS
from service.settings import Settings
from tests.conftest import ROOT
from tests.service.conftest import TRACE, Gate, Serve, Served, windows_of

pytestmark = pytest.mark.anyio

GUIDE = (ROOT / "docs" / "guides" / "serving.md").read_text(encoding="utf-8")
ASKED, REFUSED = GUIDE.split("## When it says no")
CURLS = re.compile(r"```console\n\$ (curl .*?)```", re.DOTALL)
PROBLEMS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", REFUSED, re.DOTALL)]


def table(heading: str) -> dict[str, list[str]]:
    """Rows of the table under the heading, by their first cell."""
    section = GUIDE.split(f"## {heading}\n")[1].split("\n## ")[0]
    _, _, *rows = [line.replace("`", "").split("|")[1:-1] for line in section.splitlines() if line.startswith("|")]
    return {name.strip(): [cell.strip() for cell in cells] for name, *cells in rows}


async def send(served: Served, command: str) -> httpx.Response:
    """What the service answers to a curl command."""
    words = shlex.split(command.replace("\\\n", " "))
    headers = dict(words[i + 1].split(": ") for i, word in enumerate(words) if word == "-H")
    url = next(word for word in words if word.startswith("localhost:8000"))
    body = words[words.index("-d") + 1]
    return await served.client.post(url.removeprefix("localhost:8000"), content=body.encode(), headers=headers)


def check(response: httpx.Response, shown: dict[str, Any]) -> None:
    assert response.status_code == shown["status"]
    assert response.json() | {"request_id": shown["request_id"]} == shown


def test_settings() -> None:
    rows = table("Settings")
    defaults = {f"MOTIVES_{name.upper()}": str(field.default) for name, field in Settings.model_fields.items() if not field.is_required()}
    assert {name: cells[0] for name, cells in rows.items() if name not in {"MOTIVES_MODEL", "MOTIVES_MODELS"}} == defaults


async def test_metrics(served: Served) -> None:
    await served.classify([TRACE, "ok"])
    exposed = (await served.client.get("/metrics")).text
    names = {name for name in re.findall(r"^# TYPE (motives_\S+)", exposed, re.MULTILINE) if not name.endswith("_created")}
    found = {name: set(re.findall(r"(\w+)=", "".join(re.findall(rf"^{name}(?:_count)?{{.*", exposed, re.MULTILINE)))) for name in names}
    assert {name: set(filter(None, labels.split(", "))) for name, (labels, _) in table("Metrics").items()} == found


def test_problems() -> None:
    rows = table("When it says no")
    assert {(int(status), kind) for status, (kinds, _) in rows.items() for kind in kinds.split(", ")} == {
        (kind.status, name) for name, kind in KINDS.items()
    }


async def test_what_info_says_of_a_label(served: Served) -> None:
    (shown,) = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", ASKED, re.DOTALL)]
    listed = (await served.client.get("/info")).json()["labels"]["other_reason"]
    (label,) = [label for label in listed if label["name"] == shown["name"]]
    assert label.keys() == shown.keys()


async def test_questions(served: Served) -> None:
    commands = CURLS.findall(ASKED)
    assert len(commands) == 6
    for command in commands:
        response = await send(served, command)
        assert response.status_code == 200, command
        assert all(result["status"] in {"scored", "abstained"} for result in response.json()["results"])
    assert response.headers["x-request-id"] == "run-7"


async def test_refusals(serve: Serve, gate: Gate) -> None:
    unreadable, too_many = CURLS.findall(REFUSED)
    async with serve() as served:
        check(await send(served, unreadable), PROBLEMS[0])
    async with serve(max_items=1) as served:
        check(await send(served, too_many), PROBLEMS[1])
    async with serve(max_queued_windows=10) as served:
        gate.open.clear()
        first = asyncio.create_task(served.classify(windows_of(10)))
        while not served.queued():
            await asyncio.sleep(0.01)
        refused = await served.classify(windows_of(9))
        check(refused, PROBLEMS[2])
        assert int(refused.headers["retry-after"]) >= 1
        gate.open.set()
        await first
