"""The application and the server around it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from classifier.errors import Mendable
from classifier.pipeline import Classifier
from service import problems, schemas
from service.connection import Connection
from service.edge import Edge
from service.engine import Engine
from service.routes import VERSION, router
from service.settings import Settings, misspelt
from service.state import Service

_log = logging.getLogger(__name__)
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
        openapi_url=None,  # a route of ours
        docs_url=None,  # both pages would fetch their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        # Its spans and logs would carry request bodies and messages of exceptions.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False},
    )
    app.state.service = service
    app.include_router(router)
    app.add_middleware(Edge, metrics=service.metrics, drained=settings.max_held_bytes)
    problems.install(app)
    return app


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is running and return. Raises as create_app, and AddressError."""
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for line in misspelt(os.environ):
        _log.warning(line)
    app = create_app(settings)

    class Limited(Connection):
        seconds = settings.body_seconds

    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=Limited,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=settings.access_log,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_LAST_WORDS,
    )
    _Server(config, app.state.service).run(_listen(settings.host, settings.port))


def _listen(host: str, port: int) -> list[socket.socket]:
    """A socket on each address that the host has. Raises AddressError where any of them cannot be had."""
    with ExitStack() as opened:
        try:
            found = dict.fromkeys(socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))
            sockets = [opened.enter_context(socket.create_server(address, family=family)) for family, _, _, _, address in found]
        except (OSError, UnicodeError) as error:  # the latter from names that no host can have
            raise AddressError(host, port, error) from None
        opened.pop_all()
    return sockets


class AddressError(Mendable):
    """The service cannot listen where it should."""

    def __init__(self, host: str, port: int, error: OSError | UnicodeError) -> None:
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (")[0]
        remedy = "name another port with --port (MOTIVES_PORT) or another address with --host (MOTIVES_HOST)"
        super().__init__(f"cannot listen on host {host!r}, port {port}: {reason}: {remedy}")


class _Server(uvicorn.Server):
    """Goes on answering while it drains: new requests get 503, not a closed door, and the exit status is 0."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say where it listens: uvicorn does so only of sockets that it opened itself."""
        await super().startup(sockets)
        for opened in sockets or ():
            host, port = opened.getsockname()[:2]
            _log.info("running on http://%s:%d", f"[{host}]" if ":" in host else host, port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal starts to drain, the second one stops at once."""
        if self._service.stopping:
            super().handle_exit(sig, frame)
        else:
            self._service.stop()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop."""
        return await super().on_tick(counter) or self._service.drained()
