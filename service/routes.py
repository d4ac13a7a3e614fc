"""The addresses of the service."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Annotated, Any, cast

from fastapi import APIRouter, Header, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from service import schemas
from service.problems import Problem
from service.state import Service

VERSION = version("stated-motives")
router = APIRouter()

_CLASSIFY_PROBLEMS = (
    "invalid-json",
    "unknown-model",
    "slow-body",
    "body-too-large",
    "too-many-items",
    "too-long",
    "unsupported-media-type",
    "invalid-request",
    "unreadable-input",
    "queue-full",
    "stopping",
    "deadline-passed",
)
_CLASSIFY = {"requestBody": {"required": True, "content": schemas.body(schemas.ClassifyRequest)}}
_REQUEST_ID = Header(description="Echoed; made up where it is missing, or not at most 128 characters of printable ASCII.")
_DEADLINE = Header(gt=0, allow_inf_nan=False, description="Seconds from the body's last byte to the answer; may only lower the limit.")


@router.post(
    "/v1/classify",
    summary="Tag the motives that reasoning traces state",
    responses=schemas.answers(schemas.ClassifyResponse, "Results in the order of the input", *_CLASSIFY_PROBLEMS),
    openapi_extra=_CLASSIFY,
)
async def classify(
    request: Request,
    x_deadline_seconds: Annotated[float | None, _DEADLINE] = None,
    x_request_id: Annotated[str | None, _REQUEST_ID] = None,
) -> Response:
    """Answer with one result for each transcript, or with a problem; never with some results missing."""
    service = _service(request)
    limit = service.settings.deadline_seconds
    seconds = min(x_deadline_seconds or limit, limit)
    with service.admit() as engine:
        async with service.bodies.receive(request) as body:
            try:
                async with asyncio.timeout(seconds):
                    answer = await _unless_gone(request, engine.classify(body))
            except TimeoutError:
                service.metrics.deadline_misses.inc()
                detail = f"It was {seconds:g} seconds: send less at a time, or allow more (at most {limit:g})."
                raise Problem("deadline-passed", detail, retry_after=engine.scheduler.wait_seconds()) from None
    return Response(answer, media_type="application/json")


@router.get("/info", summary="What is served here", responses=schemas.answers(schemas.Info, "Model, labels and limits", "stopping"))
async def info(request: Request) -> Response:
    """Describe the model and its labels, and publish the limits of a request."""
    return JSONResponse(_service(request).ready().info(VERSION))


@router.get("/healthz", summary="Whether the process lives", responses=schemas.answers(schemas.Health, "It does"))
async def healthz() -> Response:
    """Answer as long as the process does."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", summary="Whether requests are welcome", responses=schemas.answers(schemas.Health, "They are", "stopping"))
async def readyz(request: Request) -> Response:
    """Answer 200 once the model is loaded and until the service is told to stop."""
    _service(request).ready()
    return JSONResponse({"status": "ready"})


@router.get("/metrics", summary="Counters for Prometheus", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Counters in Prometheus' text format."""
    return Response(_service(request).metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """Describe every request and answer. The framework's own route for it has no name in the metrics."""
    return JSONResponse(request.app.openapi())


@router.get("/", include_in_schema=False)
async def index() -> Response:
    """Point to where everything is."""
    return JSONResponse({"service": "stated-motives", "classify": "/v1/classify", "info": "/info", "openapi": "/openapi.json"})


def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


async def _unless_gone(request: Request, work: Coroutine[Any, Any, bytes]) -> bytes:
    """Do the work, but drop it, raising ClientDisconnect, once nobody waits for it any more."""
    job, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((job, gone), return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            raise ClientDisconnect
        return job.result()
    finally:
        job.cancel()
        gone.cancel()
        await asyncio.wait((job, gone))


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
