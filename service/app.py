"""The application and the server around it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from classifier.pipeline import Classifier
from service import problems, schemas
from service.edge import Edge
from service.engine import Engine
from service.routes import VERSION, router
from service.settings import Settings
from service.state import Service

_LAST_WORDS = 5
"""Seconds for answers that are still being written when the grace period ends."""


class _App(FastAPI):
    """FastAPI with our own components: requests and answers do not pass through its models."""

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            self.openapi_schema = get_openapi(title=self.title, version=self.version, summary=self.summary, routes=self.routes)
            self.openapi_schema["components"] = {"schemas": schemas.components()}
        return self.openapi_schema


def create_app(settings: Settings) -> FastAPI:
    """The application on its model. Raises BundleError where that is incomplete or altered."""
    service, classifier = Service(settings), Classifier.load(settings.model)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.engine = Engine(classifier, settings, service.metrics)
        try:
            yield
        finally:
            service.engine.close()

    app = _App(
        title="Stated motives",
        summary="Tags the motives that a language model's reasoning trace states.",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,  # both pages would fetch their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        # Its spans and logs would carry request bodies and messages of exceptions.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False},
    )
    app.state.service = service
    app.include_router(router)
    app.add_middleware(Edge, metrics=service.metrics)
    problems.install(app)
    return app


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is running and return. Raises as create_app; exits with 3 where the port is taken."""
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=settings.access_log,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_LAST_WORDS,
    )
    _Server(config, app.state.service).run()


class _Server(uvicorn.Server):
    """Goes on answering while it drains: new requests get 503, not a closed door, and the exit status is 0."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal starts to drain, the second one stops at once."""
        if self._service.stopping:
            super().handle_exit(sig, frame)
        else:
            self._service.stop()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop."""
        return await super().on_tick(counter) or self._service.drained()
