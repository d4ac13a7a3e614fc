"""Running the service: its state, its limits, its metrics, its description of itself."""

from __future__ import annotations

import logging
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from classifier.bundle import BundleError
from classifier.formats import READERS
from service import schemas
from service.app import create_app
from service.settings import Settings, misspelt
from tests.conftest import ROOT
from tests.service.conftest import NEVER, SECRET, TRACE, UNTRAINED, Serve, Served

pytestmark = pytest.mark.anyio


async def test_info(served: Served) -> None:
    response = await served.client.get("/info")
    info = response.json()
    schemas.Info.model_validate(info)
    assert info["model"]["name"] == "tiny"
    assert len(info["model"]["sha256"]) == len(info["model"]["label_set"]) == 64
    assert info["model"]["intended_use"] == "Tests."
    named = {label["name"]: label for group in info["labels"].values() for label in group}
    edges = {"absent": 0.35, "threshold": 0.5, "present": 0.666667}
    assert named["peer_preservation"] == {"name": "peer_preservation", "trained": True, **edges, "ever_present": True}
    assert named[NEVER] == {"name": NEVER, "trained": True, **edges, "present": 1.0, "ever_present": False}
    assert named[UNTRAINED] == {"name": UNTRAINED, "trained": False, **dict.fromkeys(edges), "ever_present": False}
    assert named["compliance"] == {"name": "compliance", "trained": True}
    trained = {label["name"]: label["trained"] for group in info["labels"].values() for label in group}
    assert trained.pop(UNTRAINED) is False
    assert all(trained.values())
    assert {"alignment_faking", "goal_guarding", "compliance", "peer_preservation"} <= set(trained)
    assert info["limits"] == served.service.settings.limits()
    assert info["limits"]["max_body_bytes"] == 8 * 1024 * 1024


async def test_health_readiness_and_pointer(served: Served) -> None:
    assert (await served.client.get("/healthz")).json() == {"status": "ok"}
    assert (await served.client.get("/readyz")).json() == {"status": "ready"}
    pointer = (await served.client.get("/")).json()
    for path in (pointer["info"], pointer["openapi"]):
        assert (await served.client.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/info", "/metrics", "/openapi.json", "/nothing"])
async def test_head_is_get_without_a_body(served: Served, path: str) -> None:
    head, got = await served.client.head(path), await served.client.get(path)
    assert head.status_code == got.status_code
    assert head.headers["content-type"] == got.headers["content-type"]
    assert not head.content


async def test_metrics_move(served: Served) -> None:
    route = "/v1/classify"
    assert served.metric("motives_requests_total", route=route) == 0
    answer = (await served.classify([TRACE, TRACE, "ok"])).json()
    await served.classify(7)
    await served.client.get(f"/{SECRET}")
    for method in ("GET", "HEAD"):
        await served.client.request(method, "/openapi.json")
    assert served.metric("motives_requests_total", route=route, status="200") == 1
    assert served.metric("motives_requests_total", route=route, status="422") == 1
    assert served.metric("motives_requests_total", route="other") == 1
    assert served.metric("motives_requests_total", route="other", status="404") == 1
    assert served.metric("motives_requests_total", route="/openapi.json", status="200") == 2
    assert served.metric("motives_request_seconds_count", route=route) == 2
    assert served.metric("motives_windows_scored_total") == answer["usage"]["windows"] == 2
    assert served.metric("motives_tokens_total") == answer["usage"]["tokens"]
    decision = answer["results"][0]["labels"]["peer_preservation"]["decision"]
    assert served.metric("motives_decisions_total", label="peer_preservation", decision=decision) == 2
    assert served.metric("motives_unscored_total", reason="degenerate_input") == 1
    exposed = await served.client.get("/metrics")
    assert exposed.headers["content-type"].startswith("text/plain")
    for name in ("motives_windows_queued 0.0", "motives_deadline_misses_total 0.0", "process_resident_memory_bytes"):
        assert name in exposed.text
    assert SECRET not in exposed.text


@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/v1/classify"])
async def test_a_request_id_is_echoed(served: Served, path: str) -> None:
    response = await served.client.get(path, headers={"X-Request-Id": "run 7/a"})
    assert response.headers["x-request-id"] == "run 7/a"


@pytest.mark.parametrize("unusable", ["", " ", "x" * 129, "é", "a\tb", "a\x7f"])
async def test_an_unusable_request_id_is_replaced(served: Served, unusable: str) -> None:
    response = await served.client.get("/nothing", headers=[(b"X-Request-Id", unusable.encode())])
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])
    assert response.json()["request_id"] == response.headers["x-request-id"]


async def test_nothing_of_a_transcript_is_logged(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for body in (f"{TRACE} {SECRET}", {SECRET: 1}, {"messages": [{"role": SECRET}]}):
        await served.classify(body)
        await served.classify(body, labels=[SECRET])
    ours = "".join(record.getMessage() for record in caplog.records if record.name.partition(".")[0] not in {"httpx", "httpcore"})
    assert SECRET not in ours


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from [inner] if key == "$ref" else references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


async def test_the_description_is_complete(served: Served) -> None:
    described: dict[str, Any] = (await served.client.get("/openapi.json")).json()
    assert described["openapi"].startswith("3.1")
    components = described["components"]["schemas"]
    assert {"ClassifyRequest", "ClassifyResponse", "Result", "LabelDecision", "Evidence", "Info", "Problem"} <= set(components)
    assert {reference.rpartition("/")[2] for reference in references(described)} <= set(components)
    assert set(described["paths"]) == {"/v1/classify", "/info", "/healthz", "/readyz", "/metrics"}
    operation = described["paths"]["/v1/classify"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ClassifyRequest")
    responses = operation["responses"]
    assert responses.pop("200")["content"]["application/json"]["schema"]["$ref"].endswith("/ClassifyResponse")
    assert set(responses) == {"400", "404", "408", "413", "415", "422", "429", "431", "500", "503"}
    for response in responses.values():
        assert response["description"]
        assert response["content"] == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert {parameter["name"] for parameter in operation["parameters"]} == {"x-deadline-seconds", "x-request-id"}
    assert set(components["ClassifyRequest"]["properties"]["format"]["anyOf"][0]["enum"]) == set(READERS)


def test_a_damaged_model_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="manifest"):
        create_app(Settings(model=tmp_path))


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOTIVES_PORT", "8123")
    monkeypatch.setenv("MOTIVES_MAX_ITEMS", "7")
    settings = Settings(model=tmp_path, host="::1")
    assert (settings.host, settings.port, settings.max_items) == ("::1", 8123, 7)
    monkeypatch.setenv("MOTIVES_DEADLINE_SECONDS", "nan")
    with pytest.raises(ValidationError, match="deadline_seconds"):
        Settings(model=tmp_path)


def test_a_misspelt_setting_is_named() -> None:
    known = ["MOTIVES_MODEL", "MOTIVES_MODELS", "MOTIVES_PORT", "motives_host", "PATH", "MOTIVE"]
    assert misspelt(known) == []
    assert misspelt(["MOTIVES_XYZ", "MOTIVES_MAX_ITEM", "motives_deadline", *known]) == [
        "MOTIVES_MAX_ITEM is no setting: did you mean MOTIVES_MAX_ITEMS?",
        "MOTIVES_XYZ is no setting",
        "motives_deadline is no setting: did you mean MOTIVES_DEADLINE_SECONDS?",
    ]


@pytest.mark.parametrize(
    ("host", "reason"),
    [("127.0.0.1", "Address already in use"), ("no-such-host.invalid", "ame"), ("192.0.2.1", "annot assign"), ("a..b", "")],
)
def test_an_address_that_cannot_be_had(model: Path, monkeypatch: pytest.MonkeyPatch, host: str, reason: str) -> None:
    monkeypatch.setenv("MOTIVES_PROT", "1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "cli", "serve", "--model", str(model), "--host", host, "--port", str(port)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    warning, error = ended.stderr.splitlines()
    assert ended.returncode == 2
    assert error.startswith(f"motives: cannot listen on host {host!r}, port {port}: ")
    assert reason in error
    assert error.endswith("name another port with --port (MOTIVES_PORT) or another address with --host (MOTIVES_HOST)")
    assert warning.endswith("WARNING service.app: MOTIVES_PROT is no setting: did you mean MOTIVES_PORT?")


async def test_two_applications_do_not_mix(serve: Serve) -> None:
    async with serve() as one, serve() as other:
        await one.classify(TRACE)
        assert one.metric("motives_tokens_total") > 0
        assert other.metric("motives_tokens_total") == 0
